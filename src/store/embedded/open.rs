//! Opening the file, and every way in which that goes wrong.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown, lchown};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::Database;
use redb::backends::FileBackend;
use tempfile::NamedTempFile;

use super::tables;

/// How much of the file is kept in memory. The gateway reads it once, at its start.
const CACHE_BYTES: usize = 32 << 20;

/// Bits that nobody needs on the store: only its owner may do anything.
const TOO_OPEN: u32 = 0o077;

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
    /// Others than its owner may read or write it.
    #[error("{path} is open to others (mode {mode:04o}); chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
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
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path)?;
            open_file(path)
        }
        opened => opened,
    };
    let file = file.map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & TOO_OPEN != 0 {
        let path = path.to_owned();
        return Err(OpenError::Exposed { path, mode });
    }
    // The database trusts its own pages and panics on some that were altered; here, where nothing
    // has begun yet, that is an answer like any other.
    let opened = catch_unwind(AssertUnwindSafe(|| database_in(file)));
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

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The database in a file, and what is foreign in it; an empty file becomes a new database.
fn database_in(file: File) -> Result<(Database, Option<String>), redb::Error> {
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(FileBackend::new(file)?)?;
    let foreign = tables::prepare(&database)?;
    Ok((database, foreign))
}

/// Makes a new store beside its place, and puts it there once it is whole. Made in its place, one
/// that a crash left half made would be no store, for good.
fn make(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let folder = folder_of(path);
    let new = new_file(path, folder).map_err(failed)?;
    let file = new.as_file().try_clone().map_err(failed)?;
    database_in(file).map_err(|error| explain(path.to_owned(), error))?;
    match new.persist_noclobber(path) {
        // Somebody else was quicker.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        put => drop(put.map_err(|error| failed(error.error))?),
    }
    // The file's name must survive a power cut as its contents do.
    let folder = File::open(folder).and_then(|folder| folder.sync_all());
    folder.map_err(failed)
}

/// A file that goes unless it is kept. Only its owner may read it: a digest is not a key, but it is
/// nobody's business.
fn new_file(path: &Path, folder: &Path) -> io::Result<NamedTempFile> {
    make_folder(folder)?;
    let new = tempfile::Builder::new()
        .prefix(path.file_name().unwrap_or_default())
        .suffix(".new")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    if let Some((user, group)) = heir(&new.as_file().metadata()?, folder)? {
        fchown(new.as_file(), Some(user), Some(group))?;
    }
    Ok(new)
}

/// Makes the folder and those above it, as far as there are none.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.try_exists()? {
        return Ok(());
    }
    let above = folder_of(folder);
    make_folder(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    if let Some((user, group)) = heir(&folder.symlink_metadata()?, above)? {
        lchown(folder, Some(user), Some(group))?;
    }
    Ok(())
}

/// Whom a thing that root has just made in `folder` is to belong to: a command by root, before the
/// gateway's first start, must not shut the gateway's user out.
fn heir(made: &std::fs::Metadata, folder: &Path) -> io::Result<Option<(u32, u32)>> {
    let folder = folder.metadata()?;
    let is_another = made.uid() == 0 && folder.uid() != 0;
    Ok(is_another.then(|| (folder.uid(), folder.gid())))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
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
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

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
    fn a_store_that_root_makes_belongs_to_whom_the_folder_belongs() {
        let folder = folder();
        if std::os::unix::fs::chown(folder.path(), Some(4711), Some(4712)).is_err() {
            return; // Only root can give things away.
        }
        for name in ["keyferry.redb", "far/down/keyferry.redb"] {
            let path = folder.path().join(name);
            open(&path).unwrap();
            for made in path.ancestors().take_while(|made| *made != folder.path()) {
                let made = made.metadata().unwrap();
                assert_eq!((made.uid(), made.gid()), (4711, 4712), "{name}");
            }
        }
    }

    #[test]
    fn of_two_that_make_a_store_the_second_leaves_that_of_the_first() {
        let folder = folder();
        let path = folder.path().join("keyferry.redb");
        make(&path).unwrap();
        let first = path.metadata().unwrap().ino();
        make(&path).unwrap();
        assert_eq!(path.metadata().unwrap().ino(), first);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn a_store_that_others_may_use_is_refused() {
        let folder = folder();
        let path = folder.path().join("keyferry.redb");
        for mode in [0o640, 0o620, 0o604, 0o602, 0o660, 0o644] {
            drop(open(&path).unwrap());
            set_mode(&path, mode);
            let error = open(&path).unwrap_err();
            assert!(matches!(error, OpenError::Exposed { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600 "), "{error}");
            set_mode(&path, 0o600);
        }
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
            set_mode(&path, 0o600);
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
            set_mode(&path, 0o600);
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
            set_mode(&damaged, 0o600);
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
