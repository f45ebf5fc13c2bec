//! Letters as files, one for each client.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Letter;
use crate::client::ClientId;
use crate::operation::Failure;
use crate::operation::folder;

/// Writes each letter into `folder`, for the owner alone. What is there already is replaced only
/// when that was asked for; else nothing is written.
pub(super) fn write(
    letters: &mut [Letter],
    folder: &Path,
    may_replace: bool,
) -> Result<(), Failure> {
    folder::make(folder)?;
    let path = |letter: &Letter| folder.join(name(&letter.facts.client_id));
    let is_there = |letter: &&Letter| fs::symlink_metadata(path(letter)).is_ok();
    let there: Vec<_> = letters.iter().filter(is_there).collect();
    if let (Some(first), false) = (there.first(), may_replace) {
        return Err(Failure::Refused(format!(
            "{} is there already, of {} letter(s) to write; name another folder, or have what is \
             there replaced: --replace",
            path(first).display(),
            letters.len()
        )));
    }
    for letter in letters {
        let path = path(letter);
        write_one(&letter.text, &path, may_replace)?;
        letter.file = Some(path);
    }
    Ok(())
}

fn write_one(text: &str, path: &Path, may_replace: bool) -> Result<(), Failure> {
    let file = folder::write_beside(path, text)?;
    // What was put there meanwhile is as it was before.
    let named = if may_replace {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    let cannot = || format!("cannot write {}", path.display());
    named.map_err(|failed| failed.error).with_context(cannot)?;
    Ok(())
}

/// The name of a client's file. A dot or a hyphen at the beginning of an id would hide the file, or
/// make commands take it for an option; `%` is in no id, so no two files are one.
fn name(client: &ClientId) -> PathBuf {
    let id = client.as_str();
    let name = match (id.strip_prefix('.'), id.strip_prefix('-')) {
        (Some(rest), _) => format!("%2E{rest}.txt"),
        (None, Some(rest)) => format!("%2D{rest}.txt"),
        (None, None) => format!("{id}.txt"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_hides_the_file_or_leaves_the_folder() {
        let longest = "a".repeat(64);
        let long = format!("{longest}.txt");
        for (id, file) in [
            ("acme", "acme.txt"),
            (".", "%2E.txt"),
            ("..", "%2E..txt"),
            (".hidden", "%2Ehidden.txt"),
            ("-rf", "%2Drf.txt"),
            (&longest, &long),
        ] {
            assert_eq!(name(&id.parse().unwrap()), Path::new(file));
        }
    }
}
