//! Sessions that the gateway keeps in its memory: what is not the same with tickets. The tests of what is,
//! in `resumption` and elsewhere, run with both settings (`make sessions`).

use std::path::Path;
use std::thread::scope;

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::process::with_boringssl;
use crate::support::proxy::{Mode, Proxy};
use crate::support::s_client::{SClient, VERSIONS, altered, closing};
use crate::support::wait_for;
use crate::support::world::{HOST, World};

/// The session with one bit changed of the name that the gateway knows it by.
fn renamed(session: &Path, version: &str) -> String {
    altered(session, |der| {
        // OpenSSL's own form of a session (d2i_SSL_SESSION(3)): the name is the ticket, `[10] EXPLICIT OCTET
        // STRING`, and before TLS 1.3 the session id, which comes first.
        let before: &[u8] = match version {
            "1.2" => &[0x04, 0x20],
            _ => &[0xaa, 0x22, 0x04, 0x20],
        };
        let found = der.windows(before.len()).position(|part| part == before);
        found.expect("a name of 32 bytes") + before.len() + 7
    })
}

/// R8: a name is 32 random bytes, and good at the gateway that gave it.
#[test]
fn r8_a_session_is_found_by_its_own_name_and_at_its_own_gateway_alone() {
    if with_boringssl() {
        return;
    }
    let (world, backend) = (World::new(), Backend::start());
    let [gateway, other] = [(); 2].map(|()| {
        let builder = Gateway::builder(&world).echo(&backend);
        builder.set("listener.sessions", "memory").start()
    });
    let client = world.client("client");
    for version in VERSIONS {
        let session = world.path(version);
        let connect = |to: &Gateway| to.s_client().certificate(&client).tls(version);
        let begun = connect(&gateway).keep_session(&session).send(&closing());
        assert_eq!(begun.status(), Some(200), "{begun:#?}");
        let renamed_session = world.path("renamed");
        std::fs::write(&renamed_session, renamed(&session, version)).unwrap();
        for (to, session, is_resumed) in [
            (&gateway, &session, true),
            (&gateway, &renamed_session, false),
            (&other, &session, false),
        ] {
            let again = connect(to).resume_session(session).send(&closing());
            let state = (again.status(), again.was_resumed());
            assert_eq!(state, (Some(200), is_resumed), "{again:#?}");
        }
    }
}

/// OpenSSL's own memory of sessions would forget it: with that in place of ours, this fails.
#[test]
fn a_client_that_went_by_a_reset_resumes_its_session() {
    let (world, backend) = (World::new(), Backend::start());
    let client = world.client("client");
    let keep_alive = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for sessions in ["tickets", "memory"] {
        if sessions == "memory" && with_boringssl() {
            continue;
        }
        let gateway = Gateway::builder(&world).echo(&backend);
        let gateway = gateway.set("listener.sessions", sessions).start();
        let proxy = Proxy::to(gateway.address().port());
        let through = proxy.address();
        for version in VERSIONS {
            let session = world.path(&format!("{sessions}-{version}"));
            let connect = |to| SClient::to(to, HOST).certificate(&client).tls(version);
            let open = r#"keyferry_connections{state="open"}"#;
            let cut_off = scope(|scope| {
                let connect = connect(through).keep_session(&session);
                let client = scope.spawn(|| connect.send(keep_alive.as_bytes()));
                wait_for("the connection and its session", || {
                    (session.exists() && gateway.metric(open) > 0.5).then_some(())
                });
                proxy.set(Mode::Reset);
                client.join().unwrap()
            });
            assert!(!cut_off.was_resumed(), "{cut_off:#?}");
            wait_for("its end", || (gateway.metric(open) < 0.5).then_some(()));
            proxy.set_new(Mode::Pass);
            let again = connect(gateway.address()).resume_session(&session);
            let again = again.send(&closing());
            let state = (again.status(), again.was_resumed());
            assert_eq!(state, (Some(200), true), "{sessions}: {again:#?}");
        }
    }
}

/// docs/BORINGSSL.md
#[test]
fn boringssl_keeps_no_sessions_and_says_so() {
    let (world, backend) = (World::new(), Backend::start());
    let setup = Gateway::builder(&world).echo(&backend);
    let setup = setup.set("listener.sessions", "memory").write();
    let told = setup.cli(&["check"]);
    let refused =
        "listener.sessions: BoringSSL, which this program was built with, keeps no sessions";
    assert_eq!(told.output.contains(refused), with_boringssl(), "{told:#?}");
}
