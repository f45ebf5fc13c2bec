//! In which form a front forwards certificates, and the one reading of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{GetAll, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use sfv::{BareItem, Item, List, ListEntry, Parser};
use sha2::{Digest as _, Sha256};

use super::{pem, xfcc};
use crate::certificate;

/// How many bytes a header may have that forwards a certificate.
const LONGEST: usize = 64 * 1024;

/// How a front forwards a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    Rfc9440,
    /// `X-Forwarded-Client-Cert`, as Envoy writes it.
    Xfcc,
    /// `X-Amzn-Mtls-Clientcert`, or `-Leaf`, as the Application Load Balancer of AWS writes them.
    Alb,
    /// PEM, percent-encoded, in this header, as nginx writes `$ssl_client_escaped_cert`.
    Pem(HeaderName),
    /// `X-Forwarded-Tls-Client-Cert`, as Traefik writes it.
    Traefik,
    /// In the header of the PROXY protocol, version 2.
    ProxyV2,
}

/// Why what a front forwards has not one reading as a certificate. Each is a sentence for whoever
/// gets the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Two values.
    #[error(
        "the proxy in front sent the header with your certificate twice; it must replace what \
         clients send under this name"
    )]
    Twice,
    /// More bytes than any sensible chain takes.
    #[error("the header with your certificate is longer than {LONGEST} bytes")]
    TooLong,
    /// It is not what the format says.
    #[error("the header with your certificate, which the proxy in front sent, is not {0}")]
    Not(&'static str),
    /// A private key.
    #[error(
        "the header for your certificate holds a private key; keys never leave their owner, so \
         replace it and its certificate"
    )]
    PrivateKey,
    /// Something else than one value of DER.
    #[error(
        "what the proxy in front forwarded as your certificate is not one certificate in DER and \
         nothing behind it"
    )]
    NotDer,
    /// Other certificates, but not the client's.
    #[error("the proxy in front forwarded a chain without the certificate that it belongs to")]
    ChainAlone,
    /// Only what the certificate says.
    #[error(
        "the proxy in front tells of your certificate, but does not forward it; in Envoy, set cert \
         in set_current_client_cert_details"
    )]
    NotForwarded,
    /// Two parts that do not fit each other.
    #[error("the proxy in front forwarded two certificates of which only one can be yours")]
    Differs,
}

/// What was found, not read yet.
pub(super) struct Forwarded<'a> {
    format: &'a Format,
    first: Option<&'a [u8]>,
    second: Option<&'a [u8]>,
}

/// The client's certificate in DER, and those that came with it.
pub(super) type Read = (Vec<u8>, Vec<Vec<u8>>);

impl Format {
    /// The headers that carry it.
    fn headers(&self) -> &[&str] {
        match self {
            Self::Rfc9440 => &["client-cert", "client-cert-chain"],
            Self::Xfcc => &["x-forwarded-client-cert"],
            Self::Alb => &["x-amzn-mtls-clientcert", "x-amzn-mtls-clientcert-leaf"],
            Self::Pem(_) | Self::ProxyV2 => &[],
            Self::Traefik => &["x-forwarded-tls-client-cert"],
        }
    }

    /// Whether a request carries anything of it.
    pub(super) fn carries(&self, headers: &HeaderMap, told: Option<&[u8]>) -> bool {
        match self {
            Self::Pem(name) => headers.contains_key(name),
            Self::ProxyV2 => told.is_some(),
            _ => self
                .headers()
                .iter()
                .any(|name| headers.contains_key(*name)),
        }
    }

    /// What a request carries of it; none when there is nothing, or it is empty.
    pub(super) fn find<'a>(
        &'a self,
        headers: &'a HeaderMap,
        told: Option<&'a [u8]>,
    ) -> Result<Option<Forwarded<'a>>, Unreadable> {
        let named = |index| match self.headers().get(index) {
            Some(name) => value(headers.get_all(*name)),
            None => Ok(None),
        };
        let (first, second) = match self {
            Self::Pem(name) => (value(headers.get_all(name))?, None),
            Self::ProxyV2 => (told, None),
            _ => (named(0)?, named(1)?),
        };
        let is_any = first.is_some() || second.is_some();
        Ok(is_any.then_some(Forwarded {
            format: self,
            first,
            second,
        }))
    }
}

