//! What attribute types are called: by the short names of OpenSSL, or else by their numbers. What
//! BoringSSL does not call by name, and may stand in one, is named here.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::tls::asn1::Asn1Object;
use crate::tls::error::ErrorStack;
use crate::tls::nid::Nid;
use crate::tls::oid;

/// Beyond the last object that any version of OpenSSL numbers.
const BEYOND: i32 = 2_000;
/// The first object that BoringSSL, which left OpenSSL before, does not know, and one that got the
/// number of another later.
const AFTER_BORINGSSL: i32 = 955;
const UNIQUE_IDENTIFIER: i32 = 102;
/// What OpenSSL named since then of that which authorities write into names.
const NAMED_SINCE: [(&[u8], &str); 12] = [
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 44],
        "uid",
    ),
    (&[0x55, 4, 97], "organizationIdentifier"),
    (&[0x55, 4, 98], "c3"),
    (&[0x55, 4, 99], "n3"),
    (&[0x55, 4, 100], "dnsName"),
    (
        &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1, 1],
        "jurisdictionL",
    ),
    (
        &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1, 2],
        "jurisdictionST",
    ),
    (
        &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1, 3],
        "jurisdictionC",
    ),
    (&[0x2a, 0x85, 3, 3, 0x81, 3, 1, 1], "INN"),
    (&[0x2a, 0x85, 3, 0x64, 1], "OGRN"),
    (&[0x2a, 0x85, 3, 0x64, 3], "SNILS"),
    (&[0x2a, 0x85, 3, 0x64, 5], "OGRNIP"),
];

/// Read out of the library once, so that no request asks it.
static NAMES: LazyLock<HashMap<Vec<u8>, (i32, &'static str), RandomState>> = LazyLock::new(|| {
    let names = (1..BEYOND).filter_map(|number| {
        let name = Nid::from_raw(number).short_name().ok()?;
        let object = Asn1Object::from_str(name).ok()?;
        let oid = oid(&object);
        let is_it = object.nid() == Nid::from_raw(number) && !oid.is_empty();
        is_it.then_some((oid, (number, name)))
    });
    let since = NAMED_SINCE.map(|(oid, name)| (oid.to_vec(), (BEYOND, name)));
    // What the library has itself takes their places.
    let names = since.into_iter().chain(names).collect();
    // Numbers that nothing has leave errors that nobody waits for.
    let _ = ErrorStack::get();
    names
});

/// The short name of the type with this object identifier, if it has one.
pub(super) fn short_name(oid: &[u8]) -> Option<&'static str> {
    NAMES.get(oid).map(|(_, name)| *name)
}

/// The same, as BoringSSL knows it.
pub(super) fn short_name_of_boringssl(oid: &[u8]) -> Option<&'static str> {
    let (number, name) = NAMES.get(oid)?;
    let is_known = *number < AFTER_BORINGSSL && *number != UNIQUE_IDENTIFIER;
    is_known.then_some(*name)
}

/// An object identifier in numbers; none when it is not well formed.
pub(super) fn dotted(oid: &[u8]) -> Option<String> {
    let (mut text, mut arc) = (String::new(), 0_u128);
    for byte in oid {
        arc = arc.checked_mul(128)?.checked_add(u128::from(byte & 0x7f))?;
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let first = (arc / 40).min(2);
            let second = arc.checked_sub(first.checked_mul(40)?)?;
            let _ = write!(text, "{first}.{second}");
        } else {
            let _ = write!(text, ".{arc}");
        }
        arc = 0;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_name_that_openssl_gives_it_or_its_numbers() {
        let named = |oid: &[u8]| (short_name(oid), dotted(oid));
        let (name, numbers) = named(&[0x55, 4, 3]);
        assert_eq!((name, numbers.as_deref()), (Some("CN"), Some("2.5.4.3")));
        let email = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
        let (name, numbers) = named(&email);
        assert_eq!(name, Some("emailAddress"));
        assert_eq!(numbers.as_deref(), Some("1.2.840.113549.1.9.1"));
        assert_eq!(short_name(&[0x2a, 3, 4]), None);
        assert_eq!(short_name_of_boringssl(&[0x55, 4, 3]), Some("CN"));
        for (number, expected) in NAMED_SINCE {
            assert_eq!(short_name(number), Some(expected));
            assert_eq!(short_name_of_boringssl(number), None, "{expected}");
            if cfg!(feature = "openssl") {
                assert_eq!(oid(&Asn1Object::from_str(expected).unwrap()), number);
            }
        }
        // Of the rest BoringSSL names less: as the purpose of clients of a secure shell.
        let secure_shell = [0x2b, 6, 1, 5, 5, 7, 3, 21];
        let has_all = cfg!(feature = "openssl");
        assert_eq!(short_name(&secure_shell).is_some(), has_all);
        assert_eq!(dotted(&[0x88, 0x37, 3]).as_deref(), Some("2.999.3"));
        assert_eq!(dotted(&[0xff; 40]), None);
        assert!(NAMES.len() > if has_all { 1_000 } else { 800 });
    }
}
