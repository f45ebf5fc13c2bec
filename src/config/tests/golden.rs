//! What `check` says, word for word.

use super::{Folder, MINIMAL, with};

const WRONG: &str = include_str!("wrong.toml");

const SAID: &str = include_str!("wrong.txt");

#[test]
fn every_mistake_is_reported_at_once() {
    let folder = Folder::new();
    folder.write("empty.pem", b"");
    let ca = std::fs::read(folder.path("clients-ca.pem")).unwrap();
    folder.write("cut-off.pem", &ca[..ca.len() - 40]);
    folder.secret("other.key", &crate::pki::root("x").self_signed().key_pem());
    folder.secret("short.key", b"short\n");
    folder.write("open.key", b"0123456789abcdef0123456789abcdef");
    folder.mode("open.key", 0o644);
    let said = folder.problems(WRONG);
    for (said, expected) in said.lines().zip(SAID.lines()) {
        assert_eq!(said, expected);
    }
    assert_eq!(said.lines().count(), SAID.lines().count(), "{said}");
}

#[test]
fn what_is_not_toml_is_said_with_its_line() {
    let folder = Folder::new();
    let text = with(MINIMAL, "mode = \"auto\"", "mode = auto");
    let text = with(&text, "version = 1", "version = ");
    assert_eq!(
        folder.problems(&text),
        "keyferry.toml:18: this is not TOML: string values must be quoted, expected literal \
         string; see https://toml.io/en/v1.0.0\n\
         keyferry.toml:21: this is not TOML: string values must be quoted, expected literal \
         string; see https://toml.io/en/v1.0.0"
    );
}

#[test]
fn a_number_out_of_range_is_said() {
    let folder = Folder::new();
    let text = with(MINIMAL, "version = 1", "version = -1");
    let text = with(
        &text,
        "name = \"clients\"",
        "name = \"clients\"\nmax_depth = 256",
    );
    assert_eq!(
        folder.problems(&text),
        "keyferry.toml:15: ca[0].max_depth: is out of range; use a whole number from 0 on, and not a large one\n\
         keyferry.toml:22: key.pepper[0].version: is out of range; use a whole number from 0 on, and not a large one"
    );
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let folder = Folder::new();
    let missing = super::Config::load(&folder.path("missing.toml"), std::iter::empty());
    assert_eq!(
        folder.shown(&missing.unwrap_err()),
        "missing.toml: cannot be read: No such file or directory (os error 2); name the \
         configuration with --config, or make one with: keyferry init"
    );
}

#[test]
fn a_route_for_certificates_needs_a_listener_that_asks() {
    let folder = Folder::new();
    let off = with(MINIMAL, "\"optional\"", "\"off\"");
    assert_eq!(folder.problems(&off), "");
    assert_eq!(
        folder.problems(&with(&off, "\"either\"", "\"certificate\"")),
        "keyferry.toml:36: route[0].accept: no client can present a certificate while \
         listener.client_certificates is \"off\"; write \"key\" here, or \"optional\" there"
    );
}

#[test]
fn asking_for_certificates_needs_an_authority() {
    let folder = Folder::new();
    let none = with(
        MINIMAL,
        "[[ca]]\nname = \"clients\"\nfile = \"clients-ca.pem\"\n",
        "",
    );
    assert_eq!(
        folder.problems(&none),
        "keyferry.toml:1: ca: missing; write a table [[ca]] with name and file, or \
         listener.client_certificates = \"off\""
    );
}

#[test]
fn only_an_open_route_does_without_a_signature() {
    let folder = Folder::new();
    let signing = "signing = { key_id = \"orders-1\", secret_file = \"orders.key\" }\n";
    let unsigned = with(MINIMAL, signing, "");
    assert_eq!(
        folder.problems(&unsigned),
        "keyferry.toml:28: backend[0].signing: missing, and route \"orders\" leads identities \
         here; write signing = { key_id = \"…\", secret_file = \"…\" }"
    );
    assert_eq!(
        folder.problems(&with(&unsigned, "\"either\"", "\"none\"")),
        ""
    );
}

#[test]
fn nobody_observes_by_accident() {
    let folder = Folder::new();
    let config = folder.load(MINIMAL).unwrap();
    assert!(
        config.observe.is_none(),
        "it enforces unless told otherwise"
    );
    let missing = "keyferry.toml:1: observe.from: missing; name the addresses of the existing \
                   gateway: from = [\"10.0.0.5\"]; or take [observe] away to enforce";
    let told = |begin: &str| folder.problems(&format!("{begin}\n{MINIMAL}"));
    assert_eq!(told("[observe]"), missing);
    assert_eq!(told("[observe]\nfrom = []"), missing.replace(":1:", ":2:"));
    let unknown = told("mode = \"observe\"");
    assert!(
        unknown.starts_with("keyferry.toml:1: mode: unknown key"),
        "{unknown}"
    );
}

#[test]
fn nobody_believes_proxy_headers_by_accident() {
    let folder = Folder::new();
    let config = folder.load(MINIMAL).unwrap();
    assert!(config.listener.balancers.is_none());
    let told = |from: &str| {
        let key = format!("[listener]\nproxy_protocol_from = {from}");
        folder.problems(&with(MINIMAL, "[listener]", &key))
    };
    assert_eq!(told(r#"["10.0.0.5", "10.1.0.0/16", "2001:db8::/32"]"#), "");
    let at = "listener.proxy_protocol_from";
    assert_eq!(
        told("[]"),
        format!(
            "keyferry.toml:6: {at}: missing; name the addresses of the balancers: \
             proxy_protocol_from = [\"10.0.0.5\"]; or take it away when none sends PROXY headers"
        )
    );
    assert_eq!(
        told(r#"["0.0.0.0/0"]"#),
        format!(
            "keyferry.toml:6: {at}: \"0.0.0.0/0\" lets strangers name any address as theirs; name \
             the addresses that only the balancers use; no network wider than /8 (IPv6: /16) is taken"
        )
    );
}
