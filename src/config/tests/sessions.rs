//! Where sessions are: what goes with what.

use super::{Folder, MINIMAL, with};
use crate::door::{Resumption, Sessions};

fn said(options: &str) -> String {
    let listener = "[listener]\n";
    let folder = Folder::new();
    folder.secret("ticket.key", b"0123456789abcdef0123456789ticket\n");
    folder.problems(&with(MINIMAL, listener, &format!("{listener}{options}\n")))
}

#[test]
fn sessions_are_in_tickets_or_in_memory_and_never_both() {
    let of = |options: &str| {
        let listener = "[listener]\n";
        let text = with(MINIMAL, listener, &format!("{listener}{options}\n"));
        Folder::new().load(&text).unwrap().listener.resumption
    };
    assert!(matches!(of(""), Resumption::Tickets(None)));
    assert_eq!(said("ticket_key_file = \"ticket.key\""), "");
    let told = said("session_bytes = 5");
    assert!(
        told.contains("listener.session_bytes: 5 cannot be used"),
        "{told}"
    );
    if !Sessions::Memory.are_possible() {
        return;
    }
    let kept = of(r#"sessions = "memory""#);
    assert!(matches!(kept, Resumption::Memory(33_554_432)), "{kept:?}");
    let both = said("sessions = \"memory\"\nticket_key_file = \"ticket.key\"");
    let place =
        "listener.ticket_key_file: with sessions = \"memory\" there are no tickets; take it away";
    assert!(both.contains(place) && !both.contains('\n'), "{both}");
    for bytes in [0, 1_048_575, 1_073_741_825] {
        let told = said(&format!("sessions = \"memory\"\nsession_bytes = {bytes}"));
        let wrong = format!("listener.session_bytes: {bytes} cannot be used; use 1048576 to");
        assert!(told.contains(&wrong) && !told.contains('\n'), "{told}");
    }
}

#[test]
fn a_library_that_keeps_no_sessions_is_asked_for_none() {
    let told = said(r#"sessions = "memory""#);
    let refused = "listener.sessions: BoringSSL, which this program was built with, keeps no sessions; \
                   write sessions = \"tickets\"";
    assert_eq!(
        told.contains(refused),
        !Sessions::Memory.are_possible(),
        "{told}"
    );
}
