//! Opening the file, and every way in which that goes wrong.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::Database;
use redb::backends::FileBackend;

use super::tables;

/// How much of the file is kept in memory. The gateway reads it once, at its start.
const CACHE_BYTES: usize = 32 << 20;

/// Why the embedded store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds it.
    #[error("{path} is in use by another process, most likely a running gateway")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds it and cannot be asked.
    #[error("{path} is in use by another process that does not answer at {socket}: {why}")]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// Where the gateway that holds it should answer.
        socket: PathBuf,
        /// What came of asking.
        why: String,
    },
    /// It is a file of something else, or of a newer version.
    #[error("{path} is not a store of this program: {why}; name another file, or a new one")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It was a store once.
    #[error("{path} is damaged ({why}); restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system does not allow it.
    #[error("{path} cannot be opened: {source}")]
    Io {
        /// The file, or its folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Opens the store in the file `path`, and makes both when there is none.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    let file = open_file(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    // The database trusts its own pages and panics on some that were altered; here, where nothing
    // has begun yet, that is an answer like any other.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(FileBackend::new(file)?)?;
        let foreign = tables::prepare(&database)?;
        Ok((database, foreign))
    }));
    let path = path.to_owned();
    match opened {
        Ok(Ok((database, None))) => Ok(database),
        Ok(Ok((_, Some(why)))) => Err(OpenError::NotAStore { path, why }),
        Ok(Err(error)) => Err(explain(path, error)),
        Err(_) => Err(OpenError::Damaged {
            path,
            why: "it could not be read".to_owned(),
        }),
    }
}

/// Only the owner may read what is made here: a digest is not a key, but it is nobody's business.
fn open_file(path: &Path) -> io::Result<File> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let is_new = !path.try_exists()?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    if is_new {
        // The file's name must survive a power cut as its contents do.
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

fn explain(path: PathBuf, error: redb::Error) -> OpenError {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            OpenError::InUse { path }
        }
        redb::Error::UpgradeRequired(_) | redb::Error::TableTypeMismatch { .. } => {
            let why = error.to_string();
            OpenError::NotAStore { path, why }
        }
        redb::Error::Io(error) if error.kind() == InvalidData => {
            let why = error.to_string();
            OpenError::NotAStore { path, why }
        }
        redb::Error::Io(error) if error.kind() == UnexpectedEof => {
            let why = "its end is missing".to_owned();
            OpenError::Damaged { path, why }
        }
        redb::Error::Io(source) => OpenError::Io { path, source },
        other => {
            let why = other.to_string();
            OpenError::Damaged { path, why }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_new_store_is_for_its_owner_only() {
        let folder = folder();
        let path = folder.path().join("state/keyferry.redb");
        open(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_store_that_is_open_is_in_use() {
        let folder = folder();
        let path = folder.path().join("keyferry.redb");
        let first = open(&path).unwrap();
        assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
        drop(first);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn a_file_of_something_else_is_told_and_left_as_it_is() {
        let folder = folder();
        for (name, contents) in [
            ("short", b"hello".to_vec()),
            ("text", b"address = \"0.0.0.0:8443\"\n".repeat(1000)),
            ("zeros", vec![0; 1 << 20]),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, &contents).unwrap();
            let error = open(&path).unwrap_err();
            assert!(
                matches!(
                    error,
                    OpenError::NotAStore { .. } | OpenError::Damaged { .. }
                ),
                "{error}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), contents, "{name}");
        }
    }

    #[test]
    fn a_database_of_another_program_or_form_is_told() {
        let folder = folder();
        for (name, table, key) in [("other", "things", "a"), ("newer", "meta", "form")] {
            let path = folder.path().join(name);
            let database = Database::create(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            let table = redb::TableDefinition::<&str, u64>::new(table);
            transaction
                .open_table(table)
                .unwrap()
                .insert(key, 2)
                .unwrap();
            transaction.commit().unwrap();
            drop(database);
            assert!(matches!(open(&path), Err(OpenError::NotAStore { .. })));
        }
    }

    #[test]
    fn whatever_is_damaged_is_told_without_a_panic() {
        let folder = folder();
        let path = folder.path().join("keyferry.redb");
        drop(open(&path).unwrap());
        let whole = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged.redb");
        for at in (0..whole.len().min(16_384)).step_by(61) {
            let mut contents = whole.clone();
            contents[at] ^= 0xff;
            std::fs::write(&damaged, &contents).unwrap();
            // Much of a small file is unused; what counts is that an answer comes.
            let _ = open(&damaged);
        }
        std::fs::write(&damaged, &whole[..5000]).unwrap();
        assert!(open(&damaged).is_err());
    }

    #[test]
    fn what_the_system_refuses_is_told() {
        let error = open(Path::new("/proc/none/keyferry.redb")).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
    }
}
