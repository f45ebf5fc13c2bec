//! Where clients, certificates and keys are remembered.

use std::path::Path;

use super::{Builder, Built};
use crate::config::file::{self, StoreKind};
use crate::config::problem::KeyPath;
use crate::config::settings::StoreSettings;

impl Builder {
    pub(super) fn store(&mut self, typed: Option<file::Store>) -> Built<StoreSettings> {
        let at = KeyPath::top("store");
        let write =
            r#"write a table [store] with kind = "embedded" and path, or kind = "redis" and url"#;
        let typed = self.required(&at, typed, write)?;
        let write = r#"write kind = "embedded" or "redis""#;
        match self.required(&at.key("kind"), typed.kind, write)? {
            StoreKind::Embedded => {
                for (key, is_typed) in [
                    ("url", typed.url.is_some()),
                    ("user", typed.user.is_some()),
                    ("password_file", typed.password_file.is_some()),
                    ("sentinel", typed.sentinel.is_some()),
                    ("cluster", typed.cluster.is_some()),
                    ("tls", typed.tls.is_some()),
                    ("connect_timeout", typed.connect_timeout.is_some()),
                    ("response_timeout", typed.response_timeout.is_some()),
                ] {
                    self.unused(&at.key(key), is_typed, r#"kind = "redis""#);
                }
                let write = r#"write path = "state/keyferry.redb""#;
                let path = self.required(&at.key("path"), typed.path.as_deref(), write)?;
                self.embedded(&at.key("path"), path)
            }
            StoreKind::Redis => {
                self.unused(
                    &at.key("path"),
                    typed.path.is_some(),
                    r#"kind = "embedded""#,
                );
                let redis = self.redis(&at, typed)?;
                Ok(StoreSettings::Redis(Box::new(redis)))
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
}
