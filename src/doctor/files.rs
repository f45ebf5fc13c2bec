//! Files: who may read and change them, and how old the snapshot is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::finding::{Check, Finding};
use crate::clock;
use crate::config::{Config, NamedFile};
use crate::secret::Secret;
use crate::server;

/// Bits that nobody needs on a secret.
const TOO_OPEN: u32 = 0o037;
/// The group may read.
const GROUP: u32 = 0o040;
/// Others than the owner may change it.
const WRITABLE: u32 = 0o022;
/// Everybody may put files there.
const OPEN_FOLDER: u32 = 0o002;
/// Of files there, only their owners may take them away.
const STICKY: u32 = 0o1000;

/// The mounts of this process, where the system tells them.
const MOUNTS: &str = "/proc/self/mountinfo";

pub(super) fn look(file: &Path, config: &Config) -> Vec<Finding> {
    let mut findings = vec![configuration(file)];
    findings.extend(secrets(&config.files));
    findings.push(folders(&config.files));
    let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
    findings.extend(mounted(&config.files, &mounts));
    findings
}

fn configuration(file: &Path) -> Finding {
    let check = Check::FileConfiguration;
    match mode(file) {
        Some(mode) if mode & WRITABLE != 0 => check
            .warning(
                format!("others may change {} (mode {mode:04o})", file.display()),
                format!("chmod go-w {}", file.display()),
            )
            .expecting("mode 0644 or stricter"),
        Some(mode) => check.ok(format!("only its owner may change it (mode {mode:04o})")),
        // It was read a moment ago.
        None => check.ok("it is no file with permissions"),
    }
}

fn mode(path: &Path) -> Option<u32> {
    let metadata = fs::metadata(path).ok()?;
    Some(metadata.permissions().mode() & 0o7777)
}

/// What is open to others is refused with the configuration.
fn secrets(files: &[NamedFile]) -> Vec<Finding> {
    let check = Check::FileSecrets;
    let secrets: Vec<_> = files.iter().filter(|file| file.is_secret).collect();
    let shared = secrets.iter().filter(|file| file.mode & GROUP != 0);
    let mut findings: Vec<_> = shared
        .map(|file| {
            let found = format!(
                "its group may read {} (mode {:04o})",
                file.path.display(),
                file.mode
            );
            let advice = "see that nobody but the gateway is in that group, as in a pod with \
                          fsGroup; elsewhere chmod 600";
            check.note(found, advice).of(file.key.to_string())
        })
        .collect();
    if findings.is_empty() {
        let number = secrets.len();
        findings.push(check.ok(format!("only its owner may read each of {number} files")));
    }
    findings
}

fn folders(files: &[NamedFile]) -> Finding {
    let check = Check::FileFolders;
    let secrets = files.iter().filter(|file| file.is_secret);
    let folders: BTreeSet<_> = secrets.filter_map(|file| file.path.parent()).collect();
    let here = Path::new(".");
    let open = folders.iter().find(|folder| {
        let folder = if folder.as_os_str().is_empty() {
            here
        } else {
            folder
        };
        mode(folder).is_some_and(|mode| mode & OPEN_FOLDER != 0 && mode & STICKY == 0)
    });
    match open {
        None => check.ok(format!("{} folders, closed to strangers", folders.len())),
        Some(folder) => check.error(
            format!("anybody may replace the secrets in {}", folder.display()),
            format!("chmod o-w {}", folder.display()),
        ),
    }
}

/// Kubernetes does not bring a file up to date that is mounted with `subPath`.
fn mounted(files: &[NamedFile], mounts: &str) -> Vec<Finding> {
    let points: BTreeSet<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .collect();
    let alone = files.iter().filter(|file| {
        let path = fs::canonicalize(&file.path);
        points.contains(&path.unwrap_or_else(|_| file.path.clone()))
    });
    alone
        .map(|file| {
            let found = format!("{} is mounted by itself (subPath)", file.path.display());
            let advice = "mount the whole Secret or ConfigMap as a folder: a file that is mounted \
                          alone stays as it is when its Secret changes, and no gateway takes it \
                          over (docs/RELOAD.md)";
            Check::FileMounts
                .note(found, advice)
                .of(file.key.to_string())
        })
        .collect()
}

