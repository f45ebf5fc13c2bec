//! What old proxies told backends of a client's certificate, byte for byte, for backends that know
//! nothing else yet. It is debt, and docs/MASQUERADE.md tells how to get rid of it.
//!
//! The bytes are those of nginx, HAProxy, Apache and Envoy as their own tests here run them
//! (`tests/integration/masquerade`), whatever stands in a certificate: an authority signed it, and it is
//! hostile all the same. What cannot stand in a header is not sent.

mod called;
mod certificate;
mod name;
mod objects;
mod value;
mod words;
mod xfcc;

pub use called::may_be_called;
pub use certificate::{Certificate, Unreadable};
pub use words::NotAValue;

use bytes::Bytes;
use http::header::HeaderValue;

use crate::clock::Timestamp;
use value::What;

/// The headers that one backend still gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masquerade(Vec<Header>);

/// What a header says of a certificate: word for word as in the configuration of an old proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(What);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    spelled: Bytes,
    value: Value,
}

impl Value {
    /// What is told of this certificate; none when the proxy would tell nothing.
    #[must_use]
    pub fn told_of(&self, certificate: &Certificate<'_>, now: Timestamp) -> Option<Vec<u8>> {
        let told = self.0.of(certificate, now);
        told.filter(|told| !told.is_empty())
    }
}

impl Header {
    /// The header that is spelled so in the configuration, and what it says.
    #[must_use]
    pub fn new(spelled: &str, value: Value) -> Self {
        Self {
            spelled: Bytes::copy_from_slice(spelled.as_bytes()),
            value,
        }
    }
}

impl Masquerade {
    /// These headers.
    #[must_use]
    pub const fn new(headers: Vec<Header>) -> Self {
        Self(headers)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The headers of whoever has `certificate`, spelled as in the configuration. One that its proxy
    /// would not have sent, that another could be forged with, or that no header can hold, is left out.
    pub fn headers(
        &self,
        certificate: &Certificate<'_>,
        now: Timestamp,
    ) -> impl Iterator<Item = (Bytes, HeaderValue)> {
        self.0.iter().filter_map(move |header| {
            let value = header.value.0.of(certificate, now)?;
            Some((header.spelled.clone(), HeaderValue::try_from(value).ok()?))
        })
    }
}

#[cfg(test)]
mod tests;
