//! HAProxy: map files, and files with the patterns of an ACL.
//!
//! In a map, the key ends at the first blank; in an ACL, the whole line is the pattern.

use std::io::{self, BufRead};

use super::lines::{each_line, pair};
use super::name::lets_in;
use super::{Entry, Found, Mark, Sink, Told, Why};

/// Reads a map file.
pub(super) fn map(input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    each_line(input, |number, line| {
        if let Some(found) = line.map_or_else(|why| Some(why.into()), in_map) {
            sink(number, found);
        }
    })
}

/// Reads a file of patterns.
pub(super) fn acl(input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    each_line(input, |number, line| {
        let line = line.map(str::trim);
        if line.as_ref().is_ok_and(|line| is_nothing(line)) {
            return;
        }
        let entry = line.and_then(mark).map(|mark| Entry::new(None, mark));
        sink(number, entry.into());
    })
}

fn in_map(line: &str) -> Option<Found> {
    if is_nothing(line.trim()) {
        return None;
    }
    let (key, value) = pair(line);
    let lets_in = lets_in(value);
    Some(if value.is_empty() {
        Why::Syntax("a map has a key and a value to a line; for a file of an ACL: haproxy-acl")
            .into()
    } else if lets_in == Some(false) {
        Found::Denied
    } else if value.contains("%[") || value.contains('\\') {
        // A map by regular expressions fills its values in.
        Why::Computed.into()
    } else {
        let called = lets_in.is_none().then_some(value);
        mark(key).map(|mark| Entry::new(called, mark)).into()
    })
}

fn is_nothing(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

fn mark(key: &str) -> Result<Mark, Why> {
    Mark::shaped(key, Told::Subject, Told::SubjectOfHaproxy)
}

#[cfg(test)]
mod tests {
    use crate::import::Format::{HaproxyAcl, HaproxyMap};
    use crate::import::tests::{digests, found};

    #[test]
    fn a_map_has_a_key_and_a_value_to_a_line() {
        let (sha1, _) = digests();
        let text = format!(
            "# sha1 client\n{sha1} acme\n\t {sha1}\tBravo Corp \r\n/O=C/CN=c 1\nd 0\ne\n^f g\nh \\1\n"
        );
        let expected = [
            "2 acme: sha1",
            "3 Bravo Corp: sha1",
            "4 ?: SubjectOfHaproxy /O=C/CN=c",
            "5 -",
            "6 !syntax",
            "7 g: CommonName ^f",
            "8 !computed",
        ];
        assert_eq!(found(HaproxyMap, &text), expected);
    }

    #[test]
    fn of_an_acl_the_whole_line_is_the_pattern() {
        let (sha1, sha256) = digests();
        let text = format!("# allowed\n{sha1}\n\n/O=Acme Corp/CN=a b\n{sha256}\n^/O=Acme\n\u{0}\n");
        let expected = [
            "2 ?: sha1",
            "4 ?: SubjectOfHaproxy /O=Acme Corp/CN=a b",
            "5 ?: sha256",
            "6 !pattern",
            "7 !syntax",
        ];
        assert_eq!(found(HaproxyAcl, &text), expected);
    }
}
