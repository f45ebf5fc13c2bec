//! What a second reading tells.

use super::{Folder, MINIMAL, with};
use crate::config::{Seen, Source};

impl Folder {
    fn seen(&self, text: &str) -> Seen {
        self.write("keyferry.toml", text.as_bytes());
        let source = Source::new(self.path("keyferry.toml"), std::iter::empty());
        source.read().seen
    }
}

fn named(now: &Seen, before: &Seen) -> Vec<String> {
    let changed = now.needs_restart_since(before);
    changed.iter().map(ToString::to_string).collect()
}

#[test]
fn every_file_that_was_read_is_watched_also_one_that_was_missing() {
    let folder = Folder::new();
    let seen = folder.seen(MINIMAL);
    assert!(seen.is_current());
    for name in ["pepper.key", "orders.key", "server.key"] {
        let good = std::fs::read(folder.path(name)).unwrap();
        folder.secret(name, b"another");
        assert!(!seen.is_current(), "{name}");
        folder.secret(name, &good);
        folder.mode(name, 0o644);
        assert!(!seen.is_current(), "{name}");
        folder.mode(name, 0o600);
        assert!(seen.is_current(), "{name}");
        std::fs::remove_file(folder.path(name)).unwrap();
        let without = folder.seen(MINIMAL);
        assert!(!seen.is_current() && without.is_current(), "{name}");
        folder.secret(name, &good);
        assert!(!without.is_current(), "{name}");
    }
}

#[test]
fn what_needs_a_restart_is_told_from_what_does_not() {
    let folder = Folder::new();
    let before = folder.seen(MINIMAL);
    folder.secret("pepper.key", b"0123456789abcdef0123456789another");
    let live = with(
        MINIMAL,
        "[[key.pepper]]",
        "[key]\ncurrent_pepper = 1\n[[key.pepper]]",
    );
    let live = with(&live, "orders-1", "orders-2");
    assert!(named(&folder.seen(&live), &before).is_empty());
    folder.secret("server.key", b"another");
    let other = format!("{live}\n[self_service]\npath = \"/keys/\"\n");
    let now = folder.seen(&other);
    let expected = ["listener.certificate[0].key_file", "self_service.path"];
    assert_eq!(named(&now, &before), expected);
    assert_eq!(named(&before, &now), expected);
}
