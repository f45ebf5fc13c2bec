//! What a header says, made of a certificate as its proxy makes it.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::Certificate;
use super::name::{self, Form, push_hex};
use super::xfcc::{self, Part};
use crate::certificate::Alias;
use crate::certificate::der::{Tlv, tag, time};
use crate::clock::Timestamp;

/// How many characters a line of PEM has.
const PEM_LINE: usize = 64;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// What nginx puts no line break into, of a serial number.
const SERIAL_LINE: usize = 35;
const DAY: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The same of everybody.
    Text(&'static str),
    /// A distinguished name.
    Name(Whose, Form),
    /// The first part of that name in a name.
    Part(Whose, Box<str>),
    /// The serial number as OpenSSL prints it.
    Serial,
    /// The serial number's bytes in hex.
    SerialBytes,
    /// A moment, as in `Nov 27 14:33:10 2026 GMT`.
    Printed(Edge),
    /// A moment as it is encoded, without its century.
    Raw(Edge),
    /// How many days are left.
    DaysLeft,
    /// The SHA-1 of the certificate.
    Sha1(Digits),
    /// PEM, percent-encoded.
    EscapedPem,
    /// PEM, with spaces for its line breaks.
    SpacedPem,
    /// DER in base64.
    Base64,
    /// The same between colons.
    Rfc9440,
    /// `X-Forwarded-Client-Cert`.
    Xfcc(Vec<Part>),
    /// What Apache makes of a value.
    Apache(Box<Self>),
    /// What HAProxy makes of a value.
    HaProxy(Box<Self>),
}

/// Whose name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The subject's.
    Subject,
    /// The issuer's.
    Issuer,
}

/// When the validity begins, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// It begins.
    Start,
    /// It ends.
    End,
}

/// The letters among the digits of hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// `a` to `f`.
    Lower,
    /// `A` to `F`.
    Upper,
}

impl What {
    /// What it is of this certificate; none when its proxy would send no such header.
    pub(super) fn of(&self, certificate: &Certificate<'_>, now: Timestamp) -> Option<Vec<u8>> {
        let value = match self {
            Self::Xfcc(parts) => return xfcc::write(parts, certificate),
            Self::Apache(value) => {
                let value = value.of(certificate, now);
                return Some(value.unwrap_or_else(|| b"(null)".to_vec()));
            }
            Self::HaProxy(value) => {
                let value = value.of(certificate, now);
                return Some(haproxy(&value.unwrap_or_default()));
            }
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Name(whose, form) => name::write(certificate.name(*whose), *form)?,
            Self::Part(whose, part) => name::part(certificate.name(*whose), part)?,
            Self::Serial => printed_serial(certificate.serial),
            Self::SerialBytes => hex(magnitude(certificate.serial).as_ref()),
            Self::Printed(edge) => printed(certificate.edge(*edge))?,
            Self::Raw(edge) => raw(certificate.edge(*edge))?,
            Self::DaysLeft => {
                let left = time(certificate.not_after).ok()?.seconds_since(now);
                (left.max(0) / DAY).to_string().into()
            }
            Self::Sha1(digits) => sha1(certificate.der, *digits)?,
            Self::EscapedPem => escaped(&pem(certificate.der)),
            Self::SpacedPem => pem(certificate.der).replace('\n', " ").into(),
            Self::Base64 => BASE64_STANDARD.encode(certificate.der).into(),
            Self::Rfc9440 => [":", &BASE64_STANDARD.encode(certificate.der), ":"]
                .concat()
                .into(),
        };
        (!value.is_empty()).then_some(value)
    }
}

impl<'a> Certificate<'a> {
    const fn name(&self, whose: Whose) -> &'a [u8] {
        match whose {
            Whose::Subject => self.subject,
            Whose::Issuer => self.issuer,
        }
    }

    const fn edge(&self, edge: Edge) -> Tlv<'a> {
        match edge {
            Edge::Start => self.not_before,
            Edge::End => self.not_after,
        }
    }
}

