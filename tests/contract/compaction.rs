//! The embedded store's file gives back what it does not need, and loses nothing by it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use keyferry::clock;
use keyferry::store::embedded::{Embedded, Settings, check, compact};
use keyferry::store::{Epoch, Head, Loaded, Store as _, Write};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::records::{change, described};
use super::redis_server::record_keys;

const STORE: &str = "KEYFERRY_TEST_STORE";
const CLIENTS: usize = 500;

fn settings(path: &Path, events_kept: u64) -> Settings {
    Settings {
        record_keys: record_keys(),
        events_kept,
        ..Settings::new(path)
    }
}

/// A store that changed often, and has forgotten most of its changes.
struct Churned {
    folder: TempDir,
    head: Head,
    records: Vec<String>,
}

impl Churned {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("churned.redb");
        let store = Embedded::open_with(&settings(&path, 1000)).unwrap();
        let mut version = Epoch::NONE;
        for round in 0..120 {
            version = write(&store, version, round).await;
        }
        drop(store);
        let store = Embedded::open_with(&settings(&path, 1)).unwrap();
        write(&store, version, 1000).await;
        let (head, records) = contents(&store).await;
        Self {
            folder,
            head,
            records,
        }
    }

    /// A file of its own with the same in it.
    fn copy(&self) -> PathBuf {
        let path = self.folder.path().join("keyferry.redb");
        std::fs::copy(self.folder.path().join("churned.redb"), &path).unwrap();
        path
    }

    async fn is_whole(&self, path: &Path) {
        check(path).unwrap();
        let store = Embedded::open_with(&settings(path, 1000)).unwrap();
        assert!(contents(&store).await == (self.head, self.records.clone()));
        // And it goes on.
        write(&store, self.head.epoch, 2000).await;
    }
}

async fn write(store: &Embedded, version: Epoch, round: u32) -> Epoch {
    let writes = (0..CLIENTS).map(|n| {
        let text = format!("{round} {}", "x".repeat(400));
        Write::replace(version, described(&format!("client-{n}"), &text))
    });
    store.commit(&change(writes.collect())).await.unwrap().epoch
}

async fn contents(store: &Embedded) -> (Head, Vec<String>) {
    let mut records = Vec::new();
    let mut each = |loaded: Loaded| records.push(serde_json::to_string(&loaded.unwrap()).unwrap());
    let head = store.load(&mut each).await.unwrap();
    (head, records)
}

fn length(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_half_empty_gets_smaller_and_loses_nothing() {
    let churned = Churned::new().await;
    let path = churned.copy();
    let before = length(&path);
    // The control: opened as commands do, it stays as large as it is.
    drop(Embedded::open_with(&settings(&path, 1000)).unwrap());
    assert!(length(&path) >= before / 2);
    let begun = clock::monotonic();
    drop(Embedded::open_compact(&settings(&path, 1000)).unwrap());
    println!(
        "{before} bytes, then {}, in {:?}",
        length(&path),
        begun.elapsed()
    );
    assert!(length(&path) < before / 4, "{before} {}", length(&path));
    churned.is_whole(&path).await;
    // What is small already is left alone, and compacted when told to.
    let before = length(&path);
    drop(Embedded::open_compact(&settings(&path, 1000)).unwrap());
    assert_eq!(length(&path), before);
    let (_, after) = compact(&path).unwrap();
    assert!(after <= before);
}

/// The program that is killed.
#[test]
#[ignore = "only run by the test below, in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the test is told by its parent where the store is"
)]
fn compacts_until_it_is_killed() {
    let path = PathBuf::from(std::env::var(STORE).unwrap());
    println!("\ncompacting");
    compact(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_it_is_compacted_loses_nothing() {
    let churned = Churned::new().await;
    let mut killed = 0;
    for round in 0..8u64 {
        let path = churned.copy();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "compaction::compacts_until_it_is_killed"])
            .args(["--ignored", "--nocapture"])
            .env(STORE, &path)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while lines.next_line().await.unwrap().unwrap() != "compacting" {}
        // Somewhere on the way, each time somewhere else.
        let a_while = Duration::from_millis(round * 15);
        if tokio::time::timeout(a_while, child.wait()).await.is_err() {
            child.kill().await.unwrap();
            killed += 1;
        }
        churned.is_whole(&path).await;
    }
    println!("{killed} of 8 were killed on the way");
    assert!(killed > 0);
}
