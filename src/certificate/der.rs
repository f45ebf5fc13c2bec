//! Just enough of DER to read a certificate's own bytes.
//!
//! OpenSSL's safe bindings show neither basic constraints nor multi-valued names, and OpenSSL
//! tolerates encodings that are not DER. This reader only ever adds reasons to refuse.

use jiff::civil::DateTime;

use crate::clock::Timestamp;

/// The bytes are not DER, or not the structure that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not the DER form of a certificate (RFC 5280 section 4.1)")]
pub(crate) struct NotDer;

/// Tags of X.690 section 8 that a certificate uses.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `[0] EXPLICIT`: the version of a certificate, the extensions of a revocation list.
    pub(crate) const VERSION: u8 = 0xa0;
    /// `[1] IMPLICIT` and `[2] IMPLICIT`: the unique identifiers of old.
    pub(crate) const ISSUER_ID: u8 = 0x81;
    pub(crate) const SUBJECT_ID: u8 = 0x82;
    /// `[3] EXPLICIT`: the extensions.
    pub(crate) const EXTENSIONS: u8 = 0xa3;
}

/// One value with its tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

/// Reads one value after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, whatever its tag.
    pub(crate) fn next(&mut self) -> Result<Tlv<'a>, NotDer> {
        let whole = self.0;
        let (&tag, rest) = whole.split_first().ok_or(NotDer)?;
        if tag & 0x1f == 0x1f {
            return Err(NotDer);
        }
        let (&first, mut rest) = rest.split_first().ok_or(NotDer)?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let octets = usize::from(first & 0x7f);
            if !(1..=4).contains(&octets) {
                return Err(NotDer);
            }
            let (length, after) = rest.split_at_checked(octets).ok_or(NotDer)?;
            rest = after;
            let shortest = match octets {
                1 => 0x80,
                2 => 0x100,
                3 => 0x1_0000,
                _ => 0x100_0000,
            };
            let length = length.iter().fold(0, |sum, &b| sum << 8 | usize::from(b));
            if length < shortest {
                return Err(NotDer);
            }
            length
        };
        let (content, after) = rest.split_at_checked(length).ok_or(NotDer)?;
        let used = whole.len().saturating_sub(after.len());
        self.0 = after;
        Ok(Tlv {
            tag,
            content,
            whole: whole.get(..used).ok_or(NotDer)?,
        })
    }

    /// The next value, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, NotDer> {
        let tlv = self.next()?;
        if tlv.tag == tag { Ok(tlv) } else { Err(NotDer) }
    }

    /// The content of the next value, which must have this tag, as values of its own.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, NotDer> {
        Ok(Self(self.expect(tag)?.content))
    }

    /// The next value, if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, NotDer> {
        if self.0.first() == Some(&tag) {
            self.next().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Nothing may be left.
    pub(crate) const fn end(&self) -> Result<(), NotDer> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(NotDer)
        }
    }
}

/// Whether `der` is one value, as a certificate is, and nothing else: what would follow it OpenSSL
/// does not look at.
#[must_use]
pub fn is_one_value(der: &[u8]) -> bool {
    let mut reader = Reader(der);
    reader.expect(tag::SEQUENCE).is_ok() && reader.is_empty()
}

/// A time in one of the two forms that RFC 5280 section 4.1.2.5 allows: seconds present, `Z`.
pub(crate) fn time(tlv: Tlv<'_>) -> Result<Timestamp, NotDer> {
    let text = std::str::from_utf8(tlv.content).map_err(|_| NotDer)?;
    let (year, rest) = match tlv.tag {
        tag::UTC_TIME if text.len() == 13 => {
            let (year, rest) = text.split_at_checked(2).ok_or(NotDer)?;
            let year = digits(year)?;
            let century = if year < 50 { 2000 } else { 1900 };
            (year.saturating_add(century), rest)
        }
        tag::GENERALIZED_TIME if text.len() == 15 => {
            let (year, rest) = text.split_at_checked(4).ok_or(NotDer)?;
            (digits(year)?, rest)
        }
        _ => return Err(NotDer),
    };
    let rest = rest.strip_suffix('Z').ok_or(NotDer)?;
    let mut fields = [0_i8; 5];
    for (field, pair) in fields.iter_mut().zip(rest.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| NotDer)?;
        *field = i8::try_from(digits(pair)?).map_err(|_| NotDer)?;
    }
    let [month, day, hour, minute, second] = fields;
    // Not by way of a time zone: the year 9999 would be out of its range, and RFC 5280 needs it.
    let moment = DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| NotDer)?;
    let since = moment.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Ok(Timestamp::from_unix(since.as_secs()))
}

fn digits(text: &str) -> Result<i16, NotDer> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| NotDer)
    } else {
        Err(NotDer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Result<i64, NotDer> {
        let tlv = Tlv {
            tag: tag::UTC_TIME,
            content: text.as_bytes(),
            whole: &[],
        };
        time(tlv).map(Timestamp::as_unix)
    }

    #[test]
    fn a_time_has_one_form() {
        assert_eq!(utc("700101000000Z"), Ok(0));
        assert_eq!(utc("491231235959Z"), Ok(2_524_607_999));
        for bad in [
            "7001010000Z",
            "700101000000+",
            "70010100000Z",
            "7001010000+0Z",
            "701301000000Z",
            "",
        ] {
            assert_eq!(utc(bad), Err(NotDer), "{bad}");
        }
    }

    #[test]
    fn only_the_shortest_length_is_read() {
        assert_eq!(Reader(&[4, 1, 9]).next().unwrap().content, &[9]);
        for bad in [
            &[4, 0x81, 1, 9][..],
            &[4, 0x80, 9, 0, 0],
            &[4, 2, 9],
            &[4, 0x82, 0, 1, 9],
            &[0x1f, 1, 9],
            &[4],
            &[],
        ] {
            assert!(Reader(bad).next().is_err(), "{bad:?}");
        }
    }
}
