//! How clients come to be known, and how their keys look.

use std::path::PathBuf;
use std::time::Duration;

use super::{Builder, Built, all};
use crate::client::Enrolment;
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::config::settings::{FirstSights, Keys};
use crate::key::{Format, Pepper, Peppers};
use crate::secret::SecretBytes;

/// For how long a revocation can be taken back at most.
const LONGEST_RESTORE: Duration = Duration::from_hours(7 * 24);

impl Builder<'_> {
    pub(super) fn enrolment(
        &mut self,
        typed: Option<file::Enrolment>,
    ) -> Built<(Enrolment, FirstSights)> {
        let at = KeyPath::top("enrolment");
        let write = r#"write a table [enrolment] with mode = "auto", "approve" or "registered""#;
        let typed = self.required(&at, typed, write)?;
        let per_minute = self.at_least_one(&at.key("per_minute"), typed.per_minute);
        let at_most = self.at_least_one(&at.key("at_most"), typed.at_most);
        let write = r#"write mode = "auto", "approve" or "registered""#;
        let mode = self.required(&at.key("mode"), typed.mode, write)?;
        let first_sights = FirstSights {
            per_minute: per_minute?,
            at_most: usize::try_from(at_most?).unwrap_or(usize::MAX),
        };
        Ok((mode, first_sights))
    }

    /// A number of things that there may be: none would be a switch in disguise.
    pub(super) fn at_least_one(&mut self, at: &KeyPath, typed: u32) -> Built<u32> {
        if typed == 0 {
            return Err(self.problem(at, "0 would allow none at all", "write 1 or more"));
        }
        Ok(typed)
    }

    pub(super) fn keys(&mut self, typed: Option<file::Key>) -> Built<Keys> {
        let at = KeyPath::top("key");
        let write = "write a table [[key.pepper]] with version = 1 and file";
        let typed = self.required(&at, typed, write)?;
        let format = Format::new(&typed.brand, &typed.environment).map_err(|fault| {
            let parts = [("brand", &typed.brand), ("environment", &typed.environment)];
            let mut wrong = parts
                .into_iter()
                .filter(|(_, part)| Format::new(part, part).is_err());
            let (key, part) = wrong.next().unwrap_or(parts[0]);
            for (key, part) in wrong {
                let wrong = format!("{part:?} cannot begin a key");
                self.problem(&at.key(key), wrong, fault.to_string());
            }
            let wrong = format!("{part:?} cannot begin a key");
            self.problem(&at.key(key), wrong, fault.to_string())
        });
        let restore_window = typed.restore_window.as_duration();
        let restore_window = if restore_window <= LONGEST_RESTORE {
            Ok(restore_window)
        } else {
            let wrong = "a revocation that can be taken back for so long is none";
            Err(self.problem(&at.key("restore_window"), wrong, "write 7d or less"))
        };
        let per_client = self.at_least_one(&at.key("per_client"), typed.per_client);
        let peppers = self.peppers(&at, typed.pepper, typed.current_pepper);
        Ok(Keys {
            format: format?,
            peppers: peppers?,
            restore_window: restore_window?,
            per_client: usize::try_from(per_client?).unwrap_or(usize::MAX),
        })
    }

    fn peppers(
        &mut self,
        at: &KeyPath,
        typed: Vec<file::Pepper>,
        current: Option<u32>,
    ) -> Built<Peppers> {
        let list = at.key("pepper");
        let write = "write a table [[key.pepper]] with version = 1 and file";
        let typed = self.some(&list, typed, write)?;
        let typed = typed.into_iter().map(|typed| (typed.version, typed.file));
        let mut peppers = self.versioned_secrets(&list, typed)?;
        peppers.sort_by_key(|(version, _)| *version);
        let at_current = match current {
            None => peppers.len().checked_sub(1),
            Some(current) => peppers.iter().position(|(version, _)| *version == current),
        };
        let Some(at_current) = at_current else {
            let wrong = "there is no such pepper";
            let write = "name the version of a [[key.pepper]]";
            return Err(self.problem(&at.key("current_pepper"), wrong, write));
        };
        let (version, secret) = peppers.remove(at_current);
        let others = peppers
            .iter()
            .map(|(version, secret)| Pepper::new(*version, secret));
        Ok(Peppers::new(Pepper::new(version, &secret), others))
    }

    /// Secrets in files, each with a version of its own.
    pub(super) fn versioned_secrets(
        &mut self,
        at: &KeyPath,
        typed: impl Iterator<Item = (Option<u32>, Option<PathBuf>)>,
    ) -> Built<Vec<(u32, SecretBytes)>> {
        let mut seen = Vec::new();
        all(typed.enumerate().map(|(index, (version, file))| {
            let at = at.index(index);
            let version = self.required(&at.key("version"), version, "write version = 1");
            if let Ok(version) = version {
                if version == 0 {
                    let write = "count from 1";
                    self.problem(&at.key("version"), "0 is not a version", write);
                }
                if seen.contains(&version) {
                    let wrong = format!("{version} is taken already");
                    let write = "give a new secret the next number, and keep the old one";
                    self.problem(&at.key("version"), wrong, write);
                }
                seen.push(version);
            }
            let at = at.key("file");
            let write = "name a file with at least 32 secret bytes";
            let secret = self
                .required(&at, file.as_deref(), write)
                .and_then(|path| self.secret(&at, path));
            Ok((version?, secret?))
        }))
    }
}
