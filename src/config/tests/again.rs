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

fn named(now: &Seen, before: &Seen) -> [Vec<String>; 2] {
    let changes = now.changes_since(before);
    [changes.live, changes.needs_restart].map(|names| names.into_iter().collect())
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
    folder.secret("server.key", b"another");
    let changed = with(
        MINIMAL,
        "[[key.pepper]]",
        "[key]\ncurrent_pepper = 1\n[[key.pepper]]",
    );
    let changed = with(&changed, "orders-1", "orders-2");
    let changed = format!(
        "{changed}\n[self_service]\npath = \"/keys/\"\n[admin]\naddress = \"127.0.0.1:1\"\n"
    );
    let now = folder.seen(&changed);
    let live = [
        "backend[orders].signing.key_id",
        "key.current_pepper",
        "key.pepper[0].file",
        "listener.certificate[0].key_file",
        "self_service.path",
    ];
    let needs_restart = ["admin.address"];
    assert_eq!(named(&now, &before), [&live[..], &needs_restart]);
    assert_eq!(named(&before, &now), [&live[..], &needs_restart]);
    assert_eq!(named(&now, &now), [[""; 0]; 2]);
}

#[test]
fn who_comes_first_in_a_list_changes_nothing_of_the_others() {
    let folder = Folder::new();
    let before = folder.seen(MINIMAL);
    let route =
        "[[route]]\nname = \"new.one\"\npath = \"/new\"\nbackend = \"orders\"\naccept = \"key\"\n";
    let changed = with(MINIMAL, "[[route]]", &format!("{route}[[route]]"));
    let now = folder.seen(&changed);
    assert_eq!(named(&now, &before), [&["route[new.one] (new)"][..], &[]]);
    assert_eq!(named(&before, &now), [&["route[new.one] (gone)"][..], &[]]);
    let renamed = folder.seen(&changed.replace("/new", "/newer"));
    assert_eq!(named(&renamed, &now), [&["route[new.one].path"][..], &[]]);
}

/// What was read while a volume was swapped may be of both folders.
#[test]
fn the_same_contents_in_another_folder_are_something_else() {
    let folder = Folder::new();
    let swap = |to: &str| {
        let link = folder.path("..next");
        std::os::unix::fs::symlink(to, &link).unwrap();
        std::fs::rename(link, folder.path("..data")).unwrap();
    };
    for name in ["..one", "..two"] {
        std::fs::create_dir(folder.path(name)).unwrap();
        folder.secret(
            &format!("{name}/pepper.key"),
            b"0123456789abcdef0123456789pepper\n",
        );
    }
    swap("..one");
    std::fs::remove_file(folder.path("pepper.key")).unwrap();
    std::os::unix::fs::symlink("..data/pepper.key", folder.path("pepper.key")).unwrap();
    let seen = folder.seen(MINIMAL);
    assert!(seen.is_current());
    swap("..two");
    assert!(!seen.is_current());
    let now = folder.seen(MINIMAL);
    assert_ne!(now, seen);
    assert_eq!(named(&now, &seen), [[""; 0]; 2], "nothing that people set");
    assert_eq!(now.files_changed_since(&seen), [folder.path("pepper.key")]);
}

#[test]
fn what_is_each_gateways_own_makes_no_other_digest() {
    let folder = Folder::new();
    let started = folder.seen(MINIMAL);
    let before = started.digest(&started);
    let digest = |text: &str| {
        let seen = folder.seen(text);
        [seen.digest(&seen), seen.digest(&started)]
    };
    let elsewhere = format!("{MINIMAL}\n[admin]\naddress = \"127.0.0.1:1\"\n");
    assert_eq!(digest(&elsewhere), [before.clone(), before.clone()]);
    let other = with(MINIMAL, "orders-1", "orders-2");
    assert!(digest(&other).iter().all(|digest| *digest != before));
    // What needs a restart is another thing for a gateway that started with it.
    let [restarted, not_yet] = digest(&format!("{MINIMAL}\n[limits]\nconnections = 77\n"));
    assert_ne!(restarted, before);
    assert_eq!(not_yet, before);
    folder.secret("pepper.key", b"0123456789abcdef0123456789another");
    assert!(digest(MINIMAL).iter().all(|digest| *digest != before));
}
