//! The alternative names of a certificate's subject, as text that is safe to show.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::der::{NotDer, Reader, Tlv, tag};
use super::name;

/// Tags of `GeneralName` (RFC 5280 section 4.2.1.6).
pub(super) const EMAIL: u8 = 0x81;
pub(super) const DNS: u8 = 0x82;
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

/// Whether a name, as [`names`] writes it, can be compared with constraints on names of these
/// forms: one without the syntax of its form is in no subtree (RFC 5280 sections 4.2.1.6 and
/// 4.2.1.10), and by its end alone it could be taken to be in one, or in none that is excluded.
pub(super) fn is_comparable(name: &str, forms: &[u8]) -> bool {
    let is_host = |host: &str| host.split('.').all(|label| !label.is_empty());
    let is_box = |name: &str| {
        let parts = name.split_once('@');
        parts.is_some_and(|(user, host)| !user.is_empty() && !host.contains('@') && is_host(host))
    };
    match name.split_once(':') {
        Some(("DNS", name)) if forms.contains(&DNS) => is_host(name),
        Some(("email", name)) if forms.contains(&EMAIL) => is_box(name),
        _ => true,
    }
}

fn in_hex(bytes: &[u8]) -> String {
    format!("#{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::{DNS, EMAIL, is_comparable, names};

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
    #[test]
    fn only_a_well_formed_name_can_be_compared() {
        for good in [
            "DNS:a",
            "DNS:*.a.b",
            "email:a@b.c",
            "IP:::1",
            "URI:a:b@",
            "#82",
        ] {
            assert!(is_comparable(good, &[DNS, EMAIL]), "{good}");
        }
        for bad in ["DNS:", "DNS:.a", "DNS:a.", "DNS:a..b"] {
            assert!(
                !is_comparable(bad, &[DNS]) && is_comparable(bad, &[EMAIL]),
                "{bad}"
            );
        }
        for bad in [
            "email:",
            "email:a",
            "email:@a",
            "email:a@",
            "email:a@b@c",
            "email:a@b.",
        ] {
            assert!(
                !is_comparable(bad, &[EMAIL]) && is_comparable(bad, &[DNS]),
                "{bad}"
            );
        }
    }
}
