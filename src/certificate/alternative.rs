//! The alternative names of a certificate's subject, as text that is safe to show.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::der::{NotDer, Reader, Tlv, tag};
use super::name;

/// Tags of `GeneralName` (RFC 5280 section 4.2.1.6).
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const DIRECTORY_NAME: u8 = 0xa4;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// The names of a `subjectAltName`, sorted and each once, so that the same names compare equal in
/// whatever order they stand. What cannot be read stands there in hex, so that it equals nothing
/// else: whether it may be there is not decided here.
pub(super) fn names(value: &[u8]) -> Vec<String> {
    let mut names = list(value).unwrap_or_else(|NotDer| vec![in_hex(value)]);
    names.sort_unstable();
    names.dedup();
    names
}

fn list(value: &[u8]) -> Result<Vec<String>, NotDer> {
    let mut outer = Reader(value);
    let mut list = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let name = list.next()?;
        names.push(text(&name).unwrap_or_else(|| in_hex(name.whole)));
    }
    Ok(names)
}

fn text(name: &Tlv<'_>) -> Option<String> {
    let visible = || {
        let text = std::str::from_utf8(name.content).ok()?;
        text.bytes().all(|b| b.is_ascii_graphic()).then_some(text)
    };
    match name.tag {
        EMAIL => Some(format!("email:{}", visible()?)),
        // Their case means nothing (RFC 4343).
        DNS => Some(format!("DNS:{}", visible()?.to_ascii_lowercase())),
        URI => Some(format!("URI:{}", visible()?)),
        IP => match (
            <[u8; 4]>::try_from(name.content),
            <[u8; 16]>::try_from(name.content),
        ) {
            (Ok(four), _) => Some(format!("IP:{}", Ipv4Addr::from(four))),
            (_, Ok(sixteen)) => Some(format!("IP:{}", Ipv6Addr::from(sixteen))),
            (Err(_), Err(_)) => None,
        },
        DIRECTORY_NAME => Some(format!("DN:{}", name::text(name.content).ok()?)),
        _ => None,
    }
}

fn in_hex(bytes: &[u8]) -> String {
    format!("#{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::names;

    fn of(general_names: &[&[u8]]) -> Vec<String> {
        let content = general_names.concat();
        let mut value = vec![0x30, u8::try_from(content.len()).unwrap()];
        value.extend(content);
        names(&value)
    }

    #[test]
    fn names_compare_equal_in_any_order_and_no_two_look_alike() {
        let (b, a): (&[u8], &[u8]) = (b"\x82\x01B", b"\x82\x01a");
        assert_eq!(of(&[b, a, a]), ["DNS:a", "DNS:b"]);
        assert_eq!(of(&[b"\x87\x04\x7f\0\0\x01"]), ["IP:127.0.0.1"]);
        assert_eq!(
            of(&[b"\x81\x03a@b", b"\x86\x03u:v"]),
            ["URI:u:v", "email:a@b"]
        );
        // Hostile, or of a kind that has no text.
        assert_eq!(of(&[b"\x82\x03a\nb"]), ["#8203610a62"]);
        assert_eq!(of(&[b"\x82\x03a b"]), ["#8203612062"]);
        assert_eq!(of(&[b"\x88\x01\x2a"]), ["#88012a"]);
        assert_eq!(names(b"\x30\x05\x82"), ["#300582"]);
        assert!(of(&[]).is_empty());
    }
}
