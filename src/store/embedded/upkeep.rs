//! What is done to the file as a whole, while nobody uses it. Everything here blocks.

use std::path::Path;

use super::open::{OpenError, open};

/// Checks every page of the file.
///
/// # Errors
///
/// [`OpenError`], also when something had to be mended.
pub fn check(path: &Path) -> Result<(), OpenError> {
    let mut database = open(path)?;
    match database.check_integrity() {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged(path, &"pages were wrong, and have been mended")),
        Err(error) => Err(damaged(path, &error)),
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
