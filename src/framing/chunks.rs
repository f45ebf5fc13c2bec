//! The chunked coding, to the byte (RFC 9112 section 7.1): where each chunk ends, and the body.

use super::{Unreadable, is_token_byte};

/// No chunk has more bytes than a number of so many hexadecimal digits says.
const LONGEST_SIZE: u8 = 15;
/// How many bytes the extensions of one chunk, or all trailers, may have; nobody looks at them.
const LONGEST_REST: u16 = 8192;

/// Follows a body in chunks as its bytes come in.
#[derive(Debug)]
pub struct Chunks {
    at: At,
    /// How many bytes of extension or trailers may still come.
    rest: u16,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastLf,
    Done,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            at: At::BEGIN,
            rest: LONGEST_REST,
        }
    }
}

impl At {
    const BEGIN: Self = Self::Size { digits: 0, size: 0 };
}

impl Chunks {
    /// Reads on. What comes after the body is not looked at.
    ///
    /// # Errors
    ///
    /// [`Unreadable::Chunk`].
    pub fn more(&mut self, mut bytes: &[u8]) -> Result<(), Unreadable> {
        while let Some((byte, after)) = bytes.split_first() {
            match self.at {
                At::Done => return Ok(()),
                At::Data { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(here..).unwrap_or_default();
                    self.at = match left.saturating_sub(here as u64) {
                        0 => At::DataCr,
                        left => At::Data { left },
                    };
                }
                at => {
                    self.at = self.step(at, *byte).ok_or(Unreadable::Chunk)?;
                    bytes = after;
                }
            }
        }
        Ok(())
    }

    /// Where `byte` leads; nowhere when it has no place there.
    fn step(&mut self, at: At, byte: u8) -> Option<At> {
        Some(match (at, byte) {
            (At::Size { digits: 1.., size } | At::Extension { size }, b'\r') => {
                At::SizeEnd { size }
            }
            (At::Size { digits: 1.., size }, b';') => At::Extension { size },
            (At::Size { digits, size }, _) if digits < LONGEST_SIZE => At::Size {
                digits: digits.saturating_add(1),
                size: size
                    .saturating_mul(16)
                    .saturating_add(char::from(byte).to_digit(16)?.into()),
            },
            (At::SizeEnd { size: 0 }, b'\n') => {
                self.rest = LONGEST_REST;
                At::Trailer
            }
            (At::SizeEnd { size }, b'\n') => At::Data { left: size },
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.rest = LONGEST_REST;
                At::BEGIN
            }
            (At::Trailer, b'\r') => At::LastLf,
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerEnd,
            (At::TrailerEnd, b'\n') => At::Trailer,
            (At::LastLf, b'\n') => At::Done,
            (At::Trailer | At::TrailerName, _) if is_token_byte(byte) => {
                self.spend()?;
                At::TrailerName
            }
            (At::Extension { .. } | At::TrailerValue, _)
                if byte == b'\t' || !byte.is_ascii_control() =>
            {
                self.spend()?;
                at
            }
            _ => return None,
        })
    }

    fn spend(&mut self) -> Option<()> {
        self.rest = self.rest.checked_sub(1)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h8_a_chunked_body_is_read_to_the_byte() {
        let read = |body: &str| {
            let mut in_one = Chunks::default();
            let read = in_one.more(body.as_bytes());
            let mut one_by_one = Chunks::default();
            let each = body.as_bytes().chunks(1);
            assert_eq!(read, { each }.try_for_each(|byte| one_by_one.more(byte)));
            read.map(|()| matches!(in_one.at, At::Done))
        };
        for good in [
            "0\r\n\r\n",
            "1\r\nx\r\nA\r\n0123456789\r\n0\r\n\r\n\0 anything",
            "01;a=\"b\"\r\n\n\r\n000\r\nA: b\r\nC:\r\n\r\n",
        ] {
            assert_eq!(read(good), Ok(true), "{good:?}");
        }
        assert_eq!(read("5\r\nabc"), Ok(false));
        for bad in [
            "\r\n\r\n",
            ";a\r\n\r\n",
            "1;a\nb\r\nx\r\n0\r\n\r\n",
            "1 \r\nx\r\n0\r\n\r\n",
            "1\nx",
            "1\r\nxy\r\n",
            "0\r\nno trailer\r\n\r\n",
            "0\r\n folded: x\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n\n",
            "+1\r\nx",
            "0x1\r\nx",
            "0000000000000001\r\nx",
        ] {
            assert_eq!(read(bad), Err(Unreadable::Chunk), "{bad:?}");
        }
        let long = format!("1;{}\r\nx", "a".repeat(10_000));
        assert_eq!(read(&long), Err(Unreadable::Chunk));
    }
}
