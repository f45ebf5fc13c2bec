//! The folder that sealed keys are written into: never over a file, and never half a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tempfile::NamedTempFile;

use crate::client::ClientId;
use crate::operation::Failure;
use crate::operation::folder::write_beside;

/// Where a client's sealed key goes.
pub(super) fn path(folder: &Path, client: &ClientId) -> PathBuf {
    folder.join(format!("{client}.cms"))
}

/// Fails when there is something at `path`.
pub(super) fn expect_free(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(Failure::Refused(format!(
            "{} is there already; name another folder with --out, or move the file away",
            path.display()
        ))),
        Err(_) => Ok(()),
    }
}

/// A sealed key that is on the disk under a name that nobody reads, until its change is made. When
/// it is dropped, it is deleted.
pub(super) struct Waiting {
    file: NamedTempFile,
    path: PathBuf,
}

impl Waiting {
    /// Writes `sealed`, for the owner alone, beside the `path` where it shall go.
    pub(super) fn write(sealed: &str, path: PathBuf) -> Result<Self, Failure> {
        let file = write_beside(&path, sealed)?;
        // It cannot be made again.
        file.as_file().sync_all()?;
        Ok(Self { file, path })
    }

    /// Gives it its name, now that the key is good. When that fails, it stays where it is: it
    /// cannot be made again.
    pub(super) fn publish(self) -> Result<PathBuf, Failure> {
        let Self { file, path } = self;
        let Err(failed) = file.persist_noclobber(&path) else {
            // That the name outlives a crash of the machine; not every folder can be synced.
            let folder = path.parent().map(File::open).and_then(Result::ok);
            let _ = folder.map(|folder| folder.sync_all());
            return Ok(path);
        };
        let (why, kept) = (failed.error, failed.file.keep());
        let place = match &kept {
            Ok((_, place)) => place.as_path(),
            Err(lost) => lost.file.path(),
        };
        Err(Failure::Internal(anyhow!(
            "the key is good, but its file cannot be called {} ({why}); it is {}",
            path.display(),
            place.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_whole_and_for_its_owner_alone_or_not_at_all() {
        let scene = tempfile::tempdir().unwrap();
        let folder = scene.path().join("new/sealed");
        crate::operation::folder::make(&folder).unwrap();
        let path = path(&folder, &"acme".parse().unwrap());
        drop(Waiting::write("forgotten", path.clone()).unwrap());
        assert_eq!(names(&folder), [""; 0]);

        let waiting = Waiting::write("sealed", path.clone()).unwrap();
        assert!(expect_free(&path).is_ok());
        assert_eq!(waiting.publish().unwrap(), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "sealed");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
        assert_eq!(names(&folder), ["acme.cms"]);
    }

    #[test]
    fn a_file_that_came_in_between_is_kept_and_so_is_the_sealed_key() {
        let scene = tempfile::tempdir().unwrap();
        let path = scene.path().join("acme.cms");
        let waiting = Waiting::write("sealed", path.clone()).unwrap();
        fs::write(&path, "of somebody else").unwrap();
        assert!(expect_free(&path).is_err());
        let said = waiting.publish().unwrap_err().to_string();
        assert_eq!(fs::read_to_string(&path).unwrap(), "of somebody else");
        let kept = said.rsplit_once("it is ").unwrap().1;
        assert_eq!(fs::read_to_string(kept).unwrap(), "sealed");
    }
}
