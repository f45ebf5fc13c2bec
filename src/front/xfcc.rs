//! `X-Forwarded-Client-Cert`, as Envoy writes it: elements with commas between them, each of pairs
//! with semicolons between them; a value in quotes holds any of that, and `\` before a quote.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::{Unreadable, pem};

pub(super) const NOT_XFCC: Unreadable =
    Unreadable::Not("a list of Key=value pairs as Envoy writes X-Forwarded-Client-Cert");

/// What an element says that is read here.
#[derive(Default)]
pub(super) struct Element<'a> {
    cert: Option<Cow<'a, [u8]>>,
    chain: Option<Cow<'a, [u8]>>,
    hash: Option<Cow<'a, [u8]>>,
}

/// The last element: the front's own, whatever its client sent before. All of it must be well
/// formed, so that nothing of an element can pass for a part of another.
pub(super) fn last(value: &[u8]) -> Result<Element<'_>, Unreadable> {
    let (mut rest, mut element) = (value, Element::default());
    loop {
        let equals = memchr::memchr(b'=', rest).ok_or(NOT_XFCC)?;
        let (key, after) = rest.split_at_checked(equals).ok_or(NOT_XFCC)?;
        let after = after.get(1..).unwrap_or_default();
        let (text, after) = match after.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => bare(after)?,
        };
        element.put(key, text)?;
        rest = match after.split_first() {
            None => return Ok(element),
            Some((b';', rest)) => rest,
            Some((b',', rest)) => {
                element = Element::default();
                rest.trim_ascii_start()
            }
            Some(_) => return Err(NOT_XFCC),
        };
    }
}

/// A value up to its closing quote, and what follows.
fn unquoted(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Unreadable> {
    let end = memchr::memchr2(b'"', b'\\', text).ok_or(NOT_XFCC)?;
    let (plain, rest) = text.split_at_checked(end).ok_or(NOT_XFCC)?;
    if let Some(rest) = rest.strip_prefix(b"\"") {
        return Ok((Cow::Borrowed(plain), rest));
    }
    let (mut value, mut bytes) = (plain.to_vec(), rest.iter());
    loop {
        match bytes.next().ok_or(NOT_XFCC)? {
            b'"' => return Ok((Cow::Owned(value), bytes.as_slice())),
            b'\\' => value.push(*bytes.next().ok_or(NOT_XFCC)?),
            byte => value.push(*byte),
        }
    }
}

/// A value without quotes, and what follows.
fn bare(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Unreadable> {
    let end = memchr::memchr2(b';', b',', text).unwrap_or(text.len());
    let (value, rest) = text.split_at_checked(end).ok_or(NOT_XFCC)?;
    if value.contains(&b'"') {
        return Err(NOT_XFCC);
    }
    Ok((Cow::Borrowed(value), rest))
}

impl<'a> Element<'a> {
    fn put(&mut self, key: &[u8], value: Cow<'a, [u8]>) -> Result<(), Unreadable> {
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) {
            return Err(NOT_XFCC);
        }
        let place = match key.to_ascii_lowercase().as_slice() {
            b"cert" => &mut self.cert,
            b"chain" => &mut self.chain,
            b"hash" => &mut self.hash,
            // Several of some are usual; none of them decides anything.
            _ => return Ok(()),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(Unreadable::Differs),
        }
    }

    /// The certificate, and those of its chain. `Chain` begins with the client's own.
    pub(super) fn read(&self) -> Result<Vec<Vec<u8>>, Unreadable> {
        let read = |value: &Option<Cow<'_, [u8]>>| {
            let value = value.as_deref().filter(|value| !value.is_empty());
            value.map(pem::escaped).transpose()
        };
        let all = match (read(&self.cert)?, read(&self.chain)?) {
            (None, None) => return Err(Unreadable::NotForwarded),
            (Some(own), Some(chain)) if own.as_slice() != chain.get(..1).unwrap_or_default() => {
                return Err(Unreadable::Differs);
            }
            (Some(own), None) if own.len() != 1 => return Err(Unreadable::Differs),
            (_, Some(all)) | (Some(all), None) => all,
        };
        let own = all.first().ok_or(Unreadable::NotForwarded)?;
        match &self.hash {
            Some(hash)
                if !hash.eq_ignore_ascii_case(hex::encode(Sha256::digest(own)).as_bytes()) =>
            {
                Err(Unreadable::Differs)
            }
            _ => Ok(all),
        }
    }
}
