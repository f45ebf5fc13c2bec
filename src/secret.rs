//! Secrets that cannot be printed, compared by accident, or left in memory.

use std::fmt;
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

/// A value that never shows itself: no `Display`, no `Serialize`, no `PartialEq`; `Debug` prints
/// `[redacted]`; the memory is wiped when it goes.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes the value in.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself, for the one call that needs it. An auditor searches for this name.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Bytes of a secret file. Its text form is what the file holds, less one line end, so that every
/// language reads the same bytes.
pub type SecretBytes = Secret<Vec<u8>>;

/// Bits of a file's mode that nobody needs on a secret: others may do nothing, the group may not write.
/// The group may read, since Kubernetes mounts secrets so for a container that is not root.
pub const TOO_OPEN: u32 = 0o037;

/// Bits of a file's mode by which others than its owner could change it: for what anybody may read, and
/// that decides who is believed.
pub const CHANGEABLE: u32 = 0o022;

/// How the path of a secret file is shown; not at all when it looks like a secret that somebody wrote
/// where its path belongs: a key in PEM, or what `openssl rand -hex` makes.
#[must_use]
pub fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let is_hex = |step: &str| step.len() >= 32 && step.bytes().all(|b| b.is_ascii_hexdigit());
    let is_secret = text.contains("-----BEGIN")
        || text.contains(char::is_control)
        || text.rsplit('/').next().is_some_and(is_hex);
    if is_secret {
        "what is written here, which looks like a secret and not like the path of its file,"
            .to_owned()
    } else {
        text
    }
}

/// The fewest bytes that a secret used as an HMAC key may have.
pub const MIN_SECRET_BYTES: usize = 32;

/// Why the contents of a secret file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it holds {found} bytes; a secret needs at least {MIN_SECRET_BYTES} (make one with: openssl rand -hex 32)"
)]
pub struct TooShort {
    /// How many bytes the file holds, less the line end.
    pub found: usize,
}

/// A secret from the contents of a file: one trailing line end is dropped, the rest is taken as it
/// stands.
///
/// # Errors
///
/// [`TooShort`] below [`MIN_SECRET_BYTES`].
pub fn from_file_contents(mut contents: Vec<u8>) -> Result<SecretBytes, TooShort> {
    if contents.last() == Some(&b'\n') {
        contents.pop();
        if contents.last() == Some(&b'\r') {
            contents.pop();
        }
    }
    if contents.len() < MIN_SECRET_BYTES {
        let found = contents.len();
        contents.zeroize();
        return Err(TooShort { found });
    }
    Ok(Secret::new(contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new(String::from("canary-value"));
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "[redacted] Some(\n    [redacted],\n)"
        );
    }

    #[test]
    fn a_secret_in_the_place_of_its_path_is_not_shown() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ";
        let hex = "9f2c4e6a8b0d1f3355779bbddff00224";
        for secret in [key, &key.replace('\n', " "), "MC4CAQAw\r\nBQYD", hex] {
            for path in [secret.to_owned(), format!("/etc/keyferry/{secret}")] {
                let shown = shown(Path::new(&path));
                assert!(!shown.contains(secret.get(..8).unwrap()), "{shown}");
            }
        }
        for path in ["/run/secrets/orders-2026-11-signing.key", "orders.key"] {
            assert_eq!(shown(Path::new(path)), path);
        }
    }

    #[test]
    fn one_line_end_is_dropped_and_no_more() {
        let text = |s: &str| from_file_contents(s.as_bytes().to_vec());
        let body = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            text(&format!("{body}\r\n")).unwrap().expose(),
            body.as_bytes()
        );
        assert_eq!(text(&format!("{body}\n\n")).unwrap().expose().len(), 33);
        assert_eq!(text("short\n").unwrap_err(), TooShort { found: 5 });
    }
}
