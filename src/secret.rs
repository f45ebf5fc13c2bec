//! Secrets that cannot be printed, compared by accident, or left in memory.

use std::fmt;

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
