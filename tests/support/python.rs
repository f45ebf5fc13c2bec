//! Clients, servers and verifiers that are not ours, in Python and Node: scripts beside this file
//! that take JSON on standard input and give JSON back, or serve on a port that they name.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::wait_for;

const MINUTE: Duration = Duration::from_mins(1);

/// Runs `script` (`.py` or `.mjs`) on `input`, for no longer than a minute.
#[track_caller]
pub(crate) fn run(script: &str, input: &Value) -> Value {
    run_within(MINUTE, script, input)
}

/// The same, for no longer than `limit`.
#[track_caller]
pub(crate) fn run_within(limit: Duration, script: &str, input: &Value) -> Value {
    let mut child = limited(limit, script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {script}: {error}; run: make setup"));
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(input.to_string().as_bytes())
        .expect("the script reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("our own child");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!(
            "{script} gave no JSON:\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// A server in Python; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    // Ends before its folder goes.
    _process: Process,
    _folder: TempDir,
}

impl Server {
    /// Starts `script`, which writes `port N` once it listens.
    #[track_caller]
    pub(crate) fn start(script: &str) -> Self {
        Self::start_with(script, &[])
    }

    /// The same, with files that it takes as arguments.
    #[track_caller]
    pub(crate) fn start_with(script: &str, files: &[&Path]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = command(script);
        command.args(files);
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        let port: u16 = wait_for(script, || {
            let log = process.log();
            assert!(process.ended().is_none(), "{script} ended: {log}");
            log.lines()
                .find_map(|line| line.strip_prefix("port ")?.parse().ok())
        });
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _process: process,
            _folder: folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn command(script: &str) -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(
        if Path::new(script)
            .extension()
            .is_some_and(|kind| kind == "mjs")
        {
            PathBuf::from("node")
        } else {
            root.join("target/venv/bin/python")
        },
    );
    command.arg(root.join("tests/support").join(script));
    command
}

/// The same, but for no longer than `limit`; then Python says where each of its threads stands.
fn limited(limit: Duration, script: &str) -> Command {
    let command = command(script);
    let mut limited = Command::new("timeout");
    limited
        .args(["--signal=ABRT", &limit.as_secs().to_string()])
        .arg(command.get_program())
        .args(command.get_args())
        .env("PYTHONFAULTHANDLER", "1");
    limited
}
