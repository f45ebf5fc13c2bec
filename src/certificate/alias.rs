//! Other names of certificates that were not seen yet, by which the operator gave them to clients.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Fingerprint;
use crate::client::{ClientId, Disabled, Holdings};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};
use crate::tls::hash::{MessageDigest, hash};

/// A name that can be computed from a certificate. It finds a certificate that was verified; it is
/// never a credential.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub enum Alias {
    /// The SHA-1 of its DER form, as older gateways name certificates.
    Sha1([u8; 20]),
    /// The SHA-256 of its subject public key info: of the key, before there is a certificate.
    Spki([u8; 32]),
}

/// The text is not an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an alias is sha1- and 40 hex digits, or spki- and 64 hex digits")]
pub struct NotAnAlias;

/// Whose certificate the first verified one with this alias is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasRecord {
    /// The name.
    pub alias: Alias,
    /// The client that the operator gave it to.
    pub client: ClientId,
    /// What became of it.
    pub state: AliasState,
    /// When it was named.
    pub created_at: Timestamp,
}

/// What became of an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum AliasState {
    /// No certificate was seen that has it.
    Open,
    /// It was this certificate's. No other is ever taken for it.
    Bound {
        /// The certificate.
        to: Fingerprint,
    },
    /// The operator took it back.
    Withdrawn {
        /// Since when.
        at: Timestamp,
    },
}

impl Alias {
    /// The alias that a SHA-256 of a public key in hex stands for; none when it is none.
    #[must_use]
    pub fn spki(hex: &str) -> Option<Self> {
        bytes(hex).map(Self::Spki)
    }

    /// The SHA-1 of the certificate with this DER form; none when the library has no SHA-1.
    pub(crate) fn sha1_of(der: &[u8]) -> Option<Self> {
        let sha1 = hash(MessageDigest::sha1(), der).ok()?;
        sha1.as_ref().try_into().ok().map(Self::Sha1)
    }

    /// The alias that a SHA-1 of a certificate in hex stands for; none when it is none.
    #[must_use]
    pub fn sha1(hex: &str) -> Option<Self> {
        bytes(hex).map(Self::Sha1)
    }
}

impl AliasRecord {
    /// An alias that no certificate was seen to have.
    #[must_use]
    pub const fn new(alias: Alias, client: ClientId, now: Timestamp) -> Self {
        Self {
            alias,
            client,
            state: AliasState::Open,
            created_at: now,
        }
    }

    /// Whose certificate is waited for, while it is open.
    pub(crate) fn awaited(&self) -> Option<&ClientId> {
        (self.state == AliasState::Open).then_some(&self.client)
    }

    /// The same alias, once a certificate was seen to have it.
    #[must_use]
    pub fn bound(self, to: Fingerprint) -> Self {
        let state = AliasState::Bound { to };
        Self { state, ..self }
    }
}

/// Why an alias was not given to a client, or not taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnnounced {
    /// The client is disabled.
    #[error(transparent)]
    Disabled(#[from] Disabled),
    /// It is announced for somebody else.
    #[error(
        "it is announced for the client {0} already; take that back first, with the same command \
         and --undo"
    )]
    Anothers(ClientId),
    /// A certificate was seen that has it.
    #[error("it was used: it is the certificate {0}; see: keyferry certificate list")]
    Used(Fingerprint),
}

/// Gives the first verified certificate that will have `alias` to a client. `known` is the alias'
/// record, when there is one. None when that was done before.
///
/// # Errors
///
/// [`NotAnnounced`].
pub fn announce(
    alias: Alias,
    known: Option<(Epoch, AliasRecord)>,
    to: &Holdings,
    actor: Actor,
    now: Timestamp,
) -> Result<Option<Change>, NotAnnounced> {
    to.expect_active()?;
    let version = match known {
        None => Epoch::NONE,
        Some((version, known)) => match known.state {
            AliasState::Open if known.client == *to.id() => return Ok(None),
            AliasState::Open => return Err(NotAnnounced::Anothers(known.client)),
            AliasState::Bound { to } => return Err(NotAnnounced::Used(to)),
            AliasState::Withdrawn { .. } => version,
        },
    };
    let record = AliasRecord::new(alias, to.id().clone(), now);
    let writes = vec![to.hold(), Write::replace(version, record)];
    let action = Action::CertificateAnnounced;
    Ok(Some(Change::new(action, actor, now, writes)))
}

