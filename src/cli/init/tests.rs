//! What `init` makes can be started with, and it takes nothing away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use tempfile::TempDir;

use crate::cli;
use crate::config::{Config, Problems};

fn keyferry(line: &str, folder: &Path) -> ExitCode {
    let line = line.replace("DIR", &folder.display().to_string());
    cli::run(line.split_whitespace().map(Into::into))
}

fn load(folder: &Path) -> Result<Config, Problems> {
    Config::load(&folder.join("keyferry.toml"), std::iter::empty())
}

fn is(code: ExitCode, status: u8) -> bool {
    format!("{code:?}") == format!("{:?}", ExitCode::from(status))
}

const DEV: &str = "keyferry init --dev-ca --backend http://127.0.0.1:8080 --dir DIR/new";

#[test]
fn what_it_makes_passes_the_check() {
    let folder = TempDir::new().unwrap();
    assert!(is(keyferry(DEV, folder.path()), 0));
    let new = folder.path().join("new");
    let config = load(&new).unwrap();
    assert_eq!(
        config.backends[0].addresses[0].to_string(),
        "127.0.0.1:8080"
    );
    for secret in [
        "pepper.key",
        "record.key",
        "api.key",
        "server.key",
        "clients-ca.key",
        "client.key",
    ] {
        let mode = fs::metadata(new.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert!(is(
        keyferry("keyferry check -c DIR/new/keyferry.toml", folder.path()),
        0
    ));
    assert!(is(
        keyferry("keyferry check -c DIR/other.toml", folder.path()),
        78
    ));
}

#[test]
fn it_takes_the_certificates_that_are_given() {
    let folder = TempDir::new().unwrap();
    assert!(is(keyferry(DEV, folder.path()), 0));
    let line = "keyferry init --ca DIR/new/clients-ca.pem --certificate DIR/new/server.pem \
                --key DIR/new/server.key --backend https://localhost --backend-ca \
                DIR/new/server.pem --dir DIR/second";
    assert!(is(keyferry(line, folder.path()), 0));
    let config = load(&folder.path().join("second")).unwrap();
    assert_eq!(config.backends[0].addresses[0].to_string(), "localhost:443");
    assert_eq!(
        config.backends[0].tls.as_ref().unwrap().server_name,
        "localhost"
    );
    assert!(!folder.path().join("second/server.key").exists());
}

#[test]
fn it_overwrites_nothing_unless_forced_and_secrets_never() {
    let folder = TempDir::new().unwrap();
    assert!(is(keyferry(DEV, folder.path()), 0));
    let read = |name: &str| fs::read(folder.path().join("new").join(name)).unwrap();
    let before = (read("pepper.key"), read("server.key"));
    fs::write(folder.path().join("new/keyferry.toml"), "mine").unwrap();
    assert!(is(keyferry(DEV, folder.path()), 64));
    assert_eq!(read("keyferry.toml"), b"mine");
    assert!(is(keyferry(&format!("{DEV} --force"), folder.path()), 0));
    assert_eq!(read("pepper.key"), before.0);
    assert_ne!(read("server.key"), before.1);
    assert!(load(&folder.path().join("new")).is_ok());
}

#[test]
fn it_wants_an_authority_and_a_backend_that_can_be() {
    let folder = TempDir::new().unwrap();
    for line in [
        "keyferry init --backend http://127.0.0.1:8080 --dir DIR",
        "keyferry init --dev-ca --dir DIR",
        "keyferry init --dev-ca --backend 127.0.0.1:8080 --dir DIR",
        "keyferry init --dev-ca --backend ftp://127.0.0.1 --dir DIR",
        "keyferry init --dev-ca --backend http://127.0.0.1/path --dir DIR",
        "keyferry init --dev-ca --backend http://127.0.0.1 --key DIR/x --dir DIR",
        "keyferry init --ca DIR/nowhere.pem --backend http://127.0.0.1 --dir DIR",
    ] {
        assert!(is(keyferry(line, folder.path()), 64), "{line}");
        assert!(!folder.path().join("keyferry.toml").exists(), "{line}");
    }
}
