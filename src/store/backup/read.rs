//! Reading a backup: first all of it to see whether it is one, then again for what it holds. Somebody
//! may write to the file meanwhile, so that each line is held against what it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use hmac::Mac as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{END, FORM, Header, Line, SealedWith, Secrets};
use crate::key::PepperVersion;
use crate::store::Record;

/// The longest line that is read.
const LONGEST_LINE: u64 = 16 << 20;

/// Why a file is no backup to restore from.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no backup (keyferry store backup)", .0.display())]
    Foreign(PathBuf),
    /// A newer program wrote it.
    #[error("{} has form {form}, and this program knows {FORM}; use the version that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        form: u64,
    },
    /// The configuration does not have its secret.
    #[error("{} is authenticated with {with}, which the configuration does not have", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The secret.
        with: SealedWith,
    },
    /// Its end is missing.
    #[error("{} is cut off: it has no last line with a MAC", .0.display())]
    CutOff(PathBuf),
    /// Its MAC is wrong.
    #[error(
        "{} is not authentic: it was changed, put together, or written with other secrets under the same versions",
        .0.display()
    )]
    Altered(PathBuf),
    /// A line cannot be read.
    #[error("{}, line {line}: {why}; use the version that wrote it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

/// How much of what there is in a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Records by kind.
    pub records: BTreeMap<&'static str, u64>,
    /// Clients of which it is said when they were seen.
    pub sightings: u64,
    /// Credentials of which it is said when they were used.
    pub uses: u64,
    /// Days of clients with requests.
    pub days: u64,
    /// How much was left out when it was made, since it was not believed or could not be read.
    pub left_out: u64,
    /// Keys with a digest, by the pepper that it was made with.
    pub keys_by_pepper: BTreeMap<PepperVersion, u64>,
}

impl Contents {
    /// Counts what is in a line.
    pub fn count(&mut self, line: &Line) {
        match line {
            Line::Record { record, .. } => {
                more(self.records.entry(record.id().kind()).or_default(), 1);
                if let Record::Key(key) = &**record
                    && let Some(digest) = key.digest
                {
                    more(self.keys_by_pepper.entry(digest.pepper()).or_default(), 1);
                }
            }
            Line::Sighting { .. } => more(&mut self.sightings, 1),
            Line::Use { .. } => more(&mut self.uses, 1),
            Line::Days { days, .. } => more(&mut self.days, days.len()),
            Line::LeftOut { .. } => more(&mut self.left_out, 1),
        }
    }
}

fn more(count: &mut u64, by: usize) {
    *count = count.saturating_add(u64::try_from(by).unwrap_or(u64::MAX));
}

/// A file that is an authentic and whole backup, every line of which can be read.
#[derive(Debug)]
pub struct Backup {
    file: File,
    path: PathBuf,
    header: Header,
    contents: Contents,
    /// The SHA-256 of each line between the first and the last.
    digests: Vec<[u8; 32]>,
}

impl Backup {
    /// The backup in the file `path`.
    ///
    /// # Errors
    ///
    /// [`BackupError`].
    pub fn open(path: &Path, secrets: &Secrets<'_>) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|source| BackupError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::of(file, path, secrets)
    }

    /// The backup in an open file that is called `path`.
    ///
    /// # Errors
    ///
    /// [`BackupError`].
    pub fn of(file: File, path: &Path, secrets: &Secrets<'_>) -> Result<Self, BackupError> {
        let checked = check(&file, path, secrets)?;
        let (contents, digests) = checked.read(&file, path, secrets)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            header: checked.header,
            contents,
            digests,
        })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What is in it.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// How many lines there are between the first and the last.
    #[must_use]
    pub const fn number_of_lines(&self) -> u64 {
        self.digests.len() as u64
    }

    /// Every line from the beginning, each time.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn lines(&self) -> Result<Lines<'_>, BackupError> {
        let mut raw = Raw::begin(&self.file, &self.path)?;
        raw.next()?; // The header.
        Ok(Lines {
            digests: self.digests.iter(),
            raw,
        })
    }
}

/// The lines of a backup.
pub struct Lines<'a> {
    raw: Raw<'a>,
    digests: std::slice::Iter<'a, [u8; 32]>,
}

impl Iterator for Lines<'_> {
    type Item = Result<Line, BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        let digest = self.digests.next()?;
        let line = match self.raw.expect() {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        if Sha256::digest(&line)[..] != digest[..] {
            return Some(Err(BackupError::Altered(self.raw.path.to_owned())));
        }
        Some(self.raw.decode(&line))
    }
}

/// What is known of a file whose MAC is right.
struct Checked {
    header: Header,
    /// How many lines there are before the last.
    lines: u64,
    mac: Vec<u8>,
}

