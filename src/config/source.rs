//! Where a configuration is read from, now and again, and what has changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use toml::Value;
use zeroize::Zeroizing;

use super::changes::{Changes, Setting};
use super::file::Telemetry;
use super::problem::{KeyPath, Place, Problem, Problems};
use super::{Config, build, document, typed};

/// The file and the environment that a configuration is read from.
pub struct Source {
    path: PathBuf,
    environment: Vec<(String, String)>,
}

/// One reading of a source.
pub struct Reading {
    /// The configuration, or everything that is wrong, in the order of the file.
    pub config: Result<Config, Problems>,
    /// What was read for it.
    pub seen: Seen,
}

/// What was read for a configuration, by hash: to know whether it has changed, and what of it. What
/// cannot be read is part of it, so that it is noticed when it can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    files: BTreeMap<PathBuf, Stamp>,
    settings: BTreeMap<Setting, Stamp>,
    /// The tables of lists that have names of their own.
    names: BTreeMap<KeyPath, Setting>,
}

type Stamp = [u8; 32];

/// How many bytes tell one configuration from another where nobody makes them alike.
const SHORT: usize = 6;
/// Where a gateway listens, and what it keeps on its machine.
const OWN: [&str; 5] = [
    "admin.address",
    "listener.address",
    "shutdown.upgrade_socket",
    "store.snapshot",
    "telemetry.address",
];

impl Source {
    /// The file at `path` and the `KEYFERRY__…` variables of `environment`.
    pub fn new(path: PathBuf, environment: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            path,
            environment: environment.collect(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads them, and every file that they name.
    #[must_use]
    pub fn read(&self) -> Reading {
        if !self.can_be_read_again() {
            // It cannot be seen to change.
            let text = fs::read_to_string(&self.path);
            return self.reading(text, Seen::default());
        }
        self.read_again()
    }

    /// Whether it can be read more than once. What is no file, such as a pipe, cannot: whoever opens it
    /// again may wait for ever.
    #[must_use]
    pub fn can_be_read_again(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |metadata| metadata.is_file())
    }

    /// The same once more, where it can be.
    #[must_use]
    pub fn read_again(&self) -> Reading {
        let (read, mut seen) = (read(&self.path), Seen::default());
        seen.files.insert(self.path.clone(), stamp_of(&read));
        let text = read.and_then(|read| {
            let no_text = |_| io::Error::other("it is not text in UTF-8");
            String::from_utf8(read.contents).map_err(no_text)
        });
        self.reading(text, seen)
    }

    /// Where a gateway of this configuration tells how it is, whatever else is wrong by now: a running
    /// one goes on with what it had.
    ///
    /// # Errors
    ///
    /// Why that cannot be told.
    pub fn telemetry_address(&self) -> Result<SocketAddr, Problems> {
        let text =
            fs::read_to_string(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        let document = document::Document::parse(&self.path, &text);
        let mut document = document.map_err(Problems::new)?;
        let _others = document.override_with(self.environment.iter().cloned());
        let key = KeyPath::top("telemetry").key("address");
        let typed = document.value(&key).map(Value::as_str);
        let Telemetry { address, .. } = Telemetry::default();
        typed
            .unwrap_or(Some(&address))
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| {
                Problems::new(vec![Problem {
                    place: document.place(&key),
                    wrong: "is not an IP address and port".to_owned(),
                    write: format!("write {address:?}"),
                    key,
                }])
            })
    }

    fn reading(&self, text: io::Result<String>, mut seen: Seen) -> Reading {
        let config = text
            .map_err(|error| unreadable(&self.path, &error))
            .and_then(|text| self.build(&text, &mut seen));
        Reading { config, seen }
    }

    fn build(&self, text: &str, seen: &mut Seen) -> Result<Config, Problems> {
        let document = document::Document::parse(&self.path, text);
        let mut document = document.map_err(Problems::new)?;
        let mut problems = document.override_with(self.environment.iter().cloned());
        let file = typed::read(&mut document, &mut problems);
        seen.settings(&KeyPath::default(), document.tree());
        let folder = self.path.parent().map(Path::to_owned).unwrap_or_default();
        build::config(document, folder, file, problems, seen)
    }
}

impl Seen {
    /// Whether every file still holds what was read. That reads them all.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.files.iter().all(|(path, seen)| {
            let now = read(path);
            let now_seen = stamp_of(&now);
            drop(now.map(|now| Zeroizing::new(now.contents)));
            *seen == now_seen
        })
    }

    /// The files that do not hold what they held in `other`.
    #[must_use]
    pub fn files_changed_since(&self, other: &Self) -> Vec<PathBuf> {
        let known = self.files.keys().chain(other.files.keys());
        let changed = known.filter(|file| self.files.get(*file) != other.files.get(*file));
        changed
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// What differs from `running`.
    #[must_use]
    pub fn changes_since(&self, running: &Self) -> Changes {
        let known = self.settings.keys().chain(running.settings.keys());
        let is_other = |name: &&Setting| self.settings.get(*name) != running.settings.get(*name);
        let mut changes = Changes::default();
        for setting in known.filter(is_other) {
            let told = match setting.element() {
                Some(element) if !running.has(element) => format!("{element} (new)"),
                Some(element) if !self.has(element) => format!("{element} (gone)"),
                _ => setting.to_string(),
            };
            if setting.is_live() {
                changes.live.insert(told);
            } else {
                changes.needs_restart.insert(told);
            }
        }
        changes
    }

    /// A short digest of every setting, and of what its file holds and who may touch that, of a gateway that
    /// started with `started` and has taken this over; but for what is each gateway's own. It is the same at
    /// gateways that run with the same. It gives no secret away, since the pepper is one of them, which nobody
    /// can guess.
    #[must_use]
    pub fn digest(&self, started: &Self) -> String {
        let mut whole = Sha256::new();
        let taken = self
            .settings
            .iter()
            .filter(|(setting, _)| setting.is_live());
        let others = started.settings.iter();
        let others = others.filter(|(setting, _)| !setting.is_live());
        let names = { taken.chain(others) }.map(|(setting, stamp)| (setting.to_string(), stamp));
        for (name, stamp) in names.filter(|(name, _)| !OWN.contains(&name.as_str())) {
            whole.update(name);
            whole.update(stamp);
        }
        let digest = whole.finalize();
        hex::encode(digest.get(..SHORT).unwrap_or_default())
    }

    /// Whether there is anything of the table `element` of a list.
    fn has(&self, element: &str) -> bool {
        let mut settings = self.settings.keys();
        settings.any(|setting| setting.element() == Some(element))
    }

    /// Notes what was read, or could not be, of the file that the key at `at` names.
    pub(super) fn file(&mut self, at: &KeyPath, path: &Path, read: &io::Result<Read>) {
        self.files.insert(path.to_owned(), stamp_of(read));
        let (contents, mode) = read.as_ref().map_or((&[][..], 0), |read| {
            (read.contents.as_slice(), read.metadata.permissions().mode())
        });
        self.setting(at, &mode.to_be_bytes());
        self.setting(at, contents);
    }

    fn settings(&mut self, at: &KeyPath, value: &Value) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    self.settings(&at.key(key), value);
                }
            }
            Value::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    let at = at.index(index);
                    let name = value.get("name").and_then(Value::as_str);
                    if let Some(name) = name.filter(|_| at.steps().len() == 2) {
                        self.names.insert(at.clone(), Setting::named(&at, name));
                    }
                    self.settings(&at, value);
                }
            }
            other => self.setting(at, other.to_string().as_bytes()),
        }
    }

    /// What is noted of one key adds up.
    fn setting(&mut self, at: &KeyPath, value: &[u8]) {
        let setting = Setting::at(at, &self.names);
        let noted = self.settings.entry(setting).or_default();
        *noted = Sha256::new()
            .chain_update(*noted)
            .chain_update(value)
            .finalize()
            .into();
    }
}

