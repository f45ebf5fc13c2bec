//! Where clients, certificates and keys are remembered.

use std::path::Path;

use super::{Builder, Built, text};
use crate::config::file::{self, StoreKind};
use crate::config::problem::KeyPath;
use crate::config::settings::StoreSettings;
use crate::store::redis;

impl Builder {
    pub(super) fn store(&mut self, typed: Option<file::Store>) -> Built<StoreSettings> {
        let at = KeyPath::top("store");
        let write =
            r#"write a table [store] with kind = "embedded" and path, or kind = "redis" and url"#;
        let typed = self.required(&at, typed, write)?;
        let url = typed.url.as_deref();
        let (path, password) = (typed.path.as_deref(), typed.password_file.as_deref());
        let write = r#"write kind = "embedded" or "redis""#;
        match self.required(&at.key("kind"), typed.kind, write)? {
            StoreKind::Embedded => {
                self.unused(&at.key("url"), url.is_some(), r#"kind = "redis""#);
                let write = r#"kind = "redis""#;
                self.unused(&at.key("password_file"), password.is_some(), write);
                let write = r#"write path = "state/keyferry.redb""#;
                let path = self.required(&at.key("path"), path, write)?;
                self.embedded(&at.key("path"), path)
            }
            StoreKind::Redis => {
                self.unused(&at.key("path"), path.is_some(), r#"kind = "embedded""#);
                let write = r#"write url = "redis://127.0.0.1:6379/0""#;
                let url = self
                    .required(&at.key("url"), url, write)
                    .and_then(|url| self.redis_url(&at.key("url"), url));
                let at = at.key("password_file");
                let password = match password {
                    Some(path) => Some(self.password(&at, path)?),
                    None if url.as_ref().is_ok_and(|url| url.contains('@')) => {
                        let write = "name a file with the user's password";
                        return Err(self.problem(&at, "missing", write));
                    }
                    None => None,
                };
                Ok(StoreSettings::Redis(redis::Settings {
                    password,
                    ..redis::Settings::new(url?)
                }))
            }
        }
    }

    fn unused(&mut self, at: &KeyPath, typed: bool, kind: &str) {
        if typed {
            let write = format!("take it away, or write {kind}");
            self.problem(at, "is of no use to this kind of store", write);
        }
    }

    fn embedded(&mut self, at: &KeyPath, path: &Path) -> Built<StoreSettings> {
        let path = self.resolve(path);
        if path.is_dir() {
            let wrong = format!("{} is a folder", path.display());
            return Err(self.problem(at, wrong, "name the file in it, for instance keyferry.redb"));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            let wrong = format!("the folder {} does not exist", folder.display());
            let write = format!("make it with: mkdir -p -m 700 {}", folder.display());
            return Err(self.problem(at, wrong, write));
        }
        Ok(StoreSettings::Embedded { path })
    }

    /// A URL without a password. What could hold one is never shown.
    fn redis_url(&mut self, at: &KeyPath, url: &str) -> Built<String> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (user, server) = match rest.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) || url.contains("password=") {
            let wrong = "there is a password in it, and this file is no place for one";
            let write =
                "take it out, put it into a file of its own, and name that in password_file";
            return Err(self.problem(at, wrong, write));
        }
        if url.starts_with("rediss://") {
            let wrong = "TLS to Redis is not supported";
            return Err(self.problem(
                at,
                wrong,
                "write redis:// and keep Redis in a private network",
            ));
        }
        let (address, database) = server.split_once('/').unwrap_or((server, "0"));
        let with_port = format!("{address}:6379");
        let is_server = text::address(address).or_else(|| text::address(&with_port));
        let is_database = database.is_empty() || database.parse::<u16>().is_ok();
        let user_fits = user.is_none_or(is_user);
        if !url.starts_with("redis://") || is_server.is_none() || !is_database || !user_fits {
            let write =
                r#"write "redis://HOST:PORT/DATABASE" or "redis://USER@HOST:PORT/DATABASE""#;
            return Err(self.problem(at, "is not the URL of a Redis server", write));
        }
        Ok(url.to_owned())
    }
}

/// A user's name that needs no escaping in a URL.
fn is_user(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}
