//! Whom to write to: the e-mail addresses in a client's certificates.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::certificate::Facts;

/// The longest address (RFC 5321 section 4.5.3.1, without the brackets), and the parts of it.
const LONGEST: usize = 254;
const LONGEST_USER: usize = 64;
const LONGEST_LABEL: usize = 63;

/// An e-mail address that can stand in any header and any table as it is: a plain name, one `@`, and
/// a host name. It begins with a letter or a digit, so that it is no option of a command and no
/// formula of a spreadsheet.
///
/// What a certificate calls an address may be anything; RFC 5321 has quotes, comments and routes for
/// nearly anything. Whatever is no plain address is not written to.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Contact(Box<str>);

/// The text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a contact is a plain e-mail address, as ops@example.com")]
pub struct NotAContact;

impl Contact {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The contacts that certificates name, each once, in their order.
    pub fn of<'a>(certificates: impl IntoIterator<Item = &'a Facts>) -> Vec<Self> {
        let mut seen = BTreeSet::new();
        let named = certificates.into_iter().flat_map(Facts::emails);
        named
            .filter_map(|text| text.parse::<Self>().ok())
            // Mail knows no case in practice, and nobody wants a letter twice.
            .filter(|contact| seen.insert(contact.0.to_ascii_lowercase()))
            .collect()
    }
}

impl FromStr for Contact {
    type Err = NotAContact;

    fn from_str(text: &str) -> Result<Self, NotAContact> {
        let (user, host) = text.split_once('@').ok_or(NotAContact)?;
        let is_alphanumeric = |b: &u8| b.is_ascii_alphanumeric();
        let is_user = user.len() <= LONGEST_USER
            && user.bytes().next().as_ref().is_some_and(is_alphanumeric)
            && user.split('.').all(|atom| !atom.is_empty())
            && user
                .bytes()
                .all(|b| is_alphanumeric(&b) || b"._-+='".contains(&b));
        let is_label = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| is_alphanumeric(&b) || b == b'-')
        };
        if is_user && host.split('.').all(is_label) && text.len() <= LONGEST {
            Ok(Self(text.into()))
        } else {
            Err(NotAContact)
        }
    }
}

impl TryFrom<String> for Contact {
    type Error = NotAContact;

    fn try_from(text: String) -> Result<Self, NotAContact> {
        text.parse()
    }
}

impl From<Contact> for String {
    fn from(contact: Contact) -> Self {
        contact.0.into()
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn facts(subject: &str, alternative_names: &[&str]) -> Facts {
        Facts {
            subject: subject.to_owned(),
            issuer: String::new(),
            alternative_names: alternative_names.iter().map(|&name| name.into()).collect(),
            serial: String::new(),
            spki: String::new(),
            not_before: Timestamp::from_unix(0),
            not_after: Timestamp::from_unix(1),
        }
    }

    fn of(certificates: &[Facts]) -> Vec<String> {
        { Contact::of(certificates).into_iter() }
            .map(String::from)
            .collect()
    }

    #[test]
    fn addresses_come_from_alternative_names_and_subjects_each_once_in_their_order() {
        let newest = facts(
            "CN=a,emailAddress=dn@a.example+emailAddress=OPS@a.example",
            &["DNS:a.example", "email:ops@a.example", "email:z@a.example"],
        );
        let older = facts("emailAddress=old@a.example,emailAddress=DN@A.example", &[]);
        assert_eq!(
            of(&[newest, older]),
            [
                "ops@a.example",
                "z@a.example",
                "dn@a.example",
                "old@a.example"
            ]
        );
        assert!(of(&[facts("CN=emailAddress=a@b.example", &["DNS:a@b"])]).is_empty());
        // As the subject escapes them.
        let escaped = facts(r"emailAddress=o'neil\+x@a.example,emailAddress=a\,b@c", &[]);
        assert_eq!(of(&[escaped]), ["o'neil+x@a.example"]);
    }

    #[test]
    fn what_could_mean_more_than_an_address_is_no_contact() {
        for good in [
            "a@b",
            "first.last+tag@mail.example.com",
            "A_1-b@xn--bcher-kva.example",
        ] {
            assert!(good.parse::<Contact>().is_ok(), "{good:?}");
        }
        let long = [
            format!("{}@b", "a".repeat(65)),
            format!("a@{}", "b".repeat(64)),
            format!("a@{}", ["b"; 127].join(".")),
        ];
        let bad = [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b c",
            " a@b",
            "a@b ",
            "a,b@c",
            "a@b,c@d",
            "a@b;c@d",
            "a&b@c",
            "a#b@c",
            "~a@b",
            "a@b\r\nBcc: c@d",
            "a@b\n",
            "a\0@b",
            "a\u{202e}@b",
            "ä@b",
            "a@ä",
            "<a@b>",
            "a<b@c>",
            "\"a\"@b",
            "a(c)@b",
            "a@[127.0.0.1]",
            "-oQ@b",
            "=1+1@b",
            "+1@b",
            "'a@b",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@-b",
            "a@b-",
            "a!b@c",
            "a%b@c",
            "|a@b",
            "a|b@c",
            "`a`@b",
            "$a@b",
            "a@b_c",
            "a/b@c",
            "a\\@b",
            "a:b@c",
        ];
        let long = long.iter().map(String::as_str);
        for bad in bad.into_iter().chain(long) {
            assert_eq!(bad.parse::<Contact>(), Err(NotAContact), "{bad:?}");
            let certificate = facts("CN=a", &[&format!("email:{bad}")]);
            assert!(of(&[certificate]).is_empty(), "{bad:?}");
        }
    }
}