/// What cannot stand in a header is percent-encoded, and nothing else.
fn haproxy(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            0x00..=0x08 | 0x0a..=0x1f | 0x7f => {
                text.push(b'%');
                push_hex(*byte, &mut text);
            }
            _ => text.push(*byte),
        }
    }
    text
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        push_hex(*byte, &mut text);
    }
    text
}

/// The number without its sign, as OpenSSL keeps it.
fn magnitude(serial: &[u8]) -> Vec<u8> {
    let mut bytes = serial.to_vec();
    if is_negative(serial) {
        let mut carries = true;
        for byte in bytes.iter_mut().rev() {
            *byte = !*byte;
            if carries {
                (*byte, carries) = byte.overflowing_add(1);
            }
        }
    }
    if bytes.len() > 1 && bytes.first() == Some(&0) {
        bytes.remove(0);
    }
    bytes
}

fn is_negative(serial: &[u8]) -> bool {
    serial.first().is_some_and(|first| first & 0x80 != 0)
}

/// As `i2a_ASN1_INTEGER` of OpenSSL, which breaks the lines of long ones.
fn printed_serial(serial: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    text.extend(is_negative(serial).then_some(b'-'));
    for (line, bytes) in magnitude(serial).chunks(SERIAL_LINE).enumerate() {
        if line > 0 {
            text.extend(b"\\\n");
        }
        text.extend(hex(bytes));
    }
    text
}

/// As `ASN1_TIME_print` of OpenSSL: `Nov  7 04:03:10 2026 GMT`.
fn printed(moment: Tlv<'_>) -> Option<Vec<u8>> {
    let digits = with_century(moment)?;
    let month: usize = digits.get(4..6)?.parse().ok()?;
    let month = MONTHS.get(month.checked_sub(1)?)?;
    let day: u8 = digits.get(6..8)?.parse().ok()?;
    let [year, hour, minute, second] =
        [0..4, 8..10, 10..12, 12..14].map(|range| digits.get(range).unwrap_or_default());
    let mut text = String::new();
    let _ = write!(text, "{month} {day:>2} {hour}:{minute}:{second} {year} GMT");
    Some(text.into_bytes())
}

/// As HAProxy: `261127143310Z`, of this century alone where the century is written.
fn raw(moment: Tlv<'_>) -> Option<Vec<u8>> {
    match moment.tag {
        tag::GENERALIZED_TIME => moment.content.strip_prefix(b"20").map(<[u8]>::to_vec),
        _ => Some(moment.content.to_vec()),
    }
}

/// The digits of a moment, the year in four of them.
fn with_century(moment: Tlv<'_>) -> Option<String> {
    // Whether it is one.
    time(moment).ok()?;
    let digits = std::str::from_utf8(moment.content).ok()?;
    let century = match (moment.tag, digits.as_bytes().first()) {
        (tag::GENERALIZED_TIME, _) => "",
        (_, Some(b'5'..)) => "19",
        _ => "20",
    };
    Some([century, digits].concat())
}

fn sha1(der: &[u8], digits: Digits) -> Option<Vec<u8>> {
    let Alias::Sha1(sum) = Alias::sha1_of(der)? else {
        return None;
    };
    let text = hex(&sum);
    Some(match digits {
        Digits::Lower => text.to_ascii_lowercase(),
        Digits::Upper => text,
    })
}

/// As `PEM_write_bio_X509` of OpenSSL.
pub(super) fn pem(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let mut text = String::with_capacity(base64.len().saturating_add(base64.len() / 32));
    text.push_str(BEGIN);
    for (at, character) in base64.chars().enumerate() {
        if at.is_multiple_of(PEM_LINE) {
            text.push('\n');
        }
        text.push(character);
    }
    for part in ["\n", END, "\n"] {
        text.push_str(part);
    }
    text
}

/// As nginx does with a component of a URL, and Envoy with PEM.
pub(super) fn escaped(text: &str) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len().saturating_add(text.len() / 8));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte);
        } else {
            escaped.push(b'%');
            push_hex(byte, &mut escaped);
        }
    }
    escaped
}
