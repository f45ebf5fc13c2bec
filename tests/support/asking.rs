//! Real proxies before a backend that ask about each request, with the configurations of `conf`: either
//! `keyferry verify --answer`, or the gateway itself.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::curl::Curl;
use super::listening::listening;
use super::process::Process;
use super::world::{HOST, Identity, World};

/// What a proxy is made of.
pub(crate) struct Setup<'a> {
    /// `nginx`, `haproxy` or `envoy`.
    pub(crate) kind: &'a str,
    /// The folder of `conf` with its configuration.
    pub(crate) conf: &'a str,
    /// What the ports of that configuration stand for, besides its own.
    pub(crate) places: &'a [(u16, SocketAddr)],
    /// The files that it names.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// What lines hold that are left out.
    pub(crate) without: &'a [&'a str],
    /// What stands there, and what in its place.
    pub(crate) instead: &'a [(&'a str, &'a str)],
}

/// A running proxy; it ends when dropped.
pub(crate) struct Asking {
    // Ends before its folder goes.
    _process: Process,
    _folder: TempDir,
    pub(crate) address: SocketAddr,
}

impl Asking {
    /// `nginx`, `haproxy` or `envoy`, which asks at `verifier` and passes on to `backend`.
    #[track_caller]
    pub(crate) fn start(kind: &str, verifier: SocketAddr, backend: SocketAddr) -> Self {
        Self::run(&Setup {
            kind,
            conf: "verify",
            places: &[(8080, backend), (8081, verifier)],
            files: Vec::new(),
            without: &[],
            instead: &[],
        })
    }

    /// One that is made so.
    #[track_caller]
    pub(crate) fn run(setup: &Setup<'_>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for (name, contents) in &setup.files {
            put(folder.path(), name, contents);
        }
        let at = Ipv4Addr::LOCALHOST.into();
        let (process, address) = listening(setup.kind, folder.path(), at, |address| {
            setup.command(folder.path(), address)
        });
        Self {
            _process: process,
            _folder: folder,
            address,
        }
    }

    /// A request for `path` of [`HOST`] through it, where it ends the clients' TLS.
    pub(crate) fn curl(&self, world: &World, path: &str) -> Curl {
        Curl::get(&format!("https://{HOST}:{}{path}", self.address.port()))
            .resolve(HOST, self.address)
            .authority(&world.authority)
    }
}

impl Setup<'_> {
    /// The program with its file, in which the ports stand for their addresses.
    fn command(&self, folder: &Path, own: SocketAddr) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let shipped = |name: &str| {
            let file = root.join("conf").join(self.conf).join(name);
            let text = fs::read_to_string(file).expect("a file of ours");
            let lines = text.lines();
            let lines = lines.filter(|line| !self.without.iter().any(|left| line.contains(left)));
            let mut text = lines.fold(String::new(), |text, line| text + line + "\n");
            for (port, address) in self.places.iter().chain([&(8000, own)]) {
                text = text.replace(&format!("127.0.0.1:{port}"), &address.to_string());
                let value = |port: u16| format!("port_value: {port} ");
                text = text.replace(&value(*port), &value(address.port()));
            }
            for (shipped, other) in self.instead {
                text = text.replace(shipped, other);
            }
            // The socket is of whoever runs the tests.
            let text = text.replace(" user haproxy", "");
            text.replace("/run/haproxy", &folder.to_string_lossy())
        };
        let mut command = Command::new(match self.kind {
            "envoy" => root.join("target/suites/servers/envoy"),
            other => PathBuf::from(other),
        });
        command.current_dir(folder);
        match self.kind {
            "nginx" => {
                let text = format!("{}{}\n}}\n", around(folder), shipped("nginx.conf"));
                let file = put(folder, "nginx.conf", text);
                command.args(["-e", "stderr", "-c"]).arg(file);
            }
            "haproxy" => {
                put(folder, "haproxy.lua", shipped("haproxy.lua"));
                let file = put(folder, "haproxy.cfg", shipped("haproxy.cfg"));
                command.args(["-db", "-f"]).arg(file);
            }
            _ => {
                let file = put(folder, "envoy.yaml", shipped("envoy.yaml"));
                command.args(["--concurrency", "1", "--disable-hot-restart", "-c"]);
                command.arg(file);
            }
        }
        command
    }
}

/// What stands around the server of nginx.
fn around(folder: &Path) -> String {
    let folder = folder.display();
    let mut around = format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\n access_log off;\n"
    );
    for part in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(around, " {part}_temp_path {folder}/{part};");
    }
    around
}

/// The files of a certificate called `name`: its chain, and its key, which HAProxy wants in one.
pub(crate) fn files(kind: &str, name: &str, identity: &Identity) -> Vec<(String, Vec<u8>)> {
    let (chain, key) = (identity.issued.chain_pem(), identity.issued.key_pem());
    let both = [chain.clone(), key.clone()].concat();
    let chain = if kind == "haproxy" { both } else { chain };
    vec![(format!("{name}.pem"), chain), (format!("{name}.key"), key)]
}

fn put(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, contents).expect("a file in our own folder");
    path
}
