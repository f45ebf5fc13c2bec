//! What the environment changes.

use super::{Folder, MINIMAL};

#[test]
fn a_variable_wins_over_the_file() {
    let folder = Folder::new();
    let env = [
        ("KEYFERRY__listener__address", "127.0.0.1:1"),
        // Many tools write variables in upper case only.
        ("KEYFERRY__LISTENER__HTTP2", "false"),
        ("KEYFERRY__backend__0__addresses__0", "[::1]:2"),
        ("KEYFERRY__backend__0__addresses__1", "other:3"),
        ("KEYFERRY__telemetry__log", "debug"),
        ("KEYFERRY__listener__handshake_timeout", "3s"),
        ("KEYFERRY_CONFIG", "of no concern here"),
    ];
    let config = folder.load_with(MINIMAL, &env).unwrap();
    assert_eq!(config.listener.address.to_string(), "127.0.0.1:1");
    assert!(!config.listener.http2);
    assert_eq!(config.listener.handshake_timeout.as_secs(), 3);
    let addresses = config.backends[0].addresses.iter();
    let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
    assert_eq!(addresses, ["[::1]:2", "other:3"]);
    assert_eq!(config.telemetry.log, "debug");
}

#[test]
fn a_variable_can_hold_a_whole_table() {
    let folder = Folder::new();
    let table = r#"{ kind = "redis", url = "redis://10.0.0.1/1", unsigned_records = "accept" }"#;
    let config = folder
        .load_with(MINIMAL, &[("KEYFERRY__store", table)])
        .unwrap();
    assert_eq!(
        config.store.to_string(),
        "redis (10.0.0.1:6379, database 1)"
    );
}

#[test]
fn a_list_can_begin_in_the_environment() {
    let folder = Folder::new();
    let env = [
        ("KEYFERRY__route__1__name", "open"),
        ("KEYFERRY__route__1__path", "/open"),
        ("KEYFERRY__route__1__backend", "orders"),
        ("KEYFERRY__route__1__accept", "none"),
        ("KEYFERRY__self_service__path", "/me/"),
    ];
    let config = folder.load_with(MINIMAL, &env).unwrap();
    assert_eq!(config.routes[1].path, "/open");
    assert_eq!(config.self_service.path, "/me/");
}

#[test]
fn text_that_looks_like_a_number_is_text_where_text_is_asked_for() {
    let folder = Folder::new();
    let env = [
        ("KEYFERRY__listener__minimum_tls", "1.3"),
        ("KEYFERRY__key__brand", "42"),
    ];
    let config = folder.load_with(MINIMAL, &env).unwrap();
    assert!(config.keys.format.claims(b"42_live_"));
}

#[test]
fn a_wrong_variable_is_named() {
    let folder = Folder::new();
    let env = [
        ("KEYFERRY__", "x"),
        ("KEYFERRY__listener__adress", "127.0.0.1:1"),
        ("KEYFERRY__listener__address__x", "1"),
        ("KEYFERRY__listener__http2", "maybe"),
        ("KEYFERRY__backend__7__name", "x"),
        ("KEYFERRY__backend__first__name", "x"),
        ("KEYFERRY__route__1__name", "half"),
        ("KEYFERRY__ca__0__file", "nowhere.pem"),
    ];
    assert_eq!(folder.problems_with(MINIMAL, &env), SAID.trim());
}

const SAID: &str = r#"
KEYFERRY__: the name does not lead to a key; name the key with __ between its parts, for instance KEYFERRY__listener__address
KEYFERRY__backend__7__name: backend has no element 7; count from 0; the next new one is 1
KEYFERRY__backend__first__name: backend is a list and has no "first"; name the element by its number, counted from 0
KEYFERRY__ca__0__file: ca[0].file: nowhere.pem does not exist; create it or name another; relative paths begin at the folder of the configuration file
KEYFERRY__listener__address__x: listener.address is a string and has no "x"; take the rest of the name away
KEYFERRY__listener__adress: listener.adress: unknown key; write "address"
KEYFERRY__listener__http2: listener.http2: is a string; use true or false
KEYFERRY__route__1__name: route[1]: host "*" and path "/" are routed at keyferry.toml:33 already; change one of them or take it away
KEYFERRY__route__1__name: route[1].accept: missing; write accept = "certificate", "key", "either" or "none"
KEYFERRY__route__1__name: route[1].backend: missing; write backend = "…"
"#;