impl<'a> Forwarded<'a> {
    /// The values as they came; empty where there is none.
    pub(super) fn parts(&self) -> (&'a [u8], &'a [u8]) {
        (
            self.first.unwrap_or_default(),
            self.second.unwrap_or_default(),
        )
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        let (first, second) = self.parts();
        first.len().saturating_add(second.len()) as u64
    }

    /// Tells apart whatever is read differently.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update([match self.format {
            Format::Rfc9440 => 0,
            Format::Xfcc => 1,
            Format::Alb => 2,
            Format::Pem(_) => 3,
            Format::Traefik => 4,
            Format::ProxyV2 => 5,
        }]);
        for part in [self.first, self.second] {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            digest.update(length.to_be_bytes());
            digest.update(part.unwrap_or_default());
        }
        digest.finalize().into()
    }

    pub(super) fn read(&self) -> Result<Read, Unreadable> {
        let all = match (self.format, self.first, self.second) {
            (Format::Rfc9440, Some(own), chain) => {
                let mut all = vec![byte_sequence(own)?];
                all.extend(chain.map(byte_sequences).transpose()?.unwrap_or_default());
                all
            }
            (Format::Alb, Some(_), Some(_)) => return Err(Unreadable::Twice),
            (Format::Alb, Some(text), None)
            | (Format::Alb, None, Some(text))
            | (Format::Pem(_), Some(text), _) => pem::escaped(text)?,
            (Format::Xfcc, Some(text), _) => xfcc::last(text)?.read()?,
            (Format::Traefik, Some(text), _) => bodies(text)?,
            (Format::ProxyV2, Some(der), _) => vec![der.to_vec()],
            (_, None, _) => return Err(Unreadable::ChainAlone),
        };
        if !all.iter().all(|der| certificate::is_one_value(der)) {
            return Err(Unreadable::NotDer);
        }
        let mut all = all.into_iter();
        let own = all.next().ok_or(Unreadable::NotDer)?;
        Ok((own, all.collect()))
    }
}

/// The one value of a header; none when it is not there, or empty.
fn value(values: GetAll<'_, HeaderValue>) -> Result<Option<&[u8]>, Unreadable> {
    let mut values = values.into_iter().map(HeaderValue::as_bytes);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Unreadable::Twice),
        (Some(value), None) if value.len() > LONGEST => Err(Unreadable::TooLong),
        (value, None) => Ok(value.filter(|value| !value.is_empty())),
    }
}

pub(super) const NOT_BYTES: Unreadable =
    Unreadable::Not("a byte sequence: base64 between colons (RFC 9440 section 2)");

fn byte_sequence(value: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let item = Parser::new(value).parse::<Item>();
    bytes(item.map_err(|_| NOT_BYTES)?)
}

fn byte_sequences(value: &[u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    let list = Parser::new(value).parse::<List>();
    let items = list.map_err(|_| NOT_BYTES)?.into_iter();
    let items = items.map(|entry| match entry {
        ListEntry::Item(item) => bytes(item),
        ListEntry::InnerList(_) => Err(NOT_BYTES),
    });
    items.collect()
}

fn bytes(item: Item) -> Result<Vec<u8>, Unreadable> {
    match item.bare_item {
        BareItem::ByteSequence(bytes) if item.params.is_empty() => Ok(bytes),
        _ => Err(NOT_BYTES),
    }
}

/// PEM without line ends and the lines around it, percent-encoded or not, separated by commas.
fn bodies(value: &[u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    let text: Vec<u8> = percent_decode(value).collect();
    if pem::holds_key(&text) {
        return Err(Unreadable::PrivateKey);
    }
    let bodies = text.split(|b| *b == b',').map(|body| STANDARD.decode(body));
    let bodies: Result<_, _> = bodies.collect();
    bodies.map_err(|_| Unreadable::Not("base64, and between several certificates commas"))
}