/// Takes an alias back that no certificate was seen to have. None when that was done before.
///
/// # Errors
///
/// [`NotAnnounced::Used`].
pub fn withdraw(
    (version, known): (Epoch, AliasRecord),
    actor: Actor,
    now: Timestamp,
) -> Result<Option<Change>, NotAnnounced> {
    match known.state {
        AliasState::Withdrawn { .. } => return Ok(None),
        AliasState::Bound { to } => return Err(NotAnnounced::Used(to)),
        AliasState::Open => {}
    }
    let state = AliasState::Withdrawn { at: now };
    let writes = vec![Write::replace(version, AliasRecord { state, ..known })];
    let action = Action::AnnouncementWithdrawn;
    Ok(Some(Change::new(action, actor, now, writes)))
}

/// `N` bytes in hex, as programs print them: in either case, with or without colons, and with or
/// without a name before an equals sign.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
    let mut bytes = [0; N];
    hex::decode_to_slice(digits.trim().replace(':', ""), &mut bytes).ok()?;
    Some(bytes)
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha1(bytes) => write!(f, "sha1-{}", hex::encode(bytes)),
            Self::Spki(bytes) => write!(f, "spki-{}", hex::encode(bytes)),
        }
    }
}

impl FromStr for Alias {
    type Err = NotAnAlias;

    fn from_str(text: &str) -> Result<Self, NotAnAlias> {
        let alias = match text.split_once('-') {
            Some(("sha1", digits)) => Self::sha1(digits),
            Some(("spki", digits)) => Self::spki(digits),
            _ => None,
        };
        // There is one text form.
        alias
            .filter(|alias| alias.to_string() == text)
            .ok_or(NotAnAlias)
    }
}

impl TryFrom<String> for Alias {
    type Error = NotAnAlias;

    fn try_from(text: String) -> Result<Self, NotAnAlias> {
        text.parse()
    }
}

impl From<Alias> for String {
    fn from(alias: Alias) -> Self {
        alias.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientRecord;
    use crate::store::Record;

    #[test]
    fn an_alias_has_one_text_form_and_is_read_as_programs_print_it() {
        let sha1 = Alias::sha1(
            "SHA1 Fingerprint=AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD",
        );
        let sha1 = sha1.unwrap();
        assert_eq!(
            sha1.to_string(),
            "sha1-aabbccddeeff00112233445566778899aabbccdd"
        );
        assert_eq!(sha1.to_string().parse(), Ok(sha1));
        let spki = Alias::spki(&"0a".repeat(32)).unwrap();
        assert_eq!(spki.to_string().parse(), Ok(spki));
        assert!(Alias::sha1(&"0a".repeat(32)).is_none() && Alias::spki("0a").is_none());
        let upper = sha1.to_string().to_uppercase();
        for text in [
            "sha1-",
            "md5-00",
            &upper,
            &sha1.to_string().replace('a', "A"),
        ] {
            assert!(text.parse::<Alias>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_announcement_is_one_clients_until_it_is_used_or_taken_back() {
        const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
        let client = |id: &str| Holdings {
            client: (Epoch(1), ClientRecord::new(id.parse().unwrap(), None, NOW)),
            certificates: Vec::new(),
            keys: Vec::new(),
        };
        let (acme, bravo) = (client("acme"), client("bravo"));
        let alias = Alias::Spki([7; 32]);
        let give = |known, to| announce(alias, known, to, Actor::Gateway, NOW);
        assert!(give(None, &acme).unwrap().is_some());
        let open = AliasRecord::new(alias, acme.id().clone(), NOW);
        assert!(
            give(Some((Epoch(2), open.clone())), &acme)
                .unwrap()
                .is_none()
        );
        let anothers = give(Some((Epoch(2), open.clone())), &bravo);
        assert_eq!(
            anothers.err(),
            Some(NotAnnounced::Anothers(acme.id().clone()))
        );

        let change = withdraw((Epoch(2), open.clone()), Actor::Gateway, NOW);
        let written = change.unwrap().unwrap().writes.remove(0).record;
        let Record::Alias(withdrawn) = written else {
            panic!("{written:?}");
        };
        assert!(
            give(Some((Epoch(3), withdrawn.clone())), &bravo)
                .unwrap()
                .is_some()
        );
        let again = withdraw((Epoch(3), withdrawn), Actor::Gateway, NOW);
        assert!(again.unwrap().is_none());

        let to = Fingerprint::of(b"the certificate");
        let used = || Some((Epoch(4), open.clone().bound(to)));
        assert_eq!(give(used(), &acme).err(), Some(NotAnnounced::Used(to)));
        let kept = withdraw(used().unwrap(), Actor::Gateway, NOW);
        assert_eq!(kept.err(), Some(NotAnnounced::Used(to)));
    }
}
