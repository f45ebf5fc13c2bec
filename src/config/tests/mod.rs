//! Whole files: what is right, and everything that is wrong with the rest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Config, Problems};
use crate::pki;

mod again;
mod fronts;
mod golden;
mod masquerade;
mod overrides;
mod own;
mod redis;
mod reference;
mod secrets;
mod sessions;
mod shipped;
mod signing;
mod tracing;
mod webhook;

/// A folder with every file that `MINIMAL` names, and more.
struct Folder {
    folder: TempDir,
}

/// The smallest configuration.
const MINIMAL: &str = include_str!("../../../conf/minimal.toml");

impl Folder {
    fn new() -> Self {
        let folder = Self {
            folder: TempDir::new().unwrap(),
        };
        let ca = pki::root("clients").self_signed();
        let server = pki::server("localhost").signed_by(&ca);
        folder.write("clients-ca.pem", &ca.pem());
        folder.write("server.pem", &server.chain_pem());
        folder.secret("server.key", &server.key_pem());
        folder.secret("pepper.key", b"0123456789abcdef0123456789pepper\n");
        folder.secret("record.key", b"0123456789abcdef0123456789record\n");
        folder.secret("orders.key", b"0123456789abcdef0123456789orders\n");
        fs::create_dir(folder.path("state")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, contents: &[u8]) {
        fs::write(self.path(name), contents).unwrap();
    }

    fn secret(&self, name: &str, contents: &[u8]) {
        self.write(name, contents);
        self.mode(name, 0o600);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self, text: &str) -> Result<Config, Problems> {
        self.load_with(text, &[])
    }

    fn load_with(&self, text: &str, env: &[(&str, &str)]) -> Result<Config, Problems> {
        self.write("keyferry.toml", text.as_bytes());
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::load(&self.path("keyferry.toml"), env.iter().map(owned))
    }

    /// Every problem, one a line, without the name of the folder.
    fn problems(&self, text: &str) -> String {
        self.problems_with(text, &[])
    }

    fn problems_with(&self, text: &str, env: &[(&str, &str)]) -> String {
        match self.load_with(text, env) {
            Ok(_) => String::new(),
            Err(problems) => self.shown(&problems),
        }
    }

    fn shown(&self, problems: &Problems) -> String {
        let folder = format!("{}/", self.folder.path().display());
        problems.to_string().replace(&folder, "")
    }
}

/// `text` with one part replaced, which must be there.
fn with(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "{part:?} is not in the file");
    text.replacen(part, by, 1)
}