/// The password in a file that only its owner and its group may read.
pub(crate) fn password(path: &Path) -> Result<Secret<String>, String> {
    let shown = path.display();
    let mode = mode(path).unwrap_or_default();
    if mode & TOO_OPEN != 0 {
        return Err(format!(
            "{shown} is open to others (mode {mode:04o}); chmod 600 {shown}"
        ));
    }
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Secret::new(text.to_owned()))
}

/// Whether the snapshot opens, and whether a gateway would serve by it. Reading all of it can take
/// a moment.
pub(super) fn snapshot(config: &Config) -> Vec<Finding> {
    let check = Check::FileSnapshot;
    let snapshots = server::snapshots(config);
    let Some(path) = snapshots.first().map(|snapshot| snapshot.path().display()) else {
        return Vec::new();
    };
    // One from before the pepper was changed opens under the old one.
    let mut opened = snapshots.iter().map(|one| one.inspect(clock::now()));
    let first = opened.next().unwrap_or(Ok(None));
    let opened = match first {
        Err(error) => opened.find(Result::is_ok).unwrap_or(Err(error)),
        good => good,
    };
    vec![match opened {
        Ok(None) => check.note(
            format!("there is none at {path}"),
            "a gateway writes it once it has loaded the store; until then none starts without it",
        ),
        Ok(Some(age)) => judge_age(age, config.offline.max_stale),
        Err(error) => check.error(
            error.to_string(),
            "see that the running gateway may write it, and that store, pepper and clock are those \
             of the gateway",
        ),
    }]
}

fn judge_age(age: Duration, max_stale: Duration) -> Finding {
    let check = Check::FileSnapshot;
    let found = format!("{} s old", age.as_secs());
    if age <= max_stale {
        return check.ok(found);
    }
    let advice = "no gateway that starts with it serves anybody until the store answers; see that a \
                  gateway runs and writes it";
    check
        .warning(found, advice)
        .expecting(format!("at most {} s", max_stale.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;
    use crate::config::KeyPath;

    fn file(path: &str, mode: u32) -> NamedFile {
        NamedFile {
            key: KeyPath::default(),
            path: path.into(),
            mode,
            is_secret: true,
        }
    }

    #[test]
    fn a_secret_that_its_group_may_read_is_noted() {
        let [first, second] = [file("/a", 0o600), file("/b", 0o440)];
        let found = secrets(std::slice::from_ref(&first));
        assert!(found.iter().all(|finding| finding.outcome == Outcome::Ok));
        let found = secrets(&[first, second]);
        let [finding] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(finding.outcome, Outcome::Note);
        assert!(finding.found.contains("/b"), "{finding:?}");
    }

    #[test]
    fn a_file_that_is_mounted_alone_is_found_among_the_mounts() {
        let mounts = "22 1 0:21 / /proc rw - proc proc rw\n\
                      99 22 8:1 /subpath /etc/keyferry/pepper.key ro - ext4 /dev/sda1 rw\n";
        let files = [
            file("/etc/keyferry/pepper.key", 0o400),
            file("/etc/keyferry/record.key", 0o400),
        ];
        let found = mounted(&files, mounts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(mounted(&files, "").is_empty());
    }

    #[test]
    fn a_snapshot_is_of_use_for_as_long_as_max_stale() {
        let minutes = Duration::from_mins;
        assert_eq!(judge_age(minutes(10), minutes(10)).outcome, Outcome::Ok);
        assert_eq!(
            judge_age(minutes(11), minutes(10)).outcome,
            Outcome::Warning
        );
    }
}
