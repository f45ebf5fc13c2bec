//! Distinguished names in the forms of old proxies.

use std::borrow::Cow;

use super::objects::{dotted, short_name, short_name_of_boringssl};
use crate::certificate::der::{NotDer, Reader, tag};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// How much of a type's numbers OpenSSL writes, and HAProxy.
const LONGEST: usize = 79;
const LONGEST_OF_HAPROXY: usize = 127;

/// How a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `X509_NAME_print_ex` with `XN_FLAG_RFC2253`: last part first, with `,` between.
    Rfc2253(Dialect),
    /// `X509_NAME_oneline`: `/C=…/CN=…`, with `\xHH` for what is not printable.
    OneLine,
    /// HAProxy's own: `/C=…/CN=…`, with the values as they are.
    Plain,
}

/// Whose RFC 2253.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenSSL's own: what is not ASCII is escaped.
    OpenSsl,
    /// Apache's, which leaves that as it is.
    Apache,
    /// BoringSSL's, which has fewer names for types.
    BoringSsl,
}

/// One attribute of a name.
struct Attribute<'a> {
    /// Which relative name it stands in.
    rdn: usize,
    oid: &'a [u8],
    tag: u8,
    value: &'a [u8],
    whole: &'a [u8],
}

/// The `Name` with this content, in this form.
pub(super) fn write(name: &[u8], form: Form) -> Option<Vec<u8>> {
    let attributes = attributes(name).ok()?;
    match form {
        Form::Rfc2253(dialect) => rfc2253(&attributes, dialect),
        Form::OneLine => one_line(&attributes),
        Form::Plain => plain(&attributes),
    }
}

/// The value of the first attribute that is called `wanted`, in any case of letters.
pub(super) fn part(name: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let attributes = attributes(name).ok()?;
    let is_wanted = |oid: &[u8]| match short_name(oid) {
        Some(name) => name.eq_ignore_ascii_case(wanted),
        None => dotted(oid).as_deref() == Some(wanted),
    };
    let mut found = attributes.iter().filter(|one| is_wanted(one.oid));
    found.next().map(|one| one.data().into_owned())
}

fn attributes(name: &[u8]) -> Result<Vec<Attribute<'_>>, NotDer> {
    let (mut rdns, mut found) = (Reader(name), Vec::new());
    for rdn in 0.. {
        if rdns.is_empty() {
            break;
        }
        let mut set = rdns.enter(tag::SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(tag::SEQUENCE)?;
            let oid = attribute.expect(tag::OID)?.content;
            let value = attribute.next()?;
            found.push(Attribute {
                rdn,
                oid,
                tag: value.tag,
                value: value.content,
                whole: value.whole,
            });
        }
    }
    Ok(found)
}

impl Attribute<'_> {
    /// Writes its type and `=`: what it is `called`, or else so much of its numbers.
    fn push_type(&self, called: Option<&str>, most: usize, text: &mut Vec<u8>) -> Option<()> {
        match called {
            Some(name) => text.extend(name.as_bytes()),
            None => text.extend(dotted(self.oid)?.bytes().take(most)),
        }
        text.push(b'=');
        Some(())
    }

    /// Its value as OpenSSL keeps it.
    fn data(&self) -> Cow<'_, [u8]> {
        match (self.tag, self.value) {
            (tag::BIT_STRING, [unused, bits @ ..]) => masked(bits, *unused).into(),
            (tag::SEQUENCE, _) => self.whole.into(),
            (_, value) => value.into(),
        }
    }

    /// Its encoding as OpenSSL writes it again.
    fn encoding(&self) -> Cow<'_, [u8]> {
        match (self.tag, self.value) {
            (tag::BIT_STRING, [unused, bits @ ..]) => {
                let head = self.whole.len().saturating_sub(self.value.len());
                let head = self.whole.get(..head).unwrap_or_default();
                let counted = if bits.is_empty() { 0 } else { *unused };
                [head, &[counted], &masked(bits, *unused)].concat().into()
            }
            _ => self.whole.into(),
        }
    }
}