impl Checked {
    /// What is in the file, and the digests of its lines, if it is still the same. Only now, when it is
    /// known how many there are: whoever makes up a file fills no memory.
    fn read(
        &self,
        file: &File,
        path: &Path,
        secrets: &Secrets<'_>,
    ) -> Result<(Contents, Vec<[u8; 32]>), BackupError> {
        let altered = || BackupError::Altered(path.to_owned());
        let mut mac = secrets.mac(self.header.key).ok_or_else(altered)?;
        let mut raw = Raw::begin(file, path)?;
        mac.update(&raw.expect()?); // The header.
        let (mut contents, mut digests) = (Contents::default(), Vec::new());
        for _ in 1..self.lines {
            let line = raw.expect()?;
            mac.update(&line);
            digests.push(Sha256::digest(&line).into());
            contents.count(&raw.decode(&line)?);
        }
        mac.update(end(self.lines).as_bytes());
        mac.verify_slice(&self.mac).map_err(|_| altered())?;
        Ok((contents, digests))
    }
}

/// The last line of a backup with so many lines before it, up to the MAC.
fn end(lines: u64) -> String {
    format!("{END}{lines},")
}

fn check(file: &File, path: &Path, secrets: &Secrets<'_>) -> Result<Checked, BackupError> {
    let foreign = || BackupError::Foreign(path.to_owned());
    let mut raw = Raw::begin(file, path)?;
    let first = raw.next()?.ok_or_else(foreign)?;
    let header = header(&first, path)?;
    let with = header.key;
    let unknown = || BackupError::UnknownKey {
        path: path.to_owned(),
        with,
    };
    let mut mac = secrets.mac(with).ok_or_else(unknown)?;
    let (mut last, mut lines) = (first, 0u64);
    while let Some(line) = raw.next()? {
        mac.update(&last);
        lines = lines.saturating_add(1);
        last = line;
    }
    let end = end(lines);
    let cut_off = || BackupError::CutOff(path.to_owned());
    let last = std::str::from_utf8(&last).map_err(|_| cut_off())?;
    let has_end = last.starts_with(END) && last.ends_with("\"}\n");
    if !has_end {
        return Err(cut_off());
    }
    let altered = || BackupError::Altered(path.to_owned());
    let stored = last.strip_prefix(&end).ok_or_else(altered)?;
    let stored = stored.strip_prefix("\"mac\":\"").ok_or_else(altered)?;
    let stored = stored.strip_suffix("\"}\n").ok_or_else(altered)?;
    let stored = hex::decode(stored).map_err(|_| altered())?;
    mac.update(end.as_bytes());
    mac.verify_slice(&stored).map_err(|_| altered())?;
    Ok(Checked {
        header,
        lines,
        mac: stored,
    })
}

fn header(line: &[u8], path: &Path) -> Result<Header, BackupError> {
    let foreign = || BackupError::Foreign(path.to_owned());
    let json: serde_json::Value = serde_json::from_slice(line).map_err(|_| foreign())?;
    let form = json
        .get("keyferry_backup")
        .and_then(serde_json::Value::as_u64);
    match form.ok_or_else(foreign)? {
        form if form == u64::from(FORM) => serde_json::from_value(json).map_err(|_| foreign()),
        form => Err(BackupError::Newer {
            path: path.to_owned(),
            form,
        }),
    }
}

/// Lines as they are in the file, each with its end.
struct Raw<'a> {
    from: BufReader<&'a File>,
    path: &'a Path,
    read: u64,
}

impl<'a> Raw<'a> {
    fn begin(mut file: &'a File, path: &'a Path) -> Result<Self, BackupError> {
        file.rewind().map_err(|source| BackupError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            from: BufReader::new(file),
            path,
            read: 0,
        })
    }

    /// The next line, which was there before.
    fn expect(&mut self) -> Result<Vec<u8>, BackupError> {
        let path = self.path;
        self.next()?
            .ok_or_else(|| BackupError::CutOff(path.to_owned()))
    }

    /// What the line says that was read last.
    fn decode(&self, line: &[u8]) -> Result<Line, BackupError> {
        serde_json::from_slice(line).map_err(|error| BackupError::Unreadable {
            path: self.path.to_owned(),
            line: self.read,
            why: error.to_string(),
        })
    }

    /// The next line; nothing at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        let mut line = Vec::new();
        let read = (&mut self.from)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        let path = || self.path.to_owned();
        read.map_err(|source| BackupError::Io {
            path: path(),
            source,
        })?;
        self.read = self.read.saturating_add(1);
        match line.last() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) if self.read == 1 => Err(BackupError::Foreign(path())),
            Some(_) => Err(BackupError::CutOff(path())),
        }
    }
}
