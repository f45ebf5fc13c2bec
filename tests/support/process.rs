//! A program that runs beside the test, and ends with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use keyferry::clock;

use super::{PATIENCE, pause};

/// The program under test: the one that was built with the tests, or the one that
/// `KEYFERRY_PROGRAM` names.
pub(crate) fn program() -> Command {
    let built = || env!("CARGO_BIN_EXE_keyferry").into();
    let mut program = Command::new(std::env::var_os("KEYFERRY_PROGRAM").unwrap_or_else(built));
    without_colours_of_ours(&mut program);
    program
}

/// What the shell or the machine of continuous integration says of colours is not for what is tested.
pub(crate) fn without_colours_of_ours(command: &mut Command) {
    for name in ["CI", "CLICOLOR", "CLICOLOR_FORCE", "NO_COLOR"] {
        command.env_remove(name);
    }
}

/// Whether that one is built with BoringSSL, where it does otherwise (docs/BORINGSSL.md): then
/// `KEYFERRY_TLS` says so.
pub(crate) fn with_boringssl() -> bool {
    std::env::var_os("KEYFERRY_TLS").is_some_and(|library| library == "boringssl")
}

/// Whether it keeps sessions in its memory (docs/TLS.md): `make sessions` says so by this variable, which
/// overrides the option of each gateway's configuration.
pub(crate) fn in_memory() -> bool {
    std::env::var_os("KEYFERRY__LISTENER__SESSIONS").is_some_and(|sessions| sessions == "memory")
}

/// A running program whose output goes to a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error appended to the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("the log file")).into_owned()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Asks it to end, as an operator would; makes it end when it does not.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        // The shell's own kill: the program of that name is not on every machine.
        let _asked = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\""])
            .arg(self.child.id().to_string())
            .status();
        let asked = clock::monotonic();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.ended() {
                return status;
            }
            pause();
        }
        self.kill()
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        let _gone_already = self.child.kill();
        self.child.wait().expect("our own child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of process {}\n{}", self.id(), self.log());
        }
        // Not by asking: the gateway takes its time for open requests, and here there are none.
        self.kill();
    }
}
