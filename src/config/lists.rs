//! The revocation lists that a configuration names: read, and read again when they change.
//!
//! A list can have a million entries, so whether it changed is told by what the file system says of
//! it, and not by reading it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::problem::{KeyPath, Place, Problem, Problems};
use super::source::read_up_to;
use super::{Config, ListFiles};
use crate::certificate::{Ca, ListFile, ListState, Revocation, Trust};
use crate::clock::Timestamp;

/// The largest file of lists. (A million entries take 40 to 70 MiB.)
const LARGEST: u64 = 256 << 20;

/// The files of a folder that are read.
const ENDINGS: [&str; 3] = ["pem", "crl", "der"];

/// The lists as they were last read. A file that cannot be read stays as it was when it could.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    look: Look,
    folders: BTreeMap<PathBuf, Vec<PathBuf>>,
    files: BTreeMap<PathBuf, Known>,
    problems: Problems,
}

/// What the file system says of all folders and files: the same as long as nothing changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    folders: BTreeMap<PathBuf, Listing>,
    files: BTreeMap<PathBuf, Option<Stamp>>,
}

/// The files of a folder, or why they cannot be told.
type Listing = Result<Vec<PathBuf>, String>;

/// Which file it is, how large it is, and when it was changed: its contents, and anything of it.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

#[derive(Clone, Debug, Default)]
struct Known {
    stamp: Option<Stamp>,
    hash: [u8; 32],
    read: Option<Arc<ListFile>>,
    problem: Option<String>,
}

impl Look {
    /// Looks at all of them.
    pub fn at<'a>(sources: impl IntoIterator<Item = &'a ListFiles>) -> Self {
        let mut look = Self::default();
        for source in sources {
            for folder in &source.folders {
                let listing = list(folder).map_err(|error| error.to_string());
                for file in listing.iter().flatten() {
                    look.files.insert(file.clone(), stamp(file));
                }
                look.folders.insert(folder.clone(), listing);
            }
            for file in &source.files {
                look.files.insert(file.clone(), stamp(file));
            }
        }
        look
    }
}

impl Config {
    /// How it stands with each of the revocation lists that it names, by their files.
    ///
    /// # Errors
    ///
    /// Those that cannot be read.
    pub fn revocation_lists(&self, now: Timestamp) -> Result<Vec<ListState>, Problems> {
        let lists = Lists::read(self.lists.iter().flatten())?;
        let cas = lists.fill(self.cas.clone(), &self.lists);
        // The authorities are those of a configuration that is right.
        Ok(Trust::new(1, cas).map_or_else(|_| Vec::new(), |trust| trust.lists(now)))
    }
}

impl Lists {
    /// Reads all of them for the first time.
    ///
    /// # Errors
    ///
    /// Everything that cannot be read.
    pub fn read<'a>(
        sources: impl IntoIterator<Item = &'a ListFiles> + Clone,
    ) -> Result<Self, Problems> {
        let mut lists = Self::default();
        lists.read_again(Look::at(sources.clone()), sources);
        if lists.problems.iter().next().is_none() {
            Ok(lists)
        } else {
            Err(lists.problems)
        }
    }

    /// Whether nothing has changed since it was last read.
    #[must_use]
    pub fn are_current(&self, look: &Look) -> bool {
        self.look == *look
    }

    /// Reads what has changed since the last time, which `look` saw before.
    pub fn read_again<'a>(&mut self, look: Look, sources: impl IntoIterator<Item = &'a ListFiles>) {
        for (path, listing) in &look.folders {
            if let Ok(files) = listing {
                self.folders.insert(path.clone(), files.clone());
            }
        }
        let mut problems = Vec::new();
        let mut named = Vec::new();
        for source in sources {
            for folder in &source.folders {
                if let Some(Err(error)) = look.folders.get(folder) {
                    let wrong = format!("the folder cannot be read: {error}");
                    problems.push(problem(folder, &source.at, wrong));
                }
            }
            for path in self.paths(source) {
                let seen = look.files.get(&path).copied().flatten();
                let known = self.files.entry(path.clone()).or_default();
                known.look_at(&path, seen);
                if let Some(wrong) = &known.problem {
                    problems.push(problem(&path, &source.at, wrong.clone()));
                }
                named.push(path);
            }
        }
        self.files.retain(|path, _| named.contains(path));
        self.problems = Problems::new(problems);
        self.look = look;
    }

    /// What cannot be read, though it is named.
    #[must_use]
    pub const fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Whether something is named that was not there before, and cannot be read: nothing is left of
    /// it to go on with.
    #[must_use]
    pub fn lacks(&self, source: &ListFiles, before: &Self) -> bool {
        let is_unread = |path: &PathBuf| {
            let known = self.files.get(path);
            known.is_none_or(|known| known.read.is_none()) && !before.files.contains_key(path)
        };
        let mut folders = source.folders.iter();
        folders.any(|folder| !self.folders.contains_key(folder))
            || self.paths(source).iter().any(is_unread)
    }

    fn of(&self, source: &ListFiles) -> Revocation {
        let read = self.paths(source).into_iter().filter_map(|path| {
            let file = self.files.get(&path)?.read.clone()?;
            Some((path.display().to_string().into(), file))
        });
        Revocation {
            files: read.collect(),
            when_unknown: source.when_unknown,
        }
    }

    /// The authorities, each with what was read for it.
    #[must_use]
    pub fn fill(&self, mut cas: Vec<Ca>, sources: &[Option<ListFiles>]) -> Vec<Ca> {
        for (ca, source) in cas.iter_mut().zip(sources) {
            ca.revocation = source.as_ref().map(|source| self.of(source));
        }
        cas
    }

    /// The files that a source names, in order.
    fn paths(&self, source: &ListFiles) -> Vec<PathBuf> {
        let folders = source.folders.iter();
        let inside = folders
            .filter_map(|folder| self.folders.get(folder))
            .flatten();
        let mut paths: Vec<_> = source.files.iter().chain(inside).cloned().collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

impl Known {
    fn look_at(&mut self, path: &Path, seen: Option<Stamp>) {
        if self.stamp == seen && seen.is_some() {
            return;
        }
        self.stamp = seen;
        self.problem = self.read(path).err();
    }

    fn read(&mut self, path: &Path) -> Result<(), String> {
        let read = read_up_to(path, LARGEST).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                "does not exist".to_owned()
            } else {
                format!("cannot be read: {error}")
            }
        })?;
        let hash: [u8; 32] = Sha256::digest(&read.contents).into();
        if self.read.is_none() || hash != self.hash {
            let read = ListFile::read(&read.contents).map_err(|error| error.to_string())?;
            self.read = Some(Arc::new(read));
            self.hash = hash;
        }
        Ok(())
    }
}

/// The files of a folder that may hold lists. What begins with a dot is somebody's who has not yet
/// put it in place.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = PathBuf::from(entry?.file_name());
        let ending = name.extension().and_then(|ending| ending.to_str());
        let is_hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !is_hidden {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = fs::metadata(path).ok()?;
    let (written, changed) = ((of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec()));
    Some((of.dev(), of.ino(), of.size(), written, changed))
}

fn problem(path: &Path, at: &KeyPath, wrong: String) -> Problem {
    Problem {
        place: Place::File {
            file: path.to_owned(),
            line: None,
        },
        key: at.clone(),
        wrong,
        write: "write it again as a whole, or name another".to_owned(),
    }
}
