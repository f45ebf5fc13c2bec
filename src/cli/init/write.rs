//! Writes the files of a new folder, never over what cannot be made again.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use zeroize::Zeroizing;

use super::{Failure, quoted};

/// Writes into one folder and remembers what it wrote.
pub(super) struct Writer {
    folder: PathBuf,
    force: bool,
    written: Vec<PathBuf>,
    kept: Vec<PathBuf>,
}

impl Writer {
    /// Writes into `folder`, which is made where it does not exist.
    pub(super) fn new(folder: &Path, force: bool) -> Result<Self, Failure> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            force,
            written: Vec::new(),
            kept: Vec::new(),
        })
    }

    /// Fails before anything is written when one of `names` is there already.
    pub(super) fn refuse_to_overwrite(&self, names: &[&str]) -> Result<(), Failure> {
        let there: Vec<_> = names
            .iter()
            .map(|name| self.folder.join(name))
            .filter(|path| fs::symlink_metadata(path).is_ok())
            .map(|path| path.display().to_string())
            .collect();
        if there.is_empty() || self.force {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "{} would be overwritten; name another folder with --dir, or add --force",
            there.join(", ")
        )))
    }

    /// Writes what everybody may read.
    pub(super) fn file(&mut self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        self.write(name, contents, 0o644)
    }

    /// Writes what only the owner may read.
    pub(super) fn private(&mut self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        self.write(name, contents, 0o600)
    }

    /// Writes 32 random bytes as hex, unless there is a secret of that name: another one in its
    /// place would make every key unusable.
    pub(super) fn secret(&mut self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            self.kept.push(path);
            return Ok(());
        }
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|error| anyhow!("no randomness: {error}"))?;
        let mut text = Zeroizing::new(hex::encode(bytes.as_ref()));
        text.push('\n');
        self.private(name, text.as_bytes())
    }

    /// Makes a folder for the owner, unless it is there.
    pub(super) fn folder(&mut self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => self.written.push(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.kept.push(path),
            Err(error) => {
                return Err(anyhow!("cannot make {}: {error}", path.display()).into());
            }
        }
        Ok(())
    }

    /// How the configuration names a file that was given: relative where it lies in the folder.
    pub(super) fn reference(&self, path: &Path) -> Result<String, Failure> {
        let absolute = |path: &Path| {
            path.canonicalize()
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
        };
        let (path, folder) = (absolute(path)?, absolute(&self.folder)?);
        let path = path.strip_prefix(&folder).unwrap_or(&path);
        let text = path
            .to_str()
            .ok_or_else(|| Failure::Usage(format!("{} is not text", path.display())))?;
        Ok(quoted(text))
    }

    /// What was written, and what was there and was kept.
    pub(super) fn finish(self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        (self.written, self.kept)
    }

    fn write(&mut self, name: &str, contents: &[u8], mode: u32) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let failed = || format!("cannot write {}", path.display());
        if self.force {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(anyhow::Error::from(error).context(failed()).into());
                }
                _ => {}
            }
        }
        // `create_new` follows no link and takes no file that others opened before.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path);
        let written = file.and_then(|mut file| file.write_all(contents));
        written.with_context(failed)?;
        self.written.push(path);
        Ok(())
    }
}
