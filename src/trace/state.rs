//! `tracestate`: a list of what tracing systems tell themselves (Trace Context section 3.3).

use http::header::{HeaderMap, HeaderValue};

use super::TRACESTATE;

/// More members make the list worth nothing.
const MEMBERS: usize = 32;
/// So much has to be passed on; what is beyond is left out.
const BYTES: usize = 512;
/// A key, and a value, has no more characters.
const LONGEST: usize = 256;
/// A member that is longer is the first to be left out.
const LONG: usize = 128;

/// The list in one line; none when it is empty, or breaks a rule in any part.
pub(super) fn read(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for line in headers.get_all(TRACESTATE) {
        for member in line.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let is_new = members.iter().all(|(known, _)| *known != key);
            if !is_key(key) || !is_value(value) || !is_new {
                return None;
            }
            members.push((key, value));
            if members.len() > MEMBERS {
                return None;
            }
        }
    }
    shorten(&mut members);
    let members: Vec<_> = members
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let value = HeaderValue::try_from(members.join(",")).ok()?;
    (!value.is_empty()).then_some(value)
}

/// Leaves whole members out, first the long ones and then the oldest, which stand last, until the
/// rest is short enough (section 3.3.1.5).
fn shorten(members: &mut Vec<(&str, &str)>) {
    let long = |(key, value): &(&str, &str)| key.len().saturating_add(value.len()) >= LONG;
    while length(members) > BYTES {
        match members.iter().rposition(long) {
            Some(at) => drop(members.remove(at)),
            None => drop(members.pop()),
        }
    }
}

fn length(members: &[(&str, &str)]) -> usize {
    let one = |(key, value): &(&str, &str)| key.len().saturating_add(value.len());
    // With a sign in each, and one before each but the first.
    let signs = members.len().saturating_mul(2).saturating_sub(1);
    members.iter().map(one).sum::<usize>().saturating_add(signs)
}

/// Level 2: Level 1 allows fewer.
fn is_key(key: &str) -> bool {
    let begins = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let goes_on = |b: u8| begins(b) || b"_-*/@".contains(&b);
    key.len() <= LONGEST && key.bytes().next().is_some_and(begins) && key.bytes().all(goes_on)
}

fn is_value(value: &str) -> bool {
    let fits = |b: u8| (0x20..=0x7e).contains(&b) && b != b'=';
    (1..=LONGEST).contains(&value.len()) && value.bytes().all(fits) && !value.ends_with(' ')
}
