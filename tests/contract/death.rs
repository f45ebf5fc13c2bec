//! What was acknowledged survives the death of whoever acknowledged it.
//!
//! The test starts its own program again, with a variable that makes it the one to be killed.

use std::process::Stdio;
use std::time::Duration;

use keyferry::store::embedded::Embedded;
use keyferry::store::redis::{Redis, Settings};
use keyferry::store::{Epoch, Store};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::adapter::{Kind, Rig};
use super::records::{described, description, id, replace};

const STORE: &str = "KEYFERRY_TEST_STORE";

/// The program that is killed: changes one record again and again, and tells of each change only
/// once it is acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only run by the test below, in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the test is told by its parent where the store is"
)]
async fn writes_until_it_is_killed() {
    let address = std::env::var(STORE).unwrap();
    let store: Box<dyn Store> = if address.starts_with("redis:") {
        Box::new(Redis::new(&Settings::new(address)).unwrap())
    } else {
        Box::new(Embedded::open(address.as_ref()).unwrap())
    };
    let mut version = store.epoch().await.unwrap();
    loop {
        let next = replace(version, described("a", &version.next().to_string()));
        version = store.commit(&next).await.unwrap();
        println!("\nacknowledged {version}");
    }
}

fn start(role: &str, store: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", role, "--ignored", "--nocapture"])
        .env(STORE, store)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

pub(crate) async fn what_was_acknowledged_survives_a_kill(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let mut last = Epoch::NONE;
    for round in 1..=5 {
        rig.close();
        let (mut child, mut lines) = start("death::writes_until_it_is_killed", &rig.address());
        let enough = last.0 + 7 * round;
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(epoch) = line.strip_prefix("acknowledged ") {
                    last = Epoch(epoch.parse().unwrap());
                    if last.0 == enough {
                        child.start_kill().unwrap();
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .unwrap();
        child.wait().await.unwrap();

        rig.open().await;
        let store = rig.handle();
        let record = store.get(&id("a")).await.unwrap().unwrap();
        // One more may have been carried out whose acknowledgement was never told.
        assert!(record.version >= last && record.version <= last.next());
        assert_eq!(store.epoch().await.unwrap(), record.version);
        assert_eq!(
            description(&record.record),
            Some(record.version.to_string().as_str())
        );
        last = record.version;
    }
}
