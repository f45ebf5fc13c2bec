//! The directory in a file, so that a gateway starts while the store cannot be reached.
//!
//! The file begins with [`MAGIC`] and a salt. Then come pieces: a length (4 bytes, the highest
//! first) and so many bytes that ChaCha20-Poly1305 sealed, under a key that HMAC-SHA-256 makes of
//! the salt, with the piece's number and whether it is the last as the nonce. So a piece that was
//! changed, moved, left out or taken from another file does not open, nor does a file that was cut
//! off. The first piece says what is known since when; the others hold a record a line.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::Mac as _;
use serde::{Deserialize, Serialize};

use super::View;
use crate::clock::Timestamp;
use crate::key::keyed;
use crate::secret::SecretBytes;
use crate::store::{self, Epoch, Record, Versioned};

const MAGIC: &[u8; 21] = b"keyferry snapshot 1.\n";
const SALT: usize = 16;
/// How much is sealed at a time: as much as whole records come to beyond this.
const PIECE: usize = 64 * 1024;
/// The longest sealed piece that is read: a piece, the longest record, and the tag.
const LONGEST: usize = 1024 * 1024;
/// How far the clock may have been set back since a snapshot was written.
const SET_BACK: i64 = 60;

/// What a snapshot says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The place in the history up to which everything is in it.
    pub(super) at: store::Head,
    /// When the store last confirmed it.
    pub(super) current_at: Timestamp,
}

/// Why a snapshot is of no use, or was not written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no snapshot that this version can read; it is written anew", .0.display())]
    Foreign(PathBuf),
    /// It does not open.
    #[error(
        "{} does not open: it is damaged, cut off, or of another store or pepper; it is written anew",
        .0.display()
    )]
    Damaged(PathBuf),
    /// Its age cannot be told.
    #[error("{} is from the future ({at}): see that the clock is right", path.display())]
    Future {
        /// The file.
        path: PathBuf,
        /// When it was written.
        at: Timestamp,
    },
}

/// Where the snapshot is, and what it is sealed with.
#[derive(Clone, Debug)]
pub struct Snapshot {
    path: PathBuf,
    key: SecretBytes,
}

impl Snapshot {
    /// The snapshot in the file `path`, sealed under a key that is made of `key`, which is for
    /// snapshots of one store only.
    #[must_use]
    pub const fn new(path: PathBuf, key: SecretBytes) -> Self {
        Self { path, key }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the snapshot into the empty `view`; nothing when there is no file.
    pub(super) fn read(
        &self,
        view: View,
        now: Timestamp,
    ) -> Result<Option<(Head, View)>, SnapshotError> {
        let file = self.open()?;
        file.map(|file| self.read_from(file, view, now)).transpose()
    }

    /// How long ago the store confirmed what is in the file, every piece of which opens; nothing
    /// when there is no file.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`], as a gateway would meet it that begins with it.
    pub fn inspect(&self, now: Timestamp) -> Result<Option<Duration>, SnapshotError> {
        let Some(file) = self.open()? else {
            return Ok(None);
        };
        let (head, mut pieces) = self.begin(file, now)?;
        while pieces.next()?.is_some() {}
        Ok(Some(age(head, now)))
    }

    fn open(&self) -> Result<Option<BufReader<File>>, SnapshotError> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(BufReader::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(error)),
        }
    }

    fn begin<R: Read>(
        &self,
        from: R,
        now: Timestamp,
    ) -> Result<(Head, Pieces<'_, R>), SnapshotError> {
        let damaged = || SnapshotError::Damaged(self.path.clone());
        let mut pieces = Pieces::begin(from, self)?;
        let head = pieces.next()?.ok_or_else(damaged)?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| damaged())?;
        if head.current_at.seconds_since(now) > SET_BACK {
            let (path, at) = (self.path.clone(), head.current_at);
            return Err(SnapshotError::Future { path, at });
        }
        Ok((head, pieces))
    }

    fn read_from(
        &self,
        from: impl Read,
        view: View,
        now: Timestamp,
    ) -> Result<(Head, View), SnapshotError> {
        let damaged = || SnapshotError::Damaged(self.path.clone());
        let (head, mut pieces) = self.begin(from, now)?;
        while let Some(piece) = pieces.next()? {
            for line in piece
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                let (version, record): (Epoch, Record) =
                    serde_json::from_slice(line).map_err(|_| damaged())?;
                view.apply(Versioned { version, record });
            }
        }
        Ok((head, view))
    }

    /// Writes the snapshot in place of the one before, whole or not at all.
    pub(super) fn write(&self, head: Head, view: &View) -> Result<(), SnapshotError> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // Of one name, so that those which a crash left do not add up.
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let write = || {
            if let Err(error) = fs::remove_file(&new)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut options = fs::OpenOptions::new();
            let file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            self.write_to(io::BufWriter::new(&file), head, view)?;
            file.sync_all()?;
            // Two gateways write it while one takes over from the other.
            if fs::metadata(&new)?.ino() != file.metadata()?.ino() {
                return Err(io::Error::other("another gateway is writing it"));
            }
            fs::rename(&new, &self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error: io::Error| self.io(error))
    }

    fn write_to(&self, mut to: impl Write, head: Head, view: &View) -> io::Result<()> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        to.write_all(MAGIC)?;
        to.write_all(&salt)?;
        let mut seal = Seal {
            cipher: self.cipher(&salt),
            number: 0,
        };
        seal.piece(&mut to, &serde_json::to_vec(&head)?, false)?;
        let mut piece = Vec::with_capacity(PIECE.saturating_mul(2));
        let mut failed = None;
        view.records(|record| {
            let written = serde_json::to_writer(&mut piece, &(record.version, record.record));
            piece.push(b'\n');
            let mut result = written.map_err(io::Error::from);
            if piece.len() >= PIECE {
                result = result.and_then(|()| seal.piece(&mut to, &piece, false));
                piece.clear();
            }
            failed = failed.take().or_else(|| result.err());
        });
        if let Some(error) = failed {
            return Err(error);
        }
        seal.piece(&mut to, &piece, true)?;
        to.flush()
    }

    fn cipher(&self, salt: &[u8]) -> ChaCha20Poly1305 {
        let mut mac = keyed(self.key.expose());
        mac.update(MAGIC);
        mac.update(salt);
        let key: [u8; 32] = mac.finalize().into_bytes().into();
        ChaCha20Poly1305::new(&key.into())
    }

    fn io(&self, source: io::Error) -> SnapshotError {
        SnapshotError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// Seals and opens one piece after the other.
struct Seal {
    cipher: ChaCha20Poly1305,
    number: u64,
}

impl Seal {
    fn nonce(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; 12];
        let (number, last) = nonce.split_at_mut(8);
        number.copy_from_slice(&self.number.to_be_bytes());
        last.fill(u8::from(is_last));
        self.number = self.number.saturating_add(1);
        nonce.into()
    }

    fn piece(&mut self, to: &mut impl Write, plain: &[u8], is_last: bool) -> io::Result<()> {
        let nonce = self.nonce(is_last);
        let sealed = self.cipher.encrypt(&nonce, plain);
        let sealed = sealed.map_err(|_| io::Error::other("it cannot be sealed"))?;
        let length = u32::try_from(sealed.len())
            .ok()
            .filter(|_| sealed.len() <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("a record is too long"))?;
        to.write_all(&length.to_be_bytes())?;
        to.write_all(&sealed)
    }
}

