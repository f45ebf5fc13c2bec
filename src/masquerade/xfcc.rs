//! `X-Forwarded-Client-Cert` as Envoy makes it, but for names that would forge another part of it.

use super::Certificate;
use super::name::{self, Dialect, Form};
use super::value::{escaped, pem};
use super::words::NotAValue;
use crate::certificate::Fingerprint;

/// A `GeneralName` that is a URI, and one of the DNS (RFC 5280 section 4.2.1.6).
const URI: u8 = 0x86;
const DNS: u8 = 0x82;

/// One of its parts, in the order that Envoy has them in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The URI in Envoy's own certificate.
    By(Box<str>),
    /// The SHA-256 of the certificate.
    Hash,
    /// All of it.
    Cert,
    /// Its subject.
    Subject,
    /// Its URIs, a part each; an empty one when there is none.
    Uri,
    /// Its names of the DNS, a part each.
    Dns,
}

/// The parts that `text` names, with `;` between: each at most once, and in the order of Envoy.
pub(super) fn read(text: &str) -> Result<Vec<Part>, NotAValue> {
    let mut parts: Vec<Part> = Vec::new();
    for word in text.split(';') {
        let part = match (word, word.strip_prefix("By=")) {
            ("Hash", _) => Part::Hash,
            ("Cert", _) => Part::Cert,
            ("Chain", _) => return Err(NotAValue::Chain),
            ("Subject", _) => Part::Subject,
            ("URI", _) => Part::Uri,
            ("DNS", _) => Part::Dns,
            (_, Some(uri)) if !uri.is_empty() && uri.bytes().all(is_of_a_uri) => {
                Part::By(uri.into())
            }
            _ => return Err(NotAValue::Unknown),
        };
        let rank = std::mem::discriminant::<Part>;
        if parts
            .iter()
            .any(|before| *before >= part || rank(before) == rank(&part))
        {
            return Err(NotAValue::Order);
        }
        parts.push(part);
    }
    Ok(parts)
}

fn is_of_a_uri(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",=".contains(&byte)
}

/// Envoy writes names as they are, and who asks for a certificate chooses them: one with `,Hash=` in it
/// would begin an element of its own. None then.
pub(super) fn write(parts: &[Part], certificate: &Certificate<'_>) -> Option<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for part in parts {
        match part {
            Part::By(uri) => all.push(["By=", uri].concat().into()),
            Part::Hash => all.push(format!("Hash={}", Fingerprint::of(certificate.der)).into()),
            Part::Cert => all.push(quoted("Cert", &escaped(&pem(certificate.der)))),
            Part::Subject => {
                let form = Form::Rfc2253(Dialect::BoringSsl);
                all.push(quoted("Subject", &name::write(certificate.subject, form)?));
            }
            Part::Uri => {
                let before = all.len();
                all.extend(each("URI=", certificate, URI, |b| !b"\",;".contains(&b))?);
                if all.len() == before {
                    all.push(b"URI=".to_vec());
                }
            }
            Part::Dns => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b".*_-".contains(&b);
                all.extend(each("DNS=", certificate, DNS, plain)?);
            }
        }
    }
    Some(all.join(&b';'))
}

fn quoted(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"=\"", value, b"\""].concat()
}

/// The names of this kind, a part each; none when one has a byte that is not `safe`.
fn each(
    key: &str,
    certificate: &Certificate<'_>,
    kind: u8,
    safe: impl Fn(u8) -> bool,
) -> Option<Vec<Vec<u8>>> {
    let names = certificate.named(kind);
    let part = |name: &[u8]| {
        let is_safe = name.iter().all(|byte| safe(*byte));
        is_safe.then(|| [key.as_bytes(), name].concat())
    };
    names.map(part).collect()
}
