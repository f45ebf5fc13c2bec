//! The keys, from files, now and again: what changes there counts within seconds, without a restart.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::config::read_up_to;
use crate::secret::{self, CHANGEABLE, Secret, TOO_OPEN, TooShort, shown};
use crate::sign::jwks::{self, NotAKeySet};
use crate::sign::{self, Algorithm, KeyFault, SigningKey, Verifier, VerifyingKey};
use crate::verify::Guard;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// No key and no set is larger. They are read every second, and whoever writes a set is not always trusted
/// with more than its keys.
const LARGEST: u64 = 1 << 20;

/// Where the keys are.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Files, each with the key id of its secret.
    pub secrets: Vec<(String, PathBuf)>,
    /// Folders in which every file is a secret, and its name the key id.
    pub folders: Vec<PathBuf>,
    /// Files, each with the key id of its public key.
    pub public_keys: Vec<(String, PathBuf)>,
    /// Files with a JWK set.
    pub key_sets: Vec<PathBuf>,
}

/// Why they cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// Nobody would be believed.
    #[error(
        "there is no key; a folder of secrets holds one file for each, called like its key id, and a JWK set keys for Ed25519"
    )]
    None,
    /// Two keys have one key id.
    #[error("two keys have the key id {0:?}; every key has a key id of its own")]
    Twice(String),
    /// With the one, everybody can sign as the other.
    #[error(
        "a public key is a secret, too: those with the key ids {0:?} and {1:?}; make a secret with: openssl rand -hex 32"
    )]
    Confused(String, String),
    /// A file or folder cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, String),
    /// Others may read or change a secret.
    #[error("{0} is open to others (mode {1:04o}): chmod 600 {0}")]
    TooOpen(String, u32),
    /// Others may change a public key.
    #[error("{0} can be changed by others (mode {1:04o}): chmod 644 {0}")]
    Changeable(String, u32),
    /// Not long enough.
    #[error("{0}: {1}")]
    TooShort(String, TooShort),
    /// Not a key, or not the name of one.
    #[error("{0} ({1:?}): {2}")]
    Key(String, String, KeyFault),
    /// Not a JWK set.
    #[error("{0}: {1}")]
    KeySet(String, NotAKeySet),
}

impl Keys {
    /// Reads them all.
    ///
    /// # Errors
    ///
    /// [`NotUsable`]: all of them can be used, or none is.
    pub fn read(&self) -> Result<Vec<VerifyingKey>, NotUsable> {
        let mut secrets = self.secrets.clone();
        for folder in &self.folders {
            secrets.extend(files_in(folder).map_err(|error| unreadable(folder, &error))?);
        }
        let mut keys = Vec::new();
        for (key_id, file) in &secrets {
            keys.push(signing_key(key_id, file, Algorithm::HmacSha256)?.into());
        }
        for (key_id, file) in &self.public_keys {
            keys.push(verifying_key(key_id, file)?);
        }
        for file in &self.key_sets {
            let set = jwks::read(&public(file)?);
            keys.extend(set.map_err(|fault| NotUsable::KeySet(shown(file), fault))?);
        }
        keys.sort_by(|one, other| one.id().cmp(other.id()));
        let doubled = keys.windows(2).find_map(|two| match two {
            [one, other] if one.id() == other.id() => Some(one.id().to_owned()),
            _ => None,
        });
        let mut pairs = { keys.iter().enumerate() }
            .flat_map(|(at, one)| keys.iter().take(at).map(move |other| (other, one)));
        if let Some((one, other)) = pairs.find(|(one, other)| sign::are_confused(one, other)) {
            let [one, other] = [one, other].map(|key| key.id().to_owned());
            return Err(NotUsable::Confused(one, other));
        }
        match doubled {
            Some(key_id) => Err(NotUsable::Twice(key_id)),
            None if keys.is_empty() => Err(NotUsable::None),
            None => Ok(keys),
        }
    }
}

/// What signs by this algorithm, from a file: a secret, or a private key.
///
/// # Errors
///
/// [`NotUsable`] when it is none, or others may read or change it.
pub fn signing_key(
    key_id: &str,
    file: &Path,
    algorithm: Algorithm,
) -> Result<SigningKey, NotUsable> {
    let (mode, contents) = read(file)?;
    let contents = Secret::new(contents);
    if mode & TOO_OPEN != 0 {
        return Err(NotUsable::TooOpen(shown(file), mode));
    }
    let key = match algorithm {
        Algorithm::HmacSha256 => {
            let secret = secret::from_file_contents(contents.expose().clone());
            let secret = secret.map_err(|short| NotUsable::TooShort(shown(file), short))?;
            SigningKey::new(key_id, &secret)
        }
        Algorithm::Ed25519 => SigningKey::ed25519(key_id, &contents),
    };
    key.map_err(|fault| not_usable(key_id, file, fault))
}

/// What checks by Ed25519, from a file with a public key.
///
/// # Errors
///
/// [`NotUsable`] when it is none, or others may change it.
pub fn verifying_key(key_id: &str, file: &Path) -> Result<VerifyingKey, NotUsable> {
    let key = VerifyingKey::ed25519(key_id, &public(file)?);
    key.map_err(|fault| not_usable(key_id, file, fault))
}

/// What anybody may read, and only its owner changes.
fn public(file: &Path) -> Result<Vec<u8>, NotUsable> {
    let (mode, contents) = read(file)?;
    if mode & CHANGEABLE != 0 {
        return Err(NotUsable::Changeable(shown(file), mode));
    }
    Ok(contents)
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

fn read(file: &Path) -> Result<(u32, Vec<u8>), NotUsable> {
    let read = read_up_to(file, LARGEST).map_err(|error| unreadable(file, &error))?;
    let mode = read.metadata.permissions().mode() & 0o777;
    Ok((mode, read.contents))
}

fn not_usable(key_id: &str, file: &Path, fault: KeyFault) -> NotUsable {
    NotUsable::Key(shown(file), key_id.to_owned(), fault)
}

fn unreadable(path: &Path, error: &io::Error) -> NotUsable {
    NotUsable::Unreadable(shown(path), error.to_string())
}

/// Has the guard believe what the files say.
pub(super) struct Follow {
    keys: Keys,
    guard: Arc<Guard>,
}

impl Follow {
    pub(super) fn new(keys: Keys, guard: Arc<Guard>) -> Self {
        guard.metrics.secrets_current.set(1);
        Self { keys, guard }
    }

    /// Looks once. What cannot be used changes nothing, and is told once.
    fn look(&self, told: &mut Option<NotUsable>) {
        match self.keys.read() {
            Ok(keys) => {
                *told = None;
                self.guard.metrics.secrets_current.set(1);
                self.take(keys);
            }
            Err(error) if told.as_ref() == Some(&error) => {}
            Err(error) => {
                self.guard.metrics.secrets_current.set(0);
                tracing::warn!(%error, "the keys stay as they were");
                *told = Some(error);
            }
        }
    }

    fn take(&self, keys: Vec<VerifyingKey>) {
        let next = Verifier::new(keys, self.guard.verifier.load().names().clone());
        if self.guard.verifier.load().believes_like(&next) {
            return;
        }
        tracing::info!(
            keys = super::list(next.key_ids().map(str::to_owned)),
            "other keys are believed from now on"
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
