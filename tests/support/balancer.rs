//! The real HAProxy in front of a gateway, as a balancer that passes TCP on.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::curl::Curl;
use super::gateway::Gateway;
use super::process::Process;
use super::world::{HOST, World};
use super::{free_addresses, wait_for};

/// How often another port is tried when somebody else was quicker.
const TRIES: usize = 3;

/// A running balancer; it ends when dropped. It calls the gateway from 127.0.0.1.
pub(crate) struct Balancer {
    // Ends before its folder goes.
    _process: Process,
    _folder: TempDir,
    address: SocketAddr,
    authority: PathBuf,
}

impl Balancer {
    /// One at this address, with these words of HAProxy on how it speaks to the gateway: "" or
    /// `send-proxy`.
    #[track_caller]
    pub(crate) fn start(world: &World, at: IpAddr, gateway: &Gateway, words: &str) -> Self {
        let servers = format!(" server gateway {} {words}\n", gateway.address());
        Self::launch(world, at, &servers)
    }

    /// One on 127.0.0.1 that sends connections to those of the gateways whose `/readyz` says so, and
    /// asks them again and again, as balancers do.
    #[track_caller]
    pub(crate) fn among(world: &World, gateways: &[&Gateway]) -> Self {
        let mut servers = " option httpchk GET /readyz\n".to_owned();
        for (number, gateway) in gateways.iter().enumerate() {
            let (address, asked) = (gateway.address(), gateway.telemetry().port());
            writeln!(
                servers,
                " server {number} {address} check port {asked} inter 100ms fall 1 rise 1"
            )
            .expect("text takes it");
        }
        Self::launch(world, IpAddr::V4(Ipv4Addr::LOCALHOST), &servers)
    }

    #[track_caller]
    fn launch(world: &World, at: IpAddr, servers: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("haproxy.cfg");
        for _ in 0..TRIES {
            let [free] = free_addresses();
            let address = SocketAddr::new(at, free.port());
            let text = format!(
                "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server \
                 60s\nlisten gateway\n bind {address}\n{servers}"
            );
            fs::write(&file, text).expect("a file in our own folder");
            match launch(&file, address) {
                Ok(process) => {
                    return Self {
                        _process: process,
                        _folder: folder,
                        address,
                        authority: world.authority.clone(),
                    };
                }
                Err(log) if log.contains("cannot bind") => {}
                Err(log) => panic!("HAProxy ended before it was ready:\n{log}"),
            }
        }
        panic!("no free port after {TRIES} tries");
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request for `path` of [`HOST`] through it.
    pub(crate) fn curl(&self, path: &str) -> Curl {
        Curl::get(&format!("https://{HOST}:{}{path}", self.address.port()))
            .resolve(HOST, self.address)
            .authority(&self.authority)
    }
}

/// Starts HAProxy; its log when it ended before it was ready.
fn launch(file: &Path, address: SocketAddr) -> Result<Process, String> {
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    let mut process = Process::start(&mut command, &file.with_extension("log"));
    wait_for("HAProxy", || {
        if process.ended().is_some() {
            return Some(Err(process.log()));
        }
        TcpStream::connect(address).is_ok().then_some(Ok(()))
    })?;
    Ok(process)
}
