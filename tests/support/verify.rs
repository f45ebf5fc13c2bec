//! `keyferry verify` before a backend, and requests to it of every kind.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use serde_json::Value;
use tempfile::TempDir;

use super::backend::Recorded;
use super::curl::Curl;
use super::process::{Process, program};
use super::{PATIENCE, free_addresses, wait_for};

/// How often other ports are tried when somebody else was quicker.
const TRIES: usize = 10;

/// A running verifier; it ends when dropped.
pub(crate) struct Verify {
    // Ends before its folder goes.
    process: Process,
    folder: TempDir,
    address: SocketAddr,
    telemetry: SocketAddr,
}

/// What came back for bytes.
#[derive(Debug)]
pub(crate) struct Said {
    /// 0 when nothing came.
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Verify {
    /// Before a backend, with these secrets by their key ids, in a folder as Kubernetes mounts it.
    #[track_caller]
    pub(crate) fn before(backend: SocketAddr, given: &[(&str, &[u8])], options: &[&str]) -> Self {
        Self::start(&["--backend", &backend.to_string()], given, options)
    }

    /// For a proxy that asks in this form.
    #[track_caller]
    pub(crate) fn answering(form: &str, given: &[(&str, &[u8])]) -> Self {
        Self::start(&["--answer", form], given, &[])
    }

    #[track_caller]
    fn start(then: &[&str], given: &[(&str, &[u8])], options: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        swap(&folder, given);
        for number in 0..TRIES {
            let [address, telemetry] = free_addresses();
            let mut command = program();
            command.arg("verify").args(then).args(options);
            command.args(["--listen", &address.to_string()]);
            command.args(["--telemetry", &telemetry.to_string()]);
            command.arg("--secrets").arg(secrets(&folder));
            let log = folder.path().join(format!("log-{number}"));
            let mut process = Process::start(&mut command, &log);
            if gets_ready(&mut process, telemetry) {
                return Self {
                    process,
                    folder,
                    address,
                    telemetry,
                };
            }
            let log = process.log();
            assert!(log.contains("in use"), "it ended early:\n{log}");
        }
        panic!("no free ports after {TRIES} tries");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The lines of the log that tell of refusals.
    pub(crate) fn refusals(&self) -> Vec<Value> {
        let lines = self.log();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["message"] == "refused")
            .collect()
    }

    /// The secrets that it is given from now on, all at once, as Kubernetes swaps them.
    pub(crate) fn swap(&self, secrets: &[(&str, &[u8])]) {
        swap(&self.folder, secrets);
    }

    pub(crate) fn metric(&self, series: &str) -> f64 {
        let page = Curl::get(&format!("http://{}/metrics", self.telemetry)).send();
        let page = page.expect_status(200).text();
        let value = page.lines().find_map(|line| line.strip_prefix(series));
        let value = value.unwrap_or_else(|| panic!("no {series} in\n{page}"));
        value.trim().parse().expect("a number")
    }

    /// Everything on its page of metrics.
    pub(crate) fn metrics(&self) -> String {
        Curl::get(&format!("http://{}/metrics", self.telemetry))
            .send()
            .text()
    }

    /// What it says of itself at this path.
    pub(crate) fn health(&self, path: &str) -> u16 {
        Curl::get(&format!("http://{}{path}", self.telemetry))
            .send()
            .status
    }

    pub(crate) fn ask_to_end(&self) {
        let kill = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\""])
            .arg(self.process.id().to_string())
            .status();
        assert!(kill.expect("a shell").success());
    }

    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }
}

fn gets_ready(process: &mut Process, telemetry: SocketAddr) -> bool {
    wait_for("the verifier to be ready", || {
        if process.ended().is_some() || process.log().contains("will try again") {
            return Some(false);
        }
        let ready = Curl::get(&format!("http://{telemetry}/readyz")).send();
        (ready.status == 200).then_some(true)
    })
}

fn secrets(folder: &TempDir) -> PathBuf {
    folder.path().join("secrets")
}

/// As the kubelet does it: files behind links that lead through one link, which is replaced.
fn swap(folder: &TempDir, files: &[(&str, &[u8])]) {
    let mounted = secrets(folder);
    let next = format!("..{}", uuid::Uuid::now_v7());
    let next_folder = mounted.join(&next);
    fs::create_dir_all(&next_folder).expect("our own folder");
    for (name, contents) in files {
        let file = next_folder.join(name);
        fs::write(&file, contents).expect("a file in our own folder");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).expect("our own file");
    }
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, mounted.join(name)).expect("a link");
    };
    link(&next, "..data_tmp");
    fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("our own link");
    for entry in fs::read_dir(&mounted).expect("our own folder") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("text");
        if !name.starts_with("..") && !next_folder.join(&name).exists() {
            fs::remove_file(mounted.join(name)).expect("our own link");
        } else if name.starts_with("..") && !["..data", &next].contains(&name.as_str()) {
            fs::remove_dir_all(mounted.join(name)).expect("our own folder");
        }
    }
    for (name, _) in files {
        if !mounted.join(name).exists() {
            link(&format!("..data/{name}"), name);
        }
    }
}

/// The bytes of a request, its last on the connection, with these header lines more.
pub(crate) fn bytes(request: &Recorded, more: &str) -> Vec<u8> {
    let mut lines = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    let end_to_end = |name: &str| !["connection", "content-length"].contains(&name);
    for (name, value) in &request.headers {
        if end_to_end(&name.to_ascii_lowercase()) {
            let _ = write!(lines, "{name}: {value}\r\n");
        }
    }
    let body = &request.body;
    if !body.is_empty() {
        let _ = write!(lines, "Content-Length: {}\r\n", body.len());
    }
    format!("{lines}{more}Connection: close\r\n\r\n{body}").into_bytes()
}

/// Sends bytes as they are, and reads all that comes back.
pub(crate) fn send(to: SocketAddr, bytes: &[u8]) -> Said {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(bytes).expect("a listener");
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ended = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    Said {
        status: status.unwrap_or(0),
        text,
    }
}

impl Said {
    /// The reason of a refusal; empty for anything else.
    pub(crate) fn reason(&self) -> String {
        let (_, body) = self.text.split_once("\r\n\r\n").unwrap_or_default();
        let document: Value = serde_json::from_str(body).unwrap_or_default();
        document["reason"].as_str().unwrap_or_default().to_owned()
    }
}
