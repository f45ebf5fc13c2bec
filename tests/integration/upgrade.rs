//! Another gateway takes over from the one that runs, on the same sockets.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;

use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::load::{load, more_requests};
use crate::support::process::Process;
use crate::support::scene::Scene;
use crate::support::wait_for;
use crate::support::wire::{Shown, Tls};
use crate::support::world::World;

const SERVES: &str = "has taken over, and serves";

fn builder(scene: &Scene) -> Builder<'_> {
    scene
        .builder()
        .set("shutdown.upgrade_socket", "keyferry.upgrade")
        .set("shutdown.lame_duck", "2s")
}

#[track_caller]
fn wait_for_words(process: &mut Process, words: &str) {
    wait_for(words, || process.log().contains(words).then_some(()));
}

/// Waits until the process has ended in good order.
#[track_caller]
fn wait_for_end(process: &mut Process) {
    let status = wait_for("the end", || process.ended());
    assert!(status.success(), "{status}\n{}", process.log());
    assert!(process.log().contains("stopped"), "{}", process.log());
}

/// Another gateway follows. Gives the one before, which ends.
#[track_caller]
fn upgrade(gateway: &mut Gateway, name: &str) -> Process {
    let mut successor = gateway.begin_successor(name);
    wait_for(SERVES, || {
        assert_eq!(successor.ended(), None, "{}", successor.log());
        successor.log().contains(SERVES).then_some(())
    });
    gateway.replace(successor)
}

/// The attack on availability is the upgrade itself. Clients that connect anew, that keep their
/// connections and that speak HTTP/2 notice nothing of three in a row.
#[test]
fn three_upgrades_in_a_row_under_load_fail_no_request() {
    let scene = Scene::new();
    let mut gateway = builder(&scene).start();
    let alice = scene.world.client("alice");
    let clients = (&alice, &scene.backend);
    let outcome = load(&scene.world, gateway.address(), clients, false, || {
        for name in ["second", "third", "fourth"] {
            let mut before = upgrade(&mut gateway, name);
            wait_for_end(&mut before);
            let log = before.log();
            assert!(log.contains("no connection is left"), "{log}");
            assert!(!log.contains("are cut"), "{log}");
            more_requests(&scene.backend);
        }
    });
    eprintln!("{outcome:#?}");
    for (kind, outcome) in &outcome {
        assert_eq!(outcome.failures, [""; 0], "{kind}");
        assert!(outcome.answers > 100, "{kind}: {outcome:?}");
    }
    // Whoever had a connection was told to come by another, each time.
    for kind in ["kept", "h2"] {
        assert!(outcome[kind].told >= 3, "{outcome:#?}");
    }
    assert_eq!(gateway.health("/readyz"), 200);
}

/// The control of the one above: when one gateway ends and another begins, clients notice.
#[test]
fn a_restart_without_handing_over_refuses_connections() {
    let scene = Scene::new();
    let mut gateway = builder(&scene).start();
    let alice = scene.world.client("alice");
    let clients = (&alice, &scene.backend);
    let outcome = load(&scene.world, gateway.address(), clients, true, || {
        assert!(gateway.stop().success());
        gateway.start_again();
        more_requests(&scene.backend);
    });
    assert!(outcome["new"].refused > 0, "{outcome:#?}");
}

/// Whatever keeps the other from serving, the gateway that runs goes on, and can hand over later.
#[test]
fn a_successor_that_does_not_get_to_serve_changes_nothing() {
    let scene = Scene::new();
    let mut gateway = builder(&scene).start();
    let alice = scene.world.client("alice");
    let serves = |gateway: &Gateway| {
        let answer = gateway.curl("/").certificate(&alice).send();
        answer.expect_status(200);
        assert_eq!(gateway.health("/readyz"), 200);
    };
    let config = gateway.config_file();
    let right = std::fs::read_to_string(&config).unwrap();

    // It finds its configuration wrong.
    std::fs::write(&config, format!("{right}\n[nonsense]\n")).unwrap();
    let mut wrong = gateway.begin_successor("wrong");
    let status = wait_for("its end", || wrong.ended());
    assert_eq!(status.code(), Some(78), "{}", wrong.log());
    serves(&gateway);

    // It has the sockets, cannot reach the store, and dies.
    let nowhere = right.replace(&scene.store.url(), "redis://127.0.0.1:1/0");
    assert_ne!(nowhere, right);
    std::fs::write(&config, nowhere).unwrap();
    let mut lost = gateway.begin_successor("lost");
    wait_for_words(gateway.process(), "gives its sockets");
    serves(&gateway);
    lost.kill();
    wait_for_words(gateway.process(), "this one goes on");
    assert!(!lost.log().contains(SERVES), "{}", lost.log());
    for _ in 0..10 {
        serves(&gateway);
    }
    // Or is told to stop, which it does.
    let mut stopped = gateway.begin_successor("stopped");
    wait_for("the second hand-over", || {
        (gateway.log().matches("gives its sockets").count() == 2).then_some(())
    });
    let status = stopped.stop();
    // One that only just begins ends by the signal itself.
    let is_ended = status.success() || status.signal() == Some(15);
    assert!(is_ended, "{status}\n{}", stopped.log());
    wait_for("the second end of it", || {
        (gateway.log().matches("this one goes on").count() == 2).then_some(())
    });
    serves(&gateway);

    std::fs::write(&config, right).unwrap();
    let mut before = upgrade(&mut gateway, "right");
    wait_for_end(&mut before);
    serves(&gateway);
}

