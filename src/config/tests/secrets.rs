//! No secret is shown: not by `Debug`, not by a problem.

use super::{Folder, MINIMAL, with};

const CANARY: &str = "canary-7f3a9c51e2d84b06";

fn shows_the_canary(text: &str) -> bool {
    let bytes = format!("{:?}", CANARY.as_bytes());
    let listed = bytes.trim_matches(['[', ']']);
    text.contains(CANARY) || text.contains(listed) || text.contains(&hex::encode(CANARY))
}

const REDIS: &str = r#"kind = "redis"
url = "redis://keyferry@127.0.0.1:6379/0"
password_file = "redis.password"
unsigned_records = "accept""#;
const EMBEDDED: &str = r#"kind = "embedded"
path = "state/keyferry.redb""#;

#[test]
fn debug_of_the_configuration_shows_no_secret() {
    assert!(shows_the_canary(&format!(
        "{:?}",
        CANARY.as_bytes().to_vec()
    )));
    let folder = Folder::new();
    folder.secret("pepper.key", format!("pepper-{CANARY}-{CANARY}").as_bytes());
    folder.secret("orders.key", format!("orders-{CANARY}-{CANARY}").as_bytes());
    folder.secret("redis.password", CANARY.as_bytes());
    let key = std::fs::read_to_string(folder.path("server.key")).unwrap();
    folder.secret("server.key", format!("{CANARY}\n{key}").as_bytes());
    let config = folder.load(&with(MINIMAL, EMBEDDED, REDIS)).unwrap();
    let shown = format!("{config:?} {config:#?} {}", config.store);
    assert!(!shows_the_canary(&shown), "{shown}");
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    // The secrets were read, or the test would show nothing.
    assert!(shown.contains("[redacted]"));
}

#[test]
fn a_password_in_the_url_is_refused_and_not_shown() {
    let folder = Folder::new();
    for url in [
        format!("redis://keyferry:{CANARY}@127.0.0.1/0"),
        format!("redis://:{CANARY}@127.0.0.1/0"),
        format!("rediss://u:{CANARY}@127.0.0.1/0"),
        format!("{CANARY}:x@127.0.0.1"),
        format!("redis://u:p@{CANARY}@127.0.0.1/0"),
        format!("redis://u:p/{CANARY}@127.0.0.1/0"),
        format!("redis://127.0.0.1/0?password={CANARY}"),
        format!("redis://127.0.0.1/{CANARY}"),
        format!("redis://127.0.0.1/0#{CANARY}"),
    ] {
        let redis = format!("kind = \"redis\"\nurl = \"{url}\"");
        let said = folder.problems(&with(MINIMAL, EMBEDDED, &redis));
        assert!(said.contains("store.url: "), "{said}");
        assert!(!shows_the_canary(&said), "{said}");
        let env = [
            ("KEYFERRY__store__kind", "redis"),
            ("KEYFERRY__store__url", &url),
        ];
        let said = folder.problems_with(MINIMAL, &env);
        assert!(said.contains("KEYFERRY__store__url: store.url: "), "{said}");
        assert!(!shows_the_canary(&said), "{said}");
    }
}

#[test]
fn a_secret_in_a_wrong_place_is_not_repeated() {
    let folder = Folder::new();
    for wrong in [
        format!("password = \"{CANARY}\""),
        format!("password_file = [\"{CANARY}\"]"),
        format!("password_file = {{ {CANARY} = 1 }}"),
        format!("password_file = {CANARY}"),
        format!("password_file = \"{CANARY}"),
    ] {
        let said = folder.problems(&with(MINIMAL, EMBEDDED, &format!("{REDIS}\n{wrong}")));
        assert!(!said.is_empty() && !shows_the_canary(&said), "{said}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let folder = Folder::new();
    for (mode, refused) in [
        (0o600, false),
        (0o400, false),
        // As Kubernetes mounts it for a group.
        (0o440, false),
        (0o640, false),
        (0o660, true),
        (0o644, true),
        (0o604, true),
        (0o602, true),
    ] {
        for name in ["pepper.key", "orders.key", "server.key"] {
            folder.mode(name, mode);
            let said = folder.problems(MINIMAL);
            assert_eq!(
                said.contains(&format!("chmod 600 {name}")),
                refused,
                "{mode:o} {said}"
            );
            folder.mode(name, 0o600);
        }
    }
}

#[test]
fn one_secret_for_two_purposes_is_refused() {
    let folder = Folder::new();
    let pepper = std::fs::read(folder.path("pepper.key")).unwrap();
    folder.secret("orders.key", &pepper);
    assert_eq!(
        folder.problems(MINIMAL),
        "keyferry.toml:31: backend[0].signing.secret_file: holds the same secret as \
         key.pepper[0].file; make another with: openssl rand -hex 32"
    );
}
