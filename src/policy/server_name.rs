//! What becomes of clients' certificates at each server name.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

/// Whether clients are asked for a certificate, and what becomes of one that is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(extend("enum" = ["explain", "optional", "terse", "reject-connection", "never-ask", "off"]))]
pub enum ClientCertificates {
    /// They are asked, and may come without one. A bad one is told all that is wrong with it.
    #[serde(alias = "optional")]
    Explain,
    /// The same, but of a bad one only the code of the reason is told.
    Terse,
    /// They are asked, and may come without one. With a bad one the handshake fails.
    RejectConnection,
    /// They are not asked.
    #[serde(alias = "off")]
    NeverAsk,
}

impl ClientCertificates {
    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Explain => "explain",
            Self::Terse => "terse",
            Self::RejectConnection => "reject-connection",
            Self::NeverAsk => "never-ask",
        }
    }

    /// Whether clients are asked for a certificate.
    #[must_use]
    pub const fn asks(self) -> bool {
        !matches!(self, Self::NeverAsk)
    }
}

/// The server names that something is for: `api.example.com`, or `*.example.com` for all that are
/// one label longer than `example.com`, as in a certificate (RFC 6125 section 6.4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern(Box<str>);

/// The text is neither a host name nor one with a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use a host name without port, such as \"api.example.com\" or \"*.example.com\"")]
pub struct NotAName;

impl FromStr for NamePattern {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let is_label = |label: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            !label.is_empty() && label.bytes().all(fits)
        };
        // No client asks for an address (RFC 6066 section 3).
        let is_address = text.parse::<IpAddr>().is_ok();
        if name.split('.').all(is_label) && text.len() <= 255 && !is_address {
            Ok(Self(text.into()))
        } else {
            Err(NotAName)
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something for each of some server names.
#[derive(Clone, Debug)]
pub struct ByName<T>(HashMap<Box<str>, T>);

impl<T> ByName<T> {
    /// What is for a name (in lower case, without a final dot): its own before a wildcard's.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.0.get(format!("*.{parent}").as_str())
        })
    }
}

impl<T> FromIterator<(NamePattern, T)> for ByName<T> {
    /// Of two for one name, the first counts.
    fn from_iter<I: IntoIterator<Item = (NamePattern, T)>>(all: I) -> Self {
        let mut names = HashMap::new();
        for (name, value) in all {
            names.entry(name.0).or_insert(value);
        }
        Self(names)
    }
}

/// What becomes of clients' certificates, by the server name that a client asks for.
#[derive(Clone, Debug)]
pub struct ServerNames {
    /// At every other name, and where a client asks for none.
    other: ClientCertificates,
    named: ByName<ClientCertificates>,
}

impl ServerNames {
    /// `named` where a name is listed there, `other` elsewhere and without a name.
    #[must_use]
    pub const fn new(other: ClientCertificates, named: ByName<ClientCertificates>) -> Self {
        Self { other, named }
    }

    /// What holds for whoever asks for this name (in lower case, without port and final dot), or
    /// for none.
    #[must_use]
    pub fn policy(&self, name: Option<&str>) -> ClientCertificates {
        let named = name.and_then(|name| self.named.get(name));
        *named.unwrap_or(&self.other)
    }

    /// Every policy that holds somewhere.
    pub fn policies(&self) -> impl Iterator<Item = ClientCertificates> {
        [self.other]
            .into_iter()
            .chain(self.named.0.values().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_a_name_counts_before_a_wildcard_and_a_wildcard_for_one_label() {
        use ClientCertificates::{Explain, NeverAsk, RejectConnection, Terse};
        let list = [
            ("*.example.com", Terse),
            ("API.example.com.", RejectConnection),
            ("a.b.example.com", NeverAsk),
            ("api.example.com", NeverAsk),
        ];
        let list = list.map(|(name, policy)| (name.parse().unwrap(), policy));
        let names = ServerNames::new(Explain, list.into_iter().collect());
        for (name, policy) in [
            ("api.example.com", RejectConnection),
            ("other.example.com", Terse),
            ("a.b.example.com", NeverAsk),
            ("c.b.example.com", Explain),
            ("example.com", Explain),
            ("*.example.com", Terse),
            ("127.0.0.1", Explain),
            ("[::1]", Explain),
            ("", Explain),
        ] {
            assert_eq!(names.policy(Some(name)), policy, "{name}");
        }
        assert_eq!(names.policy(None), Explain);
    }

    #[test]
    fn what_is_no_host_name_is_no_pattern() {
        for text in [
            "",
            ".",
            "*",
            "*.",
            "a..b",
            "a:443",
            "10.0.0.1",
            "[::1]",
            "*.*.example",
            "a.*.b",
            "ä.example",
        ] {
            assert_eq!(text.parse::<NamePattern>(), Err(NotAName), "{text}");
        }
    }
}
