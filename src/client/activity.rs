//! What was seen of a client and of each of its credentials, last.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ClientId, Seen};
use crate::certificate::Fingerprint;
use crate::clock::Timestamp;
use crate::key::KeyId;

/// What was seen of one client, last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// Who.
    pub client: ClientId,
    /// When it called with each kind of credential, and was not taken for anybody else.
    pub seen: Seen,
    /// When its certificate came beside another client's key, or its key beside another's
    /// certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Timestamp>,
    /// The last request that it proved to be its own, and that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<LastRefusal>,
}

impl Sighting {
    /// Nothing yet of `client`.
    #[must_use]
    pub const fn nothing_of(client: ClientId) -> Self {
        Self {
            client,
            seen: Seen {
                by_certificate: None,
                by_key: None,
            },
            conflict: None,
            refused: None,
        }
    }

    /// The later of both, for each kind; idempotent, and in any order.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            seen: self.seen.merge(other.seen),
            conflict: self.conflict.max(other.conflict),
            refused: self.refused.max(other.refused),
            client: self.client,
        }
    }
}

/// When a request of a client was last refused, and why. The later one is the greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastRefusal {
    /// When.
    pub at: Timestamp,
    /// The reason code that the client was given.
    pub code: RefusalCode,
}

/// A reason code as it is remembered: 1 to 48 of `a-z` and `_`. Codes of a newer version are
/// kept as they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefusalCode(Cow<'static, str>);

/// The text is not a reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason code is 1 to 48 characters of a-z and _")]
pub struct NotACode;

impl RefusalCode {
    /// A code of this program.
    #[must_use]
    pub const fn known(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefusalCode {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Self, NotACode> {
        let fits = |b: u8| b.is_ascii_lowercase() || b == b'_';
        if (1..=48).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(NotACode)
        }
    }
}

impl TryFrom<String> for RefusalCode {
    type Error = NotACode;

    fn try_from(text: String) -> Result<Self, NotACode> {
        text.parse()
    }
}

impl From<RefusalCode> for String {
    fn from(code: RefusalCode) -> Self {
        code.0.into_owned()
    }
}

impl fmt::Debug for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What names a credential: the fingerprint of a certificate, or a key id. Neither is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CredentialId {
    /// A certificate.
    Certificate(Fingerprint),
    /// A key.
    Key(KeyId),
}

/// The text names no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a credential is named certificate:<fingerprint> or key:<key id>")]
pub struct NotACredentialId;

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(fingerprint) => write!(f, "certificate:{fingerprint}"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

impl FromStr for CredentialId {
    type Err = NotACredentialId;

    fn from_str(text: &str) -> Result<Self, NotACredentialId> {
        let read = match text.split_once(':') {
            Some(("certificate", name)) => name.parse().map(Self::Certificate).ok(),
            Some(("key", name)) => name.parse().map(Self::Key).ok(),
            _ => None,
        };
        read.ok_or(NotACredentialId)
    }
}

impl TryFrom<String> for CredentialId {
    type Error = NotACredentialId;

    fn try_from(text: String) -> Result<Self, NotACredentialId> {
        text.parse()
    }
}

impl From<CredentialId> for String {
    fn from(id: CredentialId) -> Self {
        id.to_string()
    }
}

/// When and from where a credential was last used while it was good: a certificate within its
/// validity, a key before its end. The later use is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// The address of the peer.
    pub from: IpAddr,
}

/// The last use of one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Which one.
    pub credential: CredentialId,
    /// When and from where.
    pub last: LastUse,
}

/// Two of these uses that lie within `window` of each other and come from different places, when
/// there are such: of two live certificates of one client, one may be a copy. The addresses of one
/// IPv6 /64 are one place, since a single machine goes through them by itself (RFC 8981).
#[must_use]
pub fn used_apart(uses: &[Use], window: Duration) -> Option<(Use, Use)> {
    let mut uses = uses.to_vec();
    uses.sort_by_key(|used| used.last);
    // Between two that are near in time and far in place, two neighbours are so too.
    let pairs = uses.iter().zip(uses.iter().skip(1));
    let mut apart = pairs.filter(|(one, other)| {
        other.last.at <= one.last.at.plus(window)
            && one.credential != other.credential
            && place(one.last.from) != place(other.last.from)
    });
    apart.next().map(|(one, other)| (*one, *other))
}

fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_hours(1);

    fn used(certificate: &str, at: i64, from: &str) -> Use {
        Use {
            credential: CredentialId::Certificate(Fingerprint::of(certificate.as_bytes())),
            last: LastUse {
                at: Timestamp::from_unix(at),
                from: from.parse().unwrap(),
            },
        }
    }

    #[test]
    fn c10_two_live_certificates_at_two_addresses_are_told() {
        let here = used("a", 10_000, "192.0.2.1");
        for (other, apart) in [
            (used("b", 10_000, "192.0.2.2"), true),
            (used("b", 13_600, "192.0.2.2"), true),
            (used("b", 6_400, "2001:db8::1"), true),
            (used("b", 13_601, "192.0.2.2"), false),
            (used("b", 10_000, "192.0.2.1"), false),
            (used("b", 10_000, "::ffff:192.0.2.1"), false),
        ] {
            let found = used_apart(&[here, other], WINDOW);
            assert_eq!(found.is_some(), apart, "{other:?}");
            assert_eq!(used_apart(&[other, here], WINDOW), found);
        }
        let told = used_apart(
            &[
                used("c", 14_000, "192.0.2.3"),
                here,
                used("b", 11_000, "192.0.2.1"),
            ],
            WINDOW,
        );
        assert_eq!(told.unwrap().1.last.from.to_string(), "192.0.2.3");
        assert_eq!(used_apart(&[here], WINDOW), None);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_place() {
        let one = used("a", 1, "2001:db8:1:2::1");
        assert!(used_apart(&[one, used("b", 1, "2001:db8:1:2:ffff::9")], WINDOW).is_none());
        assert!(used_apart(&[one, used("b", 1, "2001:db8:1:3::1")], WINDOW).is_some());
    }

    #[test]
    fn the_latest_of_each_is_kept_in_any_order() {
        let refused = |at, code: &'static str| Sighting {
            conflict: Some(Timestamp::from_unix(at)),
            refused: Some(LastRefusal {
                at: Timestamp::from_unix(at),
                code: RefusalCode::known(code),
            }),
            ..Sighting::nothing_of("a".parse().unwrap())
        };
        let (one, other) = (refused(1, "key_invalid"), refused(2, "certificate_expired"));
        let both = one.clone().merge(other.clone());
        assert_eq!(both, other.clone().merge(one));
        assert_eq!(both, both.clone().merge(other.clone()));
        assert_eq!(both.refused, other.refused);
    }

    #[test]
    fn only_what_can_be_a_code_or_names_a_credential_is_read() {
        assert!("certificate_expired".parse::<RefusalCode>().is_ok());
        for bad in ["", "a b", "A", "a-b", &"a".repeat(49)] {
            assert_eq!(bad.parse::<RefusalCode>(), Err(NotACode));
        }
        let id = used("a", 1, "::").credential;
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "certificate:", "key:1", "client:a"] {
            assert_eq!(bad.parse::<CredentialId>(), Err(NotACredentialId));
        }
    }
}
