//! Redis in its shapes, and what can be wrong with each.

use super::{Folder, MINIMAL, with};

const EMBEDDED: &str = r#"kind = "embedded"
path = "state/keyferry.redb""#;

/// A folder with all that Redis needs.
fn folder() -> Folder {
    let folder = Folder::new();
    for password in ["redis.password", "sentinel.password"] {
        folder.secret(password, b"right\n");
    }
    folder
}

fn store(lines: &str) -> String {
    with(
        MINIMAL,
        EMBEDDED,
        &format!(
            "kind = \"redis\"\nrecord_keys = [{{ version = 1, file = \"record.key\" }}]\n{lines}"
        ),
    )
}

#[test]
fn every_shape_is_told_in_a_line() {
    let folder = folder();
    for (lines, shown) in [
        (r#"url = "redis://redis""#, "redis:6379"),
        (r#"url = "redis://[::1]:6380/2""#, "[::1]:6380, database 2"),
        (
            "url = \"rediss://keyferry@redis:6380\"\npassword_file = \"redis.password\"\n\
             tls = { ca_file = \"clients-ca.pem\", server_name = \"redis.internal\", \
             certificate_file = \"server.pem\", key_file = \"server.key\" }",
            "redis:6380, TLS",
        ),
        (
            "user = \"keyferry\"\npassword_file = \"redis.password\"\n\
             sentinel = { addresses = [\"a:26379\", \"b:26379\"], master = \"main\", \
             user = \"watcher\", password_file = \"sentinel.password\", database = 1 }",
            "main of the sentinels a:26379 b:26379, database 1",
        ),
        (
            "cluster = { addresses = [\"a:6379\", \"b:6379\"] }\nconnect_timeout = \"1s\"\n\
             response_timeout = \"2s\"\ntls = { ca_file = \"clients-ca.pem\" }",
            "cluster of a:6379 b:6379, TLS",
        ),
    ] {
        let config = folder.load(&store(lines)).unwrap();
        assert_eq!(config.store.to_string(), format!("redis ({shown})"));
    }
}

#[test]
fn the_sentinels_speak_tls_unless_told_otherwise() {
    let folder = folder();
    let speak = |more: &str| {
        let lines = format!(
            "sentinel = {{ addresses = [\"a:26379\"], master = \"main\"{more} }}\n\
             tls = {{ ca_file = \"clients-ca.pem\" }}"
        );
        let config = folder.load(&store(&lines)).unwrap();
        format!("{:?}", config.store).matches("tls: Some").count()
    };
    assert_eq!((speak(""), speak(", tls = false")), (2, 1));
}

#[test]
fn every_mistake_is_told() {
    let folder = folder();
    for (lines, said) in [
        (
            "",
            r#"store.url: missing; write url = "redis://127.0.0.1:6379/0", or a table [store.sentinel] or [store.cluster]"#,
        ),
        (
            "url = \"redis://a\"\ncluster = { addresses = [\"a:6379\"] }",
            "store: url, sentinel and cluster do not go together; leave one of them",
        ),
        (
            "url = \"redis://a/x\"",
            "store.url: is not the URL of a Redis server; write \"redis://HOST:PORT/DATABASE\" or \
             \"redis://USER@HOST:PORT/DATABASE\"",
        ),
        (
            "url = \"redis://u@a\"",
            "store.password_file: missing; name a file with the user's password",
        ),
        (
            "url = \"redis://a\"\nuser = \"u\"\npassword_file = \"redis.password\"",
            "store.user: does not go with url; write it into the URL: redis://USER@HOST:PORT/DATABASE",
        ),
        (
            "url = \"rediss://a\"",
            "store.url: asks for TLS, and whom to trust is missing; write a table [store.tls] with \
             ca_file = \"…\"",
        ),
        (
            "url = \"redis://a\"\ntls = { ca_file = \"clients-ca.pem\" }",
            "store.url: asks for plain text, and there is a table [store.tls]; write rediss://, or \
             take the table away",
        ),
        (
            "url = \"rediss://a\"\ntls = { certificate_file = \"server.pem\", server_name = \"1.2.3.4\" }",
            "store.tls.ca_file: missing; name the authorities that are trusted; for public ones \
             \"/etc/ssl/certs/ca-certificates.crt\"\n\
             store.tls.key_file: missing; name the PEM file with the certificate's private key\n\
             store.tls.server_name: \"1.2.3.4\" is not a host name; write the name in the server's \
             certificate",
        ),
        (
            "sentinel = { addresses = [\"a\"], user = \"u\" }",
            "store.sentinel.addresses: \"a\" is not a host and a port; write for instance \
             \"10.0.0.1:26379\" or \"sentinel-0.redis:26379\"\n\
             store.sentinel.master: missing; write master = \"…\", as in the sentinels' own \
             \"sentinel monitor\"\n\
             store.sentinel.password_file: missing; name a file with the user's password",
        ),
        (
            "cluster = { addresses = [] }",
            "store.cluster.addresses: missing; write addresses = [\"10.0.0.1:6379\"]",
        ),
        (
            "url = \"redis://a\"\nconnect_timeout = \"0s\"",
            "store.connect_timeout: \"0s\" is not a duration; use a duration such as \"250ms\", \
             \"10s\", \"5m\" or \"24h\"",
        ),
    ] {
        let found = folder.problems(&store(lines));
        let found: Vec<_> = found
            .lines()
            .map(|line| line.split_once(": ").unwrap().1)
            .collect();
        assert_eq!(found.join("\n"), said, "{lines}");
    }
}
