//! Folders that commands write files into, for their owner alone.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::Failure;

/// Makes the folder unless it is there.
pub(super) fn make(folder: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(())
}

/// `content` in a file beside the `path` where it shall go and under a name that nobody reads.
/// When it is dropped, it is deleted.
pub(super) fn write_beside(path: &Path, content: &str) -> Result<NamedTempFile, Failure> {
    let written = || -> io::Result<NamedTempFile> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".").tempfile_in(folder)?;
        file.write_all(content.as_bytes())?;
        Ok(file)
    };
    Ok(written().with_context(|| format!("cannot write beside {}", path.display()))?)
}