/// The gateway that was followed still hears of what is revoked, for those who are connected to it.
#[test]
fn what_is_revoked_after_the_upgrade_is_refused_by_both() {
    let scene = Scene::new();
    let mut gateway = builder(&scene)
        .set("shutdown.lame_duck", "1h")
        .set("shutdown.drain_timeout", "1h")
        .start();
    let alice = scene.world.client("alice");
    let shown = Shown {
        issued: alice.issued.clone(),
        whole: true,
    };
    let tls = Tls::trusting(&scene.world.servers.x509);
    // Each has one answer, and is told to come by another connection then.
    let mut connected: Vec<_> = (0..50)
        .map(|_| {
            let mut wire = tls.connect(gateway.address(), Some(&shown)).unwrap();
            let answer = wire.call("GET", "/", &[]).unwrap();
            assert_eq!(
                (answer.status, answer.header("connection")),
                (200, Some("keep-alive"))
            );
            wire
        })
        .collect();
    let id = scene.backend.last().header("x-client-id").to_owned();
    let mut before = upgrade(&mut gateway, "second");
    wait_for_words(&mut before, "accepts no more connections");
    let mut ask = || {
        let mut wire = connected.pop().expect("enough connections");
        wire.call("GET", "/", &[]).unwrap()
    };
    let answer = ask();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    let disabled = gateway.cli(&["client", "disable", &id]);
    disabled.expect_success();
    wait_for("a refusal by the gateway before", || {
        (ask().reason() == "client_disabled").then_some(())
    });
    wait_for("a refusal by the gateway that follows", || {
        let answer = gateway.curl("/").certificate(&alice).send();
        (answer.status == 403).then_some(())
    });
    assert!(before.stop().success());
}

#[test]
fn to_follow_where_no_gateway_runs_is_to_start() {
    let scene = Scene::new();
    let mut gateway = builder(&scene).start();
    let socket = gateway.path("keyferry.upgrade");
    let mode = wait_for("the socket", || {
        Some(std::fs::metadata(&socket).ok()?.permissions().mode())
    });
    // Whoever gets in there gets the sockets.
    assert_eq!(mode & 0o777, 0o600);
    assert!(gateway.stop().success());
    let successor = gateway.begin_successor("second");
    let _ended = gateway.replace(successor);
    wait_for("a gateway that serves", || {
        (gateway.health("/readyz") == 200).then_some(())
    });
    assert!(
        gateway.log().contains("no gateway runs"),
        "{}",
        gateway.log()
    );
}

/// Nobody but the owner of the gateway gets its sockets by asking in another way.
#[test]
fn a_question_that_is_none_gets_no_sockets() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let scene = Scene::new();
    let mut gateway = builder(&scene).start();
    let path = gateway.path("keyferry.upgrade");
    for question in ["GET / HTTP/1.1\r\n\r\n", "\n", "keyferry-sockets 2 x\n"] {
        let mut line = wait_for("the socket", || UnixStream::connect(&path).ok());
        line.write_all(question.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ended = line.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{question:?}");
    }
    let mut before = upgrade(&mut gateway, "second");
    wait_for_end(&mut before);
}

#[test]
fn without_a_socket_for_it_none_can_follow() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let told = gateway.cli(&["run", "--upgrade"]);
    assert_eq!(told.status.code(), Some(64), "{told:#?}");
    assert!(told.errors.contains("shutdown.upgrade_socket"), "{told:#?}");
}
