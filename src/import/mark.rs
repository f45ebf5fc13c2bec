//! What identifies a client: told by the shape of a key, where nothing else says it.

use std::fmt;

use super::Why;
use crate::certificate::{Alias, Fingerprint, Handed};

/// The longest key that is looked at.
const LONGEST: usize = 4_096;

/// What identifies a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A certificate by its SHA-256.
    Fingerprint(Fingerprint),
    /// A certificate, all of it.
    Certificate(Box<Handed>),
    /// A certificate by its SHA-1: it is bound at first sight.
    Sha1(Alias),
    /// Certificates by what they say of themselves, to be looked up.
    Described(Told, Box<str>),
    /// A key of the other gateway, which is not taken over.
    Key,
    /// Nothing yet.
    Nothing,
}

/// What a certificate says of itself, as a proxy tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// The subject: nginx `$ssl_client_s_dn`.
    Subject,
    /// The subject: Apache `SSL_CLIENT_S_DN`.
    SubjectOfApache,
    /// The subject: `$ssl_client_s_dn_legacy`, and users of `FakeBasicAuth`.
    SubjectInOneLine,
    /// The subject: HAProxy `ssl_c_s_dn`.
    SubjectOfHaproxy,
    /// The common name.
    CommonName,
    /// The serial number.
    Serial,
}

impl Told {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Subject,
        Self::SubjectOfApache,
        Self::SubjectInOneLine,
        Self::SubjectOfHaproxy,
        Self::CommonName,
        Self::Serial,
    ];

    /// What stands for it in the configuration of its proxy, as [`crate::masquerade::Value`] reads it.
    #[must_use]
    pub const fn as_value(self) -> &'static str {
        match self {
            Self::Subject => "$ssl_client_s_dn",
            Self::SubjectOfApache => "%{SSL_CLIENT_S_DN}s",
            Self::SubjectInOneLine => "$ssl_client_s_dn_legacy",
            Self::SubjectOfHaproxy => "%[ssl_c_s_dn]",
            Self::CommonName => "%[ssl_c_s_dn(cn)]",
            Self::Serial => "$ssl_client_serial",
        }
    }

    /// The one form of it by which it is looked up.
    #[must_use]
    pub fn normal(self, text: &str) -> String {
        if self != Self::Serial {
            return text.to_owned();
        }
        let digits = text.replace(':', "").to_ascii_uppercase();
        digits.trim_start_matches('0').to_owned()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommonName => "common name",
            Self::Serial => "serial number",
            _ => "subject",
        })
    }
}

impl Mark {
    /// What `key` is by its shape. A slash begins a subject in one line as `in_one_line` writes it.
    pub(super) fn shaped(key: &str, subject: Told, in_one_line: Told) -> Result<Self, Why> {
        let key = key.trim();
        if key.is_empty() {
            return Err(Why::Anonymous);
        }
        if key.len() > LONGEST {
            return Err(Why::Syntax("its key is too long"));
        }
        if let Some(mark) = Self::digest(key) {
            return Ok(mark);
        }
        let told = if key.starts_with('/') {
            in_one_line
        } else if key.contains('=') {
            subject
        } else if key.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
            Told::Serial
        } else {
            Told::CommonName
        };
        Self::described(told, key)
    }

    /// A SHA-256 or SHA-1 of a certificate as programs print it.
    pub(super) fn digest(text: &str) -> Option<Self> {
        // What names them before an equals sign names no fingerprint.
        let bare = !text.contains('=') || text.to_ascii_lowercase().contains("fingerprint=");
        let named = bare.then(|| Handed::named(text));
        match named? {
            Ok(handed) => handed.map(|handed| Self::Fingerprint(handed.fingerprint)),
            Err(_) => Alias::sha1(text).map(Self::Sha1),
        }
    }

    /// What is told of a certificate; nothing in it may stand for anything else.
    pub(super) fn described(told: Told, text: &str) -> Result<Self, Why> {
        let is_pattern = match told {
            Told::Serial | Told::CommonName => text.contains('*'),
            _ => is_pattern(text),
        };
        if is_pattern {
            return Err(Why::Pattern);
        }
        if text.is_empty() {
            return Err(Why::Anonymous);
        }
        if text.len() > LONGEST {
            return Err(Why::Syntax("its key is too long"));
        }
        Ok(Self::Described(told, text.into()))
    }
}

/// Whether it looks like a wildcard or a regular expression, and like no name.
fn is_pattern(text: &str) -> bool {
    let stands_for_more = [".*", ".+", "[^", "(?", "=*", "\\."];
    text.starts_with(['^', '~'])
        || text.ends_with(['$', '*'])
        || stands_for_more.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(key: &str) -> Result<Mark, Why> {
        Mark::shaped(key, Told::Subject, Told::SubjectInOneLine)
    }

    #[test]
    fn a_key_is_known_by_its_shape() {
        let sha256 = "AB:".repeat(31) + "AB";
        assert!(matches!(shaped(&sha256), Ok(Mark::Fingerprint(_))));
        assert!(matches!(shaped(&"ab".repeat(20)), Ok(Mark::Sha1(_))));
        for (key, told) in [
            ("CN=acme,O=Acme", Told::Subject),
            ("/O=Acme/CN=acme", Told::SubjectInOneLine),
            ("00FF", Told::Serial),
            ("device-7", Told::CommonName),
            // A fingerprint would have no name of another kind before it.
            (&format!("CN={}", "ab".repeat(20)), Told::Subject),
        ] {
            let described = Mark::Described(told, key.into());
            assert_eq!(shaped(key), Ok(described), "{key}");
        }
        let named = format!("SHA1 Fingerprint={}", "AB:".repeat(19) + "AB");
        assert!(matches!(shaped(&named), Ok(Mark::Sha1(_))));
    }

    #[test]
    fn a_pattern_and_nothing_are_refused() {
        for key in [
            "CN=.*",
            "^CN=acme",
            "CN=acme.*,O=A",
            "*.example.com",
            "/O=Acme/CN=*",
        ] {
            assert_eq!(shaped(key), Err(Why::Pattern), "{key}");
        }
        assert_eq!(shaped(" "), Err(Why::Anonymous));
        assert!(matches!(shaped(&"a".repeat(10_000)), Err(Why::Syntax(_))));
    }

    #[test]
    fn a_serial_number_has_one_form() {
        assert_eq!(Told::Serial.normal("00:ab:0c"), "AB0C");
        assert_eq!(Told::CommonName.normal("0a"), "0a");
    }
}
