//! Programs of others that listen: each at a free port, which somebody else may have taken by the time that
//! the program asks for it.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::process::Process;
use super::{free_addresses, wait_for};

/// How often another port is tried when somebody else was quicker.
const TRIES: usize = 5;

/// Starts `what` and waits until it listens, at a port of `at` that `command` is given; its log goes into
/// `folder`.
#[track_caller]
pub(crate) fn listening(
    what: &str,
    folder: &Path,
    at: IpAddr,
    command: impl Fn(SocketAddr) -> Command,
) -> (Process, SocketAddr) {
    for _ in 0..TRIES {
        let [free] = free_addresses();
        let address = SocketAddr::new(at, free.port());
        match launch(what, command(address), folder, address) {
            Ok(process) => return (process, address),
            Err(log) if log.to_lowercase().contains("in use") || log.contains("cannot bind") => {}
            Err(log) => panic!("{what} ended before it was ready:\n{log}"),
        }
    }
    panic!("no free port after {TRIES} tries");
}

/// Starts it; its log when it ended before it was ready.
fn launch(
    what: &str,
    mut command: Command,
    folder: &Path,
    address: SocketAddr,
) -> Result<Process, String> {
    let log = folder.join("log");
    let _gone = fs::remove_file(&log);
    let mut process = Process::start(&mut command, &log);
    wait_for(what, || {
        if process.ended().is_some() {
            return Some(Err(process.log()));
        }
        TcpStream::connect(address).is_ok().then_some(Ok(()))
    })?;
    Ok(process)
}
