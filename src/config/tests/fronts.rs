//! Fronts: what each must show, and what is no front.

use super::{Folder, MINIMAL};
use crate::pki;

const NAMED: &str = r#"certificate = { ca_file = "fronts-ca.pem", names = ["edge.internal"] }"#;
const SECRET: &str = r#"secret_files = ["front.secret"]"#;

/// What shows nothing, or too much, with what more stands in the table, and what is said of it.
const WRONG: [(&str, &str, &str); 14] = [
    ("", "", ": nothing shows that a request is this front's"),
    (
        SECRET,
        NAMED,
        ".secret_files: a front shows a certificate or a secret, not either",
    ),
    (
        r#"secret_files = ["odd.secret"]"#,
        "",
        ".secret_files[0]: the secret cannot stand in a header",
    ),
    (
        r#"certificate = { ca_file = "clients-ca.pem", names = ["a"] }"#,
        "",
        ".certificate.ca_file: it holds an authority of the ca \"clients\"",
    ),
    (
        r#"certificate = { ca_file = "fronts-ca.pem" }"#,
        "",
        ".certificate.names: missing",
    ),
    (
        r#"certificate = { sha256 = ["ab"] }"#,
        "",
        ".certificate.sha256: \"ab\" is not a SHA-256 fingerprint",
    ),
    ("certificate = {}", "", ".certificate.sha256: missing"),
    (
        NAMED,
        "signed = true",
        ".signed: no secret signs a certificate of this front's",
    ),
    (
        SECRET,
        "header = \"X-Certificate\"",
        ".header: \"X-Certificate\" is not taken away from what clients send",
    ),
    (
        SECRET,
        "header = \"X_SSL_Client_Cert\"",
        ".header: \"X_SSL_Client_Cert\" is not taken away",
    ),
    (
        SECRET,
        "client_address_header = \"X-Key-Id\"",
        ".client_address_header: \"X-Key-Id\" is not a header for addresses",
    ),
    (
        SECRET,
        "asks = \"original\"\nmay_claim = true",
        ".asks: a front that asks brings nobody who could claim a key",
    ),
    (
        SECRET,
        "asks = \"forwarded\"\nsigned = true",
        ".asks: what the front signs is not all that the answer is signed for",
    ),
    // S10: who saw such a question could ask about another body.
    (
        SECRET,
        "asks = \"request-line\"\nsigned = true",
        ".asks: what the front signs is not all that the answer is signed for",
    ),
];

/// Also where its balancer is known: it would be one connection for all.
#[test]
fn p5_a_front_that_asks_forwards_no_certificate_in_a_proxy_header() {
    let folder = Folder::new();
    folder.secret("front.secret", b"0123456789abcdef0123456789front!\n");
    let told = |more: &str| {
        let front = "[[front]]\nname = \"edge\"\nfrom = [\"10.0.0.5\"]\nformat = \"proxy-v2\"\n";
        folder.problems(&format!("{MINIMAL}\n{front}{SECRET}\n{more}"))
    };
    let wrong = "a PROXY header tells of a connection";
    assert!(!told("").contains(wrong));
    assert!(told("asks = \"original\"").contains(wrong));
}

#[test]
fn p1_a_front_must_show_something_that_no_client_has() {
    let folder = Folder::new();
    let fronts = pki::root("fronts").self_signed();
    folder.write("fronts-ca.pem", &fronts.pem());
    folder.secret("front.secret", b"0123456789abcdef0123456789front!\n");
    folder.secret("odd.secret", b"0123456789abcdef 0123456789abcdef");
    let told = |shows: &str, more: &str| {
        let front = "[[front]]\nname = \"edge\"\nfrom = [\"10.0.0.5\"]\nformat = \"nginx\"\n";
        folder.problems(&format!("{MINIMAL}\n{front}{shows}\n{more}"))
    };
    let pin = "AB:".repeat(31) + "AB";
    let pinned = format!("certificate = {{ sha256 = [\"{pin}\"] }}");
    for (shows, more) in [
        (NAMED, ""),
        (&pinned, ""),
        (SECRET, ""),
        (SECRET, "signed = true\nheader = \"SSL-Client-Cert\""),
        (SECRET, "client_address_header = \"X-Real-IP\""),
        (NAMED, "asks = \"forwarded\""),
        (SECRET, "asks = \"request-line\""),
    ] {
        assert_eq!(told(shows, more), "");
    }
    for (shows, more, expected) in WRONG {
        let said = told(shows, more);
        let (_, said) = said.split_once(": front[0]").unwrap();
        assert!(said.starts_with(expected) && !said.contains('\n'), "{said}");
    }
}
