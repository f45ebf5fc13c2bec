//! Just enough of DER to write a sealed message.

use crate::certificate::der::tag;

/// `[0]` to `[2]` around a value, whose own tag stays (EXPLICIT), or in place of the tag of a value
/// made of others (IMPLICIT).
pub(super) const CONTEXT_0: u8 = 0xa0;
pub(super) const CONTEXT_1: u8 = 0xa1;
pub(super) const CONTEXT_2: u8 = 0xa2;
/// `[0] IMPLICIT OCTET STRING`.
pub(super) const BYTES_0: u8 = 0x80;

/// One value: its tag, its length, and the parts of its content.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|&&byte| byte == 0).count();
    let digits = length.get(zeros..).unwrap_or_default();
    let mut der = vec![tag];
    match digits {
        [] => der.push(0),
        [short @ 0..=0x7f] => der.push(*short),
        long => {
            // At most eight digits.
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(u8::MAX));
            der.extend(long);
        }
    }
    der.extend(content);
    der
}

/// `SEQUENCE`.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(tag::SEQUENCE, parts)
}

/// `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2), by the content of its OID and its parameters'
/// whole DER; with none of them, they are absent.
pub(super) fn algorithm(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    sequence(&[&value(tag::OID, &[oid]), parameters])
}

/// `OCTET STRING`.
pub(super) fn bytes(content: &[u8]) -> Vec<u8> {
    value(tag::OCTET_STRING, &[content])
}

/// `INTEGER` from 0 to 127.
pub(super) fn small(number: u8) -> Vec<u8> {
    value(tag::INTEGER, &[&[number]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::der::Reader;

    #[test]
    fn what_is_written_is_read_again_at_every_length() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let der = bytes(&content);
            let mut reader = Reader(&der);
            assert_eq!(reader.expect(tag::OCTET_STRING).unwrap().content, content);
            assert!(reader.is_empty());
        }
    }
}
