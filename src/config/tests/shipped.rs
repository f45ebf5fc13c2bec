//! The files under conf/.

use std::fs;
use std::path::Path;

use super::{Folder, pki};
use crate::config::file::File;

fn shipped(name: &str) -> String {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    fs::read_to_string(conf.join(name)).unwrap()
}

#[test]
fn the_smallest_one_is_right() {
    let config = Folder::new().load(super::MINIMAL).unwrap();
    assert_eq!((config.cas.len(), config.backends.len()), (1, 1));
    assert_eq!(config.routes[0].backend, 0);
}

#[test]
fn the_reference_is_right_and_shows_the_defaults() {
    let folder = Folder::new();
    let reference = format!("{:?}", folder.load(&shipped("keyferry.toml")).unwrap());
    // What the reference adds to the smallest one are examples, not defaults.
    let text = shipped("minimal.toml")
        .replace("orders-1", "orders-2026-11")
        .replace(
            "keyferry.redb\"",
            "keyferry.redb\"\nrecord_keys = [{ version = 1, file = \"record.key\" }]",
        )
        .replace(
            "[[route]]",
            "[backend.health_check]\npath = \"/healthz\"\n\n[[route]]",
        );
    assert_eq!(reference, format!("{:?}", folder.load(&text).unwrap()));
}

#[test]
fn the_one_for_a_cluster_is_right() {
    let folder = Folder::new();
    let root = folder.path("mounted").display().to_string();
    for part in ["tls", "ca", "secrets", "state"] {
        fs::create_dir_all(format!("{root}/{part}")).unwrap();
    }
    let server = pki::server("api.example.com").self_signed();
    folder.write("mounted/tls/tls.crt", &server.pem());
    folder.secret("mounted/tls/tls.key", &server.key_pem());
    for ca in ["partners", "legacy", "cluster"] {
        let pem = pki::root(ca).self_signed().pem();
        folder.write(&format!("mounted/ca/{ca}.pem"), &pem);
    }
    for secret in [
        "pepper-1.key",
        "record-1.key",
        "redis.password",
        "orders.key",
        "payments.key",
    ] {
        let name = format!("mounted/secrets/{secret}");
        folder.secret(&name, secret.repeat(4).as_bytes());
        folder.mode(&name, 0o440);
    }
    let text = shipped("kubernetes.toml")
        .replace("/etc/keyferry", &root)
        .replace("/var/lib/keyferry", &format!("{root}/state"));
    let config = folder.load(&text).unwrap();
    assert_eq!((config.routes.len(), config.backends.len()), (4, 3));
}

#[test]
fn each_names_the_schema() {
    for name in ["keyferry.toml", "minimal.toml", "kubernetes.toml"] {
        assert!(
            shipped(name).starts_with("#:schema ./schema.json\n"),
            "{name}"
        );
    }
}

#[test]
fn the_schema_is_current() {
    let current = serde_json::to_string_pretty(&File::schema()).unwrap();
    assert!(
        shipped("schema.json").trim_end() == current,
        "conf/schema.json is old; write it again: make reference"
    );
}
