//! The secrets, from files, now and again: what changes there counts within seconds, without a restart.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::secret::{self, TOO_OPEN, TooShort};
use crate::sign::{SignError, SigningKey, Verifier};
use crate::verify::Guard;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the secrets are.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Files, each with the key id of its secret.
    pub files: Vec<(String, PathBuf)>,
    /// Folders in which every file is a secret, and its name the key id.
    pub folders: Vec<PathBuf>,
}

/// Why they cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// Nobody would be believed.
    #[error(
        "there is no secret; a folder that is named holds one file for each, called like its key id"
    )]
    None,
    /// Two secrets have one key id.
    #[error("two secrets have the key id {0:?}; every secret has a key id of its own")]
    Twice(String),
    /// A file or folder cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, String),
    /// Others may read or change it.
    #[error("{0} is open to others (mode {1:04o}): chmod 600 {0}")]
    TooOpen(String, u32),
    /// Not long enough.
    #[error("{0}: {1}")]
    TooShort(String, TooShort),
    /// Not the name of a secret.
    #[error("{0:?}: {1}")]
    KeyId(String, SignError),
}

impl Secrets {
    /// Reads them all.
    ///
    /// # Errors
    ///
    /// [`NotUsable`]: all of them can be used, or none is.
    pub fn read(&self) -> Result<Vec<SigningKey>, NotUsable> {
        let mut files = self.files.clone();
        for folder in &self.folders {
            files.extend(files_in(folder).map_err(|error| unreadable(folder, &error))?);
        }
        files.sort();
        let doubled = files.windows(2).find_map(|two| match two {
            [(one, _), (other, _)] if one == other => Some(one.clone()),
            _ => None,
        });
        match doubled {
            Some(key_id) => Err(NotUsable::Twice(key_id)),
            None if files.is_empty() => Err(NotUsable::None),
            None => files
                .iter()
                .map(|(key_id, file)| key(key_id, file))
                .collect(),
        }
    }
}

/// What begins with a dot is none: so Kubernetes names what it swaps.
fn files_in(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

fn key(key_id: &str, file: &Path) -> Result<SigningKey, NotUsable> {
    let shown = || file.display().to_string();
    let read = || {
        Ok((
            fs::metadata(file)?.permissions().mode() & 0o777,
            fs::read(file)?,
        ))
    };
    let (mode, contents) = read().map_err(|error| unreadable(file, &error))?;
    let secret = secret::from_file_contents(contents);
    if mode & TOO_OPEN != 0 {
        return Err(NotUsable::TooOpen(shown(), mode));
    }
    let secret = secret.map_err(|short| NotUsable::TooShort(shown(), short))?;
    SigningKey::new(key_id, &secret).map_err(|error| NotUsable::KeyId(key_id.to_owned(), error))
}

fn unreadable(path: &Path, error: &io::Error) -> NotUsable {
    NotUsable::Unreadable(path.display().to_string(), error.to_string())
}

/// Has the guard believe what the files say.
pub(super) struct Follow {
    secrets: Secrets,
    guard: Arc<Guard>,
}

impl Follow {
    pub(super) fn new(secrets: Secrets, guard: Arc<Guard>) -> Self {
        guard.metrics.secrets_current.set(1);
        Self { secrets, guard }
    }

    /// Looks once. What cannot be used changes nothing, and is told once.
    fn look(&self, told: &mut Option<NotUsable>) {
        match self.secrets.read() {
            Ok(keys) => {
                *told = None;
                self.guard.metrics.secrets_current.set(1);
                self.take(keys);
            }
            Err(error) if told.as_ref() == Some(&error) => {}
            Err(error) => {
                self.guard.metrics.secrets_current.set(0);
                tracing::warn!(%error, "the secrets stay as they were");
                *told = Some(error);
            }
        }
    }

    fn take(&self, keys: Vec<SigningKey>) {
        let next = Verifier::new(keys, self.guard.verifier.load().names().clone());
        if self.guard.verifier.load().believes_like(&next) {
            return;
        }
        tracing::info!(
            secrets = super::list(next.key_ids().map(str::to_owned)),
            "other secrets are believed from now on"
        );
        self.guard.verifier.store(Arc::new(next));
    }
}

#[async_trait]
impl BackgroundService for Follow {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let (mut again, mut told) = (tokio::time::interval(LOOK_EVERY), None);
        loop {
            tokio::select! {
                _ = again.tick() => self.look(&mut told),
                _ = shutdown.changed() => break,
            }
        }
    }
}