/// The pieces of a file.
struct Pieces<'a, R> {
    snapshot: &'a Snapshot,
    from: R,
    seal: Seal,
    /// The length of the next piece; none after the last.
    next: Option<usize>,
}

impl<'a, R: Read> Pieces<'a, R> {
    fn begin(mut from: R, snapshot: &'a Snapshot) -> Result<Self, SnapshotError> {
        let mut start = [0; MAGIC.len() + SALT];
        let foreign = || SnapshotError::Foreign(snapshot.path.clone());
        from.read_exact(&mut start).map_err(|_| foreign())?;
        let salt = start.strip_prefix(MAGIC).ok_or_else(foreign)?;
        let seal = Seal {
            cipher: snapshot.cipher(salt),
            number: 0,
        };
        let mut pieces = Self {
            snapshot,
            from,
            seal,
            next: None,
        };
        pieces.next = pieces.length()?;
        Ok(pieces)
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        let Some(length) = self.next else {
            return Ok(None);
        };
        let mut sealed = vec![0; length];
        self.from
            .read_exact(&mut sealed)
            .map_err(|_| self.damaged())?;
        self.next = self.length()?;
        let nonce = self.seal.nonce(self.next.is_none());
        let opened = self.seal.cipher.decrypt(&nonce, sealed.as_slice());
        opened.map(Some).map_err(|_| self.damaged())
    }

    /// The length of the next piece; none when nothing follows.
    fn length(&mut self) -> Result<Option<usize>, SnapshotError> {
        let mut length = Vec::new();
        let read = self.from.by_ref().take(4).read_to_end(&mut length);
        read.map_err(|error| self.snapshot.io(error))?;
        if length.is_empty() {
            return Ok(None);
        }
        let length: [u8; 4] = length.try_into().map_err(|_| self.damaged())?;
        let length = usize::try_from(u32::from_be_bytes(length)).ok();
        let fits = length.filter(|length| *length <= LONGEST);
        fits.map(Some).ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> SnapshotError {
        SnapshotError::Damaged(self.snapshot.path.clone())
    }
}

/// How long ago the store confirmed what a snapshot holds.
pub(super) fn age(head: Head, now: Timestamp) -> Duration {
    let seconds = now.seconds_since(head.current_at).max(0);
    Duration::from_secs(seconds.unsigned_abs())
}

#[cfg(test)]
pub(super) mod tests;
