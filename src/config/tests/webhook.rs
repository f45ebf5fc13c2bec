//! Who is told what happens.

use super::{Folder, MINIMAL};
use crate::webhook::Kind;

const SECRET: &[u8] = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.secret("hook.whsec", SECRET);
    folder.secret("hook.key", b"0123456789abcdef0123456789abcdef\n");
    folder
}

fn with_webhook(lines: &str) -> String {
    format!("{MINIMAL}\n[[webhook]]\nname = \"hook\"\nsecret_file = \"hook.whsec\"\n{lines}\n")
}

#[test]
fn a_webhook_is_told_everything_at_its_address() {
    let config = folder().load(&with_webhook(
        r#"url = "http://127.0.0.1:9000/told?token=a%20b""#,
    ));
    let webhook = config.unwrap().webhooks.remove(0);
    assert_eq!(webhook.address.to_string(), "127.0.0.1:9000");
    assert_eq!(webhook.path, "/told?token=a%20b");
    assert_eq!(
        (webhook.secrets.len(), webhook.events.len()),
        (1, Kind::ALL.len())
    );
    for (url, address, path) in [
        ("http://localhost", "localhost:80", "/"),
        ("http://[::1]:81?x=y", "[::1]:81", "/?x=y"),
        ("http://127.9.9.9/", "127.9.9.9:80", "/"),
    ] {
        let config = folder().load(&with_webhook(&format!("url = \"{url}\"")));
        let webhook = config.unwrap().webhooks.remove(0);
        assert_eq!(
            (webhook.address.to_string().as_str(), webhook.path.as_str()),
            (address, path)
        );
    }
    let tls = r#"
        url = "https://hooks.example.com/told"
        tls = { ca_file = "clients-ca.pem" }
        events = ["key.issued", "brownout.begun"]
    "#;
    let webhook = folder()
        .load(&with_webhook(tls))
        .unwrap()
        .webhooks
        .remove(0);
    assert_eq!(webhook.address.to_string(), "hooks.example.com:443");
    assert_eq!(webhook.tls.unwrap().server_name, "hooks.example.com");
    assert_eq!(webhook.events, [Kind::KeyIssued, Kind::BrownoutBegun]);
}

#[test]
fn what_is_wrong_is_said_without_the_url() {
    for (lines, said) in [
        ("", "webhook[0].url: missing"),
        (r#"url = "hooks.example.com/canary""#, "it is no URL"),
        (
            r#"url = "ftp://hooks.example.com/canary""#,
            "neither with https nor http",
        ),
        (
            r#"url = "http://hooks.example.com/canary""#,
            "could read what it is told",
        ),
        (
            r#"url = "http://127.0.0.1.example.com/canary""#,
            "could read what it is told",
        ),
        (
            r#"url = "https://user:canary@hooks.example.com/""#,
            "there is a user",
        ),
        (r#"url = "https://hooks.example.com/#canary""#, "a fragment"),
        (
            r#"url = "https://hooks.example.com/a canary""#,
            "its host, port or path is none",
        ),
        (
            r#"url = "https://:443/canary""#,
            "its host, port or path is none",
        ),
        (
            "url = \"http://127.0.0.1/canary\"\ntls = { ca_file = \"clients-ca.pem\" }",
            "speaks no TLS",
        ),
        (
            "url = \"http://127.0.0.1/canary\"\nevents = [\"key.lost\"]",
            "key.lost",
        ),
        (
            "url = \"http://127.0.0.1/canary\"\nevents = [\"webhook.test\"]",
            "when the operator asks for it",
        ),
        (
            "url = \"http://127.0.0.1/canary\"\nformer_secret_file = \"hook.key\"",
            "it is not \"whsec_\" and 24 to 64 bytes in base64",
        ),
        (
            "url = \"http://127.0.0.1/canary\"\nformer_secret_file = \"hook.whsec\"",
            "holds the same secret as webhook[0].secret_file",
        ),
    ] {
        let problems = folder().problems(&with_webhook(lines));
        assert!(problems.contains(said), "{lines}: {problems}");
        assert!(!problems.contains("canary"), "{problems}");
    }
    let plain = "url = \"http://hooks.example.com/\"\nplain_http = true";
    assert_eq!(folder().problems(&with_webhook(plain)), "");
    let twice = with_webhook("url = \"http://127.0.0.1/\"").replace(
        "[[webhook]]",
        "[[webhook]]\nname = \"hook\"\nurl = \"http://127.0.0.1/\"\nsecret_file = \"hook.whsec\"\n[[webhook]]",
    );
    assert!(folder().problems(&twice).contains("is taken already"));
}
