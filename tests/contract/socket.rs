//! The socket next to the embedded store.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keyferry::store::embedded::{Embedded, OpenError, Settings};
use keyferry::store::local::{Client, Listener, socket_path};
use keyferry::store::{Epoch, Head, Store, open_embedded};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::adapter::{Kind, Rig};
use super::records::{client, create, id};

const SOCKET: &str = "KEYFERRY_TEST_SOCKET";

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_for_its_owner_and_ends_with_the_gateway() {
    let mut rig = Rig::start(Kind::Local).await;
    let socket = socket_path(&rig.path());
    assert_eq!(mode(&socket), 0o600);
    let held = Embedded::open(&rig.path());
    assert!(matches!(held, Err(OpenError::InUse { .. })));
    let store = open_embedded(&Settings::new(rig.path())).await.unwrap();
    store.commit(&create(client("a"))).await.unwrap();

    rig.close().await;
    assert!(!socket.exists());
    let store = open_embedded(&Settings::new(rig.path())).await.unwrap();
    assert_eq!(store.head().await.unwrap().epoch, Epoch(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_in_its_place_is_replaced_only_when_it_is_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyferry.redb");
    let store = Arc::new(Embedded::open(&path).unwrap());
    let socket = socket_path(&path);

    std::fs::write(&socket, "precious").unwrap();
    let error = Listener::bind(Arc::clone(&store))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read(&socket).unwrap(), b"precious");

    std::fs::remove_file(&socket).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let listener = Listener::bind(store).unwrap();
    let serving = tokio::spawn(listener.serve(std::future::pending()));
    assert!(Client::connect(&socket).await.is_ok());
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_acknowledged_when_the_gateway_acts_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyferry.redb");
    let store = Arc::new(Embedded::open(&path).unwrap());
    let listener = Listener::bind(Arc::clone(&store)).unwrap();
    let (gateway, acts_by) = watch::channel(Head::default());
    let serving = listener.acknowledging(acts_by);
    let serving = tokio::spawn(serving.serve(std::future::pending()));
    let command = Client::connect(&socket_path(&path)).await.unwrap();
    let mut change = tokio::spawn(async move { command.commit(&create(client("a"))).await });
    // Made, and not acknowledged.
    while store.head().await.unwrap().epoch != Epoch(1) {
        tokio::task::yield_now().await;
    }
    let moment = Duration::from_millis(100);
    assert!(timeout(moment, &mut change).await.is_err());
    gateway.send_replace(store.head().await.unwrap());
    assert_eq!(change.await.unwrap().unwrap().epoch, Epoch(1));
    serving.abort();
}

#[tokio::test]
async fn a_path_that_is_too_long_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x".repeat(120));
    let store = Arc::new(Embedded::open(&path).unwrap());
    let error = Listener::bind(store).err().unwrap().to_string();
    assert!(error.contains("SUN_LEN"), "{error}");
}

#[tokio::test]
async fn a_file_in_use_by_something_silent_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyferry.redb");
    let _held = Embedded::open(&path).unwrap();
    let error = open_embedded(&Settings::new(&path)).await.err().unwrap();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_command_waits_for_another_that_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyferry.redb");
    let held = Embedded::open(&path).unwrap();
    let settings = Settings::new(&path);
    let (store, ()) = tokio::join!(open_embedded(&settings), async {
        tokio::task::yield_now().await;
        drop(held);
    });
    assert_eq!(store.unwrap().head().await.unwrap().epoch, Epoch::NONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_told_and_does_no_harm() {
    let rig = Rig::start(Kind::Local).await;
    for (said, heard) in [
        (r#"{"protocol":1,"ask":{"is":"head"}}"#, "speaks version 2"),
        (
            r#"{"protocol":2,"ask":{"is":"shutdown"}}"#,
            "does not understand",
        ),
        (
            r#"{"protocol":2,"ask":{"is":"get","id":"client:A"}}"#,
            "does not understand",
        ),
        (
            r#"{"protocol":2,"ask":{"is":"load"}}"#,
            r#"{"is":"head","head":{"epoch":0,"#,
        ),
        ("GET / HTTP/1.1", ""),
        ("\u{0}", ""),
    ] {
        let mut stream = UnixStream::connect(socket_path(&rig.path())).unwrap();
        stream.write_all(format!("{said}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains(heard), "{said}: {answer}");
        assert_eq!(answer.is_empty(), heard.is_empty(), "{said}: {answer}");
    }
    assert!(rig.handle().await.get(&id("a")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_commands_than_it_answers_at_a_time_wait_their_turn() {
    let rig = Rig::start(Kind::Local).await;
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let store = rig.handle().await;
        let change = create(client(&format!("c{n}")));
        tasks.spawn(async move { store.commit(&change).await.unwrap().epoch });
    }
    let mut epochs = tasks.join_all().await;
    epochs.sort();
    assert_eq!(epochs, (1..=200).map(Epoch).collect::<Vec<_>>());
}

/// What the other user of the test below does.
#[tokio::test]
#[ignore = "only run by the test below, in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the test is told by its parent where the socket is"
)]
async fn asks_through_the_socket() {
    let socket = std::env::var(SOCKET).unwrap();
    let answered = Client::connect(socket.as_ref()).await;
    println!("\nasked: {:?}", answered.map(drop));
}

/// The system tells who asks, whatever the mode of the socket became.
#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_not_answered() {
    const NOBODY: u32 = 65_534;
    let rig = Rig::start(Kind::Local).await;
    let socket = socket_path(&rig.path());
    if socket.metadata().unwrap().uid() != 0 {
        return; // Only root can become another user to try it.
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    open(folder.path(), 0o755);
    open(&program, 0o755);
    open(&socket, 0o666);
    open(socket.parent().unwrap(), 0o755);
    open(socket.parent().unwrap().parent().unwrap(), 0o755);
    let ask_as = |user: u32| {
        let output = Command::new(&program)
            .args(["--exact", "socket::asks_through_the_socket"])
            .args(["--ignored", "--nocapture"])
            .env(SOCKET, &socket)
            .current_dir("/")
            .uid(user)
            .gid(user)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let answer = ask_as(0);
    assert!(answer.contains("asked: Ok"), "{answer}");
    let answer = ask_as(NOBODY);
    assert!(answer.contains("asked: Err"), "{answer}");
}
