//! The files of an import.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::certificate::Handed;
use crate::cli::Failure;
use crate::clock;
use crate::import::{self, Format, Found, Issued, Place, Plan};
use crate::operation::{Bar, read_certificate};

/// How much is read at a time.
const CHUNK: usize = 256 * 1024;

/// Files, in the order in which they are read.
pub(super) struct Files(Vec<PathBuf>);

impl Files {
    /// The files that were named, and for certificates those in the folders that were.
    pub(super) fn of(format: Format, named: &[PathBuf]) -> Result<Self, Failure> {
        let mut files = Vec::new();
        for path in named {
            if !path.is_dir() {
                files.push(path.clone());
            } else if format == Format::Pem {
                files.extend(in_folder(path)?);
            } else {
                let (path, format) = (path.display(), format.as_str());
                return Err(Failure::Usage(format!(
                    "{path} is a folder; name the files of {format}, one after the other"
                )));
            }
        }
        Ok(Self(files))
    }

    /// The file with this number.
    pub(super) fn name(&self, number: u32) -> String {
        let path = self.0.get(number as usize);
        path.map(|path| path.display().to_string())
            .unwrap_or_default()
    }

    /// Reads all of them into the plan.
    pub(super) fn read(&self, format: Format, plan: &mut Plan) -> Result<(), Failure> {
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        let bar = Bar::new("reading", self.0.iter().map(size).sum());
        for (number, path) in (0_u32..).zip(&self.0) {
            let failed = |error: &io::Error| cannot_read(path, error);
            let file = File::open(path).map_err(|error| failed(&error))?;
            let mut input = BufReader::with_capacity(CHUNK, bar.reading(file));
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let mut sink = |line: u32, found: Found| {
                let place = Place { file: number, line };
                plan.take(place, found);
            };
            let lines = import::read(format, name, clock::now(), &mut input, &mut sink);
            plan.count_lines(lines.map_err(|error| failed(&error))?);
        }
        Ok(())
    }
}

/// Takes in the certificates in these files and folders. Whatever else stands there is passed over.
pub(super) fn issued(named: &[PathBuf], mut issued: Issued) -> Result<Issued, Failure> {
    for path in named {
        let files = if path.is_dir() {
            in_folder(path)?
        } else {
            vec![path.clone()]
        };
        for file in files {
            let contents = read_certificate(&file).map_err(|error| cannot_read(&file, &error))?;
            if let Ok(handed) = Handed::read(&contents) {
                issued.take(handed);
            }
        }
        if issued.is_empty() {
            let path = path.display();
            return Err(Failure::Usage(format!(
                "{path} holds no certificate of a client, in PEM or DER, one to a file"
            )));
        }
    }
    Ok(issued)
}

/// The files in a folder by name; not those in folders within.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: &io::Error| cannot_read(folder, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(&error))? {
        let path = entry.map_err(|error| failed(&error))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be read ({error})", path.display()))
}
