//! Real proxies before a backend that ask `keyferry verify --answer` about each request, with the
//! configurations of `conf/verify`.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::free_addresses;
use super::front::launch;
use super::process::Process;

/// How often another port is tried when somebody else was quicker.
const TRIES: usize = 5;

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
        let folder = TempDir::new().expect("a temporary folder");
        for _ in 0..TRIES {
            let [address] = free_addresses();
            let places = [(8000, address), (8080, backend), (8081, verifier)];
            match launch(
                command(kind, folder.path(), &places),
                folder.path(),
                address,
            ) {
                Ok(process) => {
                    return Self {
                        _process: process,
                        _folder: folder,
                        address,
                    };
                }
                Err(log)
                    if log.to_lowercase().contains("in use") || log.contains("cannot bind") => {}
                Err(log) => panic!("{kind} ended before it was ready:\n{log}"),
            }
        }
        panic!("no free port after {TRIES} tries");
    }
}

/// The program with its file, in which these ports stand for those addresses.
fn command(kind: &str, folder: &Path, places: &[(u16, SocketAddr)]) -> Command {
    let shipped = |name: &str| {
        let mut text = fs::read_to_string(format!("conf/verify/{name}")).expect("a file of ours");
        for (port, address) in places {
            text = text.replace(&format!("127.0.0.1:{port}"), &address.to_string());
            let value = |port: u16| format!("port_value: {port} ");
            text = text.replace(&value(*port), &value(address.port()));
        }
        text
    };
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file in our own folder");
        path
    };
    let mut command = Command::new(match kind {
        "envoy" => "target/suites/servers/envoy",
        other => other,
    });
    match kind {
        "nginx" => {
            let mut around = format!(
                "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\n\
                 http {{\n access_log off;\n",
                folder.display()
            );
            for part in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
                let _ = writeln!(around, " {part}_temp_path {}/{part};", folder.display());
            }
            let file = put(
                "nginx.conf",
                format!("{around}{}\n}}\n", shipped("nginx.conf")),
            );
            command.args(["-e", "stderr", "-c"]).arg(file);
        }
        "haproxy" => {
            let lua = put("haproxy.lua", shipped("haproxy.lua"));
            let text = shipped("haproxy.cfg").replace("haproxy.lua", &lua.to_string_lossy());
            command.args(["-db", "-f"]).arg(put("haproxy.cfg", text));
        }
        _ => {
            let file = put("envoy.yaml", shipped("envoy.yaml"));
            command.args(["--concurrency", "1", "--disable-hot-restart", "-c"]);
            command.arg(file);
        }
    }
    command
}
