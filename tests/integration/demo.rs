//! The demonstration: that its story is true to the end, and that nothing of it is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::process::{Process, program};
use crate::support::wait_for;

/// What the story comes to, in this order.
const STORY: [&str; 19] = [
    "x-client-id: acme-payments-",
    "None of them arrived.",
    "reason: certificate_chain_incomplete",
    "did not send that intermediate",
    "plain_http (1 since the gateway started)",
    "key: kf_live_",
    "by certificate, by both and by key.",
    "Good day, CN=acme-payments.",
    "Good day, CN=acme-payments.",
    "I know nobody without X-SSL-Client-S-DN.",
    "sunset: ",
    "still called by certificate in the last 7d: acme-payments-",
    "--force --reason 'everybody was told twice'",
    "reason: credential_missing",
    "$ keyferry phase undo",
    "$GLOBEX_KEY",
    "replaces: {",
    "dual 2",
    "get an old proxy's headers: old",
];

struct Demo {
    process: Process,
    /// Where it makes its folder.
    place: TempDir,
}

impl Demo {
    fn start() -> Self {
        let place = TempDir::new().unwrap();
        fs::create_dir(place.path().join("tmp")).unwrap();
        let mut command = program();
        let command = command.arg("demo").env("TMPDIR", place.path().join("tmp"));
        let process = Process::start(command, &place.path().join("log"));
        Self { process, place }
    }

    /// Waits until it has printed `text`, and gives all that it has.
    #[track_caller]
    fn wait_printed(&mut self, text: &str) -> String {
        wait_for(text, || {
            let log = self.process.log();
            let ended = self.process.ended();
            assert!(ended.is_none(), "{ended:?}: {log}");
            Some(log).filter(|log| log.contains(text))
        })
    }

    fn folders(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.place.path().join("tmp")).unwrap();
        folders.map(|folder| folder.unwrap().path()).collect()
    }
}

/// The addresses that the configuration in the demonstration's only folder names.
fn addresses(demo: &Demo) -> Vec<String> {
    let folders = demo.folders();
    let [folder] = &folders[..] else {
        panic!("{folders:?}");
    };
    let text = fs::read_to_string(folder.join("keyferry.toml")).unwrap();
    let address = |line: &str| Some(line.split_once("127.0.0.1:")?.1.to_owned());
    let ports = text.lines().filter_map(address);
    let digits = |rest: String| {
        rest.split(|c: char| !c.is_ascii_digit())
            .next()
            .map(str::to_owned)
    };
    // One backend is there twice.
    let found: BTreeSet<_> = ports.filter_map(digits).collect();
    found
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect()
}

#[test]
fn the_demonstration_tells_a_whole_migration_and_leaves_nothing_behind() {
    let mut demo = Demo::start();
    let told = demo.wait_printed("Everything stays up until Ctrl-C");
    let mut rest = told.as_str();
    for part in STORY {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("no {part} where it belongs: {told}"));
        rest = after;
    }
    let addresses = addresses(&demo);
    assert_eq!(addresses.len(), 5, "{addresses:?}");
    for address in &addresses {
        assert!(TcpStream::connect(address).is_ok(), "{address} is up");
    }
    assert!(demo.process.stop().success());
    assert_eq!(demo.folders(), Vec::<PathBuf>::new());
    for address in &addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} is gone");
    }
}

#[test]
fn a_demonstration_that_is_stopped_halfway_leaves_nothing_behind() {
    let mut demo = Demo::start();
    demo.wait_printed("── 3.");
    assert_eq!(demo.folders().len(), 1);
    assert_eq!(demo.process.stop().code(), Some(1));
    assert_eq!(demo.folders(), Vec::<PathBuf>::new());
    assert!(demo.process.log().contains("stopped before the end"));
}

#[test]
fn a_demonstration_whose_terminal_goes_away_leaves_nothing_behind() {
    let mut demo = Demo::start();
    demo.wait_printed("── 3.");
    let addresses = addresses(&demo);
    let pid = demo.process.id().to_string();
    let hung_up = Command::new("kill").arg("-HUP").arg(pid).status();
    assert!(hung_up.expect("kill").success());
    let ended = wait_for("its end", || demo.process.ended());
    assert_eq!(ended.code(), Some(1));
    assert_eq!(demo.folders(), Vec::<PathBuf>::new());
    for address in &addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} is gone");
    }
}
