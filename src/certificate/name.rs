//! A distinguished name as text that is safe to show and never ambiguous.

use std::fmt::Write as _;

use super::der::{NotDer, Reader, tag};
use crate::text::is_hostile;

/// The most specific attribute type that people know a certificate's holder by: `commonName`.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// The names of RFC 4514 section 3, and four that everybody knows.
const KNOWN: [(&[u8], &str); 13] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 42], "GN"),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
        "emailAddress",
    ),
];

/// The text of a `Name` (RFC 5280 section 4.1.2.4) given in DER: RFC 4514, most specific first,
/// with every character that could deceive a reader or break a line escaped too. Different names
/// have different texts, except that the string types are not told apart.
pub(super) fn text(name: &[u8]) -> Result<String, NotDer> {
    let mut outer = Reader(name);
    let mut rdns = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    let mut texts = Vec::new();
    while !rdns.is_empty() {
        let mut attributes = rdns.enter(tag::SET)?;
        let mut text = String::new();
        while !attributes.is_empty() {
            if !text.is_empty() {
                text.push('+');
            }
            attribute(attributes.enter(tag::SEQUENCE)?, &mut text)?;
        }
        if text.is_empty() {
            return Err(NotDer);
        }
        texts.push(text);
    }
    texts.reverse();
    Ok(texts.join(","))
}

fn attribute(mut reader: Reader<'_>, text: &mut String) -> Result<(), NotDer> {
    let oid = reader.expect(tag::OID)?.content;
    let value = reader.next()?;
    reader.end()?;
    let known = KNOWN.iter().find(|(known, _)| *known == oid);
    match known {
        Some((_, name)) => text.push_str(name),
        None => dotted(oid, text)?,
    }
    text.push('=');
    match string(value.tag, value.content) {
        Some(string) if known.is_some() => escape(&string, text),
        _ => {
            text.push('#');
            text.push_str(&hex::encode(value.whole));
        }
    }
    Ok(())
}

/// The string types of X.520, as Unicode; `None` when the bytes are not what the type says.
fn string(tag: u8, bytes: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString
        0x0c => String::from_utf8(bytes.to_vec()).ok(),
        0x12 | 0x13 | 0x16 | 0x1a if bytes.is_ascii() => String::from_utf8(bytes.to_vec()).ok(),
        // TeletexString: Latin-1 in practice, as OpenSSL reads it too.
        0x14 => Some(bytes.iter().map(|&b| char::from(b)).collect()),
        // BMPString
        0x1e => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = units.iter().map(|&unit| u16::from_be_bytes(unit)).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok())?
        }
        // UniversalString
        0x1c => {
            let (units, rest) = bytes.as_chunks::<4>();
            let read = |&unit: &[u8; 4]| char::from_u32(u32::from_be_bytes(unit));
            rest.is_empty().then(|| units.iter().map(read).collect())?
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4, and hex pairs for every hostile character.
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (i == 0 && matches!(c, ' ' | '#'))
            || (i == last && c == ' ');
        if is_hostile(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(text, "\\{byte:02X}");
            }
        } else {
            if special {
                text.push('\\');
            }
            text.push(c);
        }
    }
}

/// An object identifier in dotted form (X.690 section 8.19).
fn dotted(oid: &[u8], text: &mut String) -> Result<(), NotDer> {
    let mut arc = 0_u64;
    let mut first = true;
    if oid.last().is_none_or(|last| last & 0x80 != 0) {
        return Err(NotDer);
    }
    for &byte in oid {
        if arc == 0 && byte == 0x80 {
            return Err(NotDer);
        }
        arc = arc.checked_mul(128).ok_or(NotDer)? | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        let _ = if first {
            let root = (arc / 40).min(2);
            write!(
                text,
                "{root}.{}",
                arc.saturating_sub(root.saturating_mul(40))
            )
        } else {
            write!(text, ".{arc}")
        };
        first = false;
        arc = 0;
    }
    Ok(())
}

/// The plain value of the first `CN` of a name after RFC 2253 or RFC 4514, as [`text`] makes it and as
/// people write it, and so the most specific one.
pub(super) fn common_name(text: &str) -> Option<String> {
    unescape(values(text, "CN").next()?)
}

/// The plain values of every `emailAddress` of a text made by [`text`], the most specific first.
pub(super) fn emails(text: &str) -> impl Iterator<Item = String> {
    values(text, "emailAddress").filter_map(unescape)
}

/// The values, still escaped, of the attributes of such a name that are of `kind`.
fn values<'a>(text: &'a str, kind: &'static str) -> impl Iterator<Item = &'a str> {
    let mut rest = Some(text);
    let attributes = std::iter::from_fn(move || {
        let (attribute, after) = attribute_end(rest?);
        rest = after;
        Some(attribute)
    });
    attributes.filter_map(move |attribute| {
        let (own, value) = attribute.split_once('=')?;
        own.trim().eq_ignore_ascii_case(kind).then_some(value)
    })
}

/// What is before the first separator that is not escaped, and what is after it.
fn attribute_end(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        if !escaped && matches!(c, ',' | '+') {
            let (value, after) = text.split_at_checked(i).unwrap_or((text, ""));
            return (value, after.get(1..));
        }
        escaped = !escaped && c == '\\';
    }
    (text, None)
}

fn unescape(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    if rest.first() == Some(&b'#') {
        return None;
    }
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let mut hex = [0];
        if let Some((pair, after)) = rest.split_at_checked(2)
            && hex::decode_to_slice(pair, &mut hex).is_ok()
        {
            bytes.extend(hex);
            rest = after;
        } else {
            let (&byte, after) = rest.split_first()?;
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A name that is short enough for a sentence: the common name where there is one, still escaped,
/// otherwise the whole name, otherwise that there is none.
pub(super) fn short(text: &str) -> String {
    let found = values(text, "CN").next().unwrap_or(text);
    match found.char_indices().nth(100) {
        _ if found.is_empty() => "(no name)".to_owned(),
        Some((cut, _)) => format!("{}…", found.get(..cut).unwrap_or_default()),
        None => found.to_owned(),
    }
}