/// The bits, without the last ones, which are unused.
fn masked(bits: &[u8], unused: u8) -> Vec<u8> {
    let mut bits = bits.to_vec();
    if let Some(last) = bits.last_mut() {
        *last &= 0xff_u8.checked_shl(u32::from(unused)).unwrap_or_default();
    }
    bits
}

fn rfc2253(attributes: &[Attribute<'_>], dialect: Dialect) -> Option<Vec<u8>> {
    let (mut text, mut before) = (Vec::new(), None);
    for attribute in attributes.iter().rev() {
        if let Some(before) = before {
            text.push(if before == attribute.rdn { b'+' } else { b',' });
        }
        before = Some(attribute.rdn);
        let called = match dialect {
            Dialect::OpenSsl | Dialect::Apache => short_name(attribute.oid),
            Dialect::BoringSsl => short_name_of_boringssl(attribute.oid),
        };
        attribute.push_type(called, LONGEST, &mut text)?;
        if let Some(value) = called.and_then(|_| utf8(attribute.tag, attribute.value)) {
            escape(&value, dialect, &mut text);
        } else {
            text.push(b'#');
            for byte in attribute.encoding().iter() {
                push_hex(*byte, &mut text);
            }
        }
    }
    Some(text)
}

/// The value of a string of this type in UTF-8, as `do_buf` of OpenSSL reads it; none when it is no text.
/// What says that it is UTF-8 is taken at its word.
fn utf8(tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    let width = match tag {
        // UTF8.
        12 => return Some(value.to_vec()),
        // Numeric, Printable, T61, IA5, UTCTime, GeneralizedTime, Visible: Latin 1, all of them.
        18 | 19 | 20 | 22 | 23 | 24 | 26 => 1,
        // BMP.
        30 => 2,
        // Universal.
        28 => 4,
        _ => return None,
    };
    let character = |bytes: &[u8]| {
        let code = bytes.iter().fold(0, |code, &b| code << 8 | u32::from(b));
        char::from_u32(code)
    };
    let text: Option<String> = value.chunks(width).map(character).collect();
    text.map(String::into_bytes)
}

/// Escapes a value as `do_esc_char` of OpenSSL does.
fn escape(value: &[u8], dialect: Dialect, text: &mut Vec<u8>) {
    let last = value.len().checked_sub(1);
    for (at, &byte) in value.iter().enumerate() {
        let (is_first, is_last) = (at == 0, Some(at) == last);
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => text.extend([b'\\', byte]),
            b' ' if is_first || is_last => text.extend([b'\\', byte]),
            // As the only character it is to OpenSSL the last, and not the first.
            b'#' if is_first && (!is_last || dialect == Dialect::BoringSsl) => {
                text.extend([b'\\', byte]);
            }
            0x00..=0x1f | 0x7f => push_escaped(byte, text),
            0x80.. if dialect != Dialect::Apache => push_escaped(byte, text),
            _ => text.push(byte),
        }
    }
}

fn push_escaped(byte: u8, text: &mut Vec<u8>) {
    text.push(b'\\');
    push_hex(byte, text);
}

pub(super) fn push_hex(byte: u8, text: &mut Vec<u8>) {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
    text.extend([digit(byte >> 4), digit(byte & 15)]);
}

fn one_line(attributes: &[Attribute<'_>]) -> Option<Vec<u8>> {
    let (mut text, mut before) = (Vec::new(), None);
    for attribute in attributes {
        let is_same = before == Some(attribute.rdn);
        text.push(if is_same { b'+' } else { b'/' });
        before = Some(attribute.rdn);
        attribute.push_type(short_name(attribute.oid), LONGEST, &mut text)?;
        for byte in attribute.data().iter() {
            match byte {
                b'/' | b'+' => text.extend([b'\\', *byte]),
                b' '..=b'~' => text.push(*byte),
                _ => {
                    text.extend(b"\\x");
                    push_hex(*byte, &mut text);
                }
            }
        }
    }
    Some(text)
}

fn plain(attributes: &[Attribute<'_>]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for attribute in attributes {
        text.push(b'/');
        attribute.push_type(short_name(attribute.oid), LONGEST_OF_HAPROXY, &mut text)?;
        text.extend(attribute.data().iter());
    }
    Some(text)
}