/// What a file holds, who may touch it, and where it is once every link is followed.
pub(crate) struct Read {
    pub(crate) contents: Vec<u8>,
    pub(crate) metadata: Metadata,
    resolved: PathBuf,
}

/// No certificate bundle and no secret is larger. (The system's own bundle has about 0.2 MiB.)
const LARGEST: u64 = 16 << 20;

/// Reads a file that a configuration names.
pub(super) fn read(path: &Path) -> io::Result<Read> {
    read_up_to(path, LARGEST)
}

/// Reads a file that has at most so many bytes.
pub(crate) fn read_up_to(path: &Path, most: u64) -> io::Result<Read> {
    // Links are followed once: what is read is what stands at the place that is noted.
    let resolved = fs::canonicalize(path)?;
    // Before it is opened: opening a pipe would wait for somebody to write.
    let metadata = fs::metadata(&resolved)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > most {
        let mebibytes = most >> 20;
        return Err(io::Error::other(format!(
            "it is larger than {mebibytes} MiB"
        )));
    }
    // Room for all of it at once: growing would leave copies of a secret behind.
    let room = usize::try_from(metadata.len()).unwrap_or_default();
    let mut contents = Vec::with_capacity(room.saturating_add(32));
    let file = fs::File::open(&resolved)?;
    io::Read::read_to_end(&mut io::Read::take(file, most), &mut contents)?;
    Ok(Read {
        contents,
        metadata,
        resolved,
    })
}

/// Of what can be read: also who may, since that decides whether it is used, and from where. When a
/// volume is swapped while it is read, half of it comes from each folder; so two readings are the same
/// only when all of both came from one.
fn stamp_of(read: &io::Result<Read>) -> Stamp {
    let Ok(read) = read else {
        return Stamp::default();
    };
    let mode = read.metadata.permissions().mode();
    let resolved = read.resolved.as_os_str().as_encoded_bytes();
    Sha256::new()
        .chain_update(mode.to_be_bytes())
        .chain_update(Sha256::digest(resolved))
        .chain_update(&read.contents)
        .finalize()
        .into()
}

fn unreadable(path: &Path, error: &io::Error) -> Problems {
    let write = "name the configuration with --config, or make one with: keyferry init";
    Problems::new(vec![Problem {
        place: Place::File {
            file: path.to_owned(),
            line: None,
        },
        key: KeyPath::default(),
        wrong: format!("cannot be read: {error}"),
        write: write.to_owned(),
    }])
}
