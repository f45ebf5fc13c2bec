//! The real HAProxy in front of a gateway, as a balancer that passes TCP on.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::curl::Curl;
use super::gateway::Gateway;
use super::listening::listening;
use super::process::Process;
use super::world::{HOST, World};

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
        let (process, address) = listening("HAProxy", folder.path(), at, |address| {
            let text = format!(
                "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server \
                 60s\nlisten gateway\n bind {address}\n{servers}"
            );
            fs::write(&file, text).expect("a file in our own folder");
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(&file);
            command
        });
        Self {
            _process: process,
            _folder: folder,
            address,
            authority: world.authority.clone(),
        }
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
