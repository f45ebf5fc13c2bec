//! Certificates with awkward and hostile names, each signed by the clients' authority.

use openssl::asn1::Asn1Object;
use openssl::nid::Nid;

use crate::support::pki::{Spec, leaf, tlv};

const CN: &str = "2.5.4.3";
const UTF8: u8 = 0x0c;
const NUMERIC: u8 = 0x12;
const PRINTABLE: u8 = 0x13;
const T61: u8 = 0x14;
const IA5: u8 = 0x16;
const UNIVERSAL: u8 = 0x1c;
const BMP: u8 = 0x1e;

fn empty() -> Spec {
    // Not at the end of a day that is left.
    leaf("x").empty_subject().dates(-3600, 10 * 86_400 + 43_200)
}

fn common_name(value: &[u8]) -> Spec {
    empty()
        .entry("2.5.4.10", UTF8, b"Acme")
        .entry(CN, UTF8, value)
}

/// Them all, by what is awkward.
pub(super) fn all() -> Vec<(String, Spec)> {
    let mut all = vec![("usual", usual()), ("every type", every_type())];
    all.extend(strings());
    all.extend([
        (
            "several values",
            empty()
                .entry("2.5.4.10", UTF8, b"Acme")
                .entry(CN, UTF8, b"one")
                .joined("2.5.4.11", UTF8, b"two")
                .joined("2.5.4.5", PRINTABLE, b"3")
                .entry("2.5.4.11", UTF8, b"four"),
        ),
        (
            "the same type again",
            common_name(b"first").entry(CN, UTF8, b"second"),
        ),
        (
            "unknown types",
            empty()
                .entry("1.2.3.4", UTF8, b"unknown")
                .entry("2.25.1234567890123456789", PRINTABLE, b"large")
                .entry("1.3.6.1.4.1.99999.1.2.3", IA5, b"private"),
        ),
        (
            "a type of many digits",
            empty().entry(
                "1.3.6.1.4.1.1111111111.2222222222.3333333333.4444444444.5555555555.6666666666.7777777777.8888888888.9999999999.1111111111.2222222222.3333333333",
                UTF8,
                b"long",
            ),
        ),
        ("no text", empty().entry(CN, 0x03, b"\0bits").entry(CN, 0x30, &tlv(UTF8, b"a"))),
        (
            "names beside the subject",
            common_name(b"names").names(&["acme.example", "b.example"]),
        ),
        (
            "URIs",
            common_name(b"URIs").extension(
                "2.5.29.17",
                false,
                &tlv(
                    0x30,
                    &[
                        tlv(0x86, b"spiffe://acme/a?b=c"),
                        tlv(0x82, b"acme.example"),
                        tlv(0x86, b"urn:two"),
                    ]
                    .concat(),
                ),
            ),
        ),
        (
            "no subject",
            empty().extension(
                "2.5.29.17",
                true,
                &tlv(0x30, &tlv(0x82, b"acme.example")),
            ),
        ),
        ("a long serial number", common_name(b"long").serial(&[0x7f; 20])),
        ("a serial number of one digit", common_name(b"short").serial(&[1])),
        (
            "an end after 2049",
            common_name(b"later").dates(-3600, 30 * 365 * 86_400),
        ),
    ]);
    let named = all.into_iter();
    named.map(|(name, spec)| (name.to_owned(), spec)).collect()
}

fn usual() -> Spec {
    empty()
        .entry("2.5.4.6", PRINTABLE, b"DE")
        .entry("2.5.4.8", UTF8, b"Berlin")
        .entry("2.5.4.10", UTF8, b"Acme GmbH")
        .entry("2.5.4.11", UTF8, b"Payments")
        .entry(CN, UTF8, b"acme-payments")
        .entry("1.2.840.113549.1.9.1", IA5, b"ops@acme.example")
        .entry("0.9.2342.19200300.100.1.25", IA5, b"example")
        .entry("0.9.2342.19200300.100.1.1", UTF8, b"u1")
}

/// Strings of every type, with everything in them.
fn strings() -> Vec<(&'static str, Spec)> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    let wider = |text: &str| -> Vec<u8> {
        text.chars()
            .flat_map(|c| u32::from(c).to_be_bytes())
            .collect()
    };
    vec![
        ("commas and plus", common_name(b"a,b+c=d;e<f>g\\h\"i")),
        ("slashes", common_name(b"a/b\\/c/CN=root")),
        ("percent", common_name(b"100% %41 %0d%0a")),
        ("a hash in front", common_name(b"#a#")),
        ("a hash alone", common_name(b"#")),
        ("spaces around", common_name(b"  a  b  ")),
        ("a space alone", common_name(b" ")),
        ("nothing in it", common_name(b"")),
        ("UTF-8", common_name("Bäckerei 漢字 🦀".as_bytes())),
        (
            "right to left",
            common_name("a\u{202e}b\u{200b}".as_bytes()),
        ),
        (
            "line breaks",
            common_name(b"a\r\nX-Key-Id: forged\r\n\r\nGET / HTTP/1.1"),
        ),
        (
            "control bytes",
            common_name(b"\x01\x07\x08\t\x0b\x1b\x1f\x7f"),
        ),
        ("a NUL", common_name(b"admin\0.acme.example")),
        ("a tab at the ends", common_name(b"\ta\t")),
        ("a thousand characters", common_name(&[b'x'; 1000])),
        (
            "an e with an accent in Latin 1",
            empty().entry(CN, T61, b"caf\xe9 \xff"),
        ),
        ("a BMP string", empty().entry(CN, BMP, &wide("é, 漢#"))),
        (
            "a universal string",
            empty().entry(CN, UNIVERSAL, &wider("é 🦀+")),
        ),
        ("digits", empty().entry(CN, NUMERIC, b"12 34")),
    ]
}

/// Every attribute type of X.520, of PKCS #9, of COSINE and of extended validation that OpenSSL names.
fn every_type() -> Spec {
    let mut spec = empty();
    for number in 1..2_000 {
        let Ok(name) = Nid::from_raw(number).short_name() else {
            continue;
        };
        let object = Asn1Object::from_str(name).expect("a name of OpenSSL's");
        let dotted = dotted(object.as_slice());
        let is_attribute = ["2.5.4.", "0.9.2342.19200300.100.1.", "1.2.840.113549.1.9."]
            .iter()
            .chain(&["1.3.6.1.4.1.311.60.2.1."])
            .any(|begin| {
                let rest = dotted.strip_prefix(begin);
                // Of PKCS #9, what is beyond stands in no name.
                rest.is_some_and(|rest| rest.parse().is_ok_and(|last: u8| last <= 100))
                    && !["1.2.840.113549.1.9.52"].contains(&dotted.as_str())
            });
        if is_attribute {
            spec = spec.entry(&dotted, UTF8, name.as_bytes());
        }
    }
    spec
}

fn dotted(oid: &[u8]) -> String {
    let (mut arcs, mut arc) = (Vec::new(), 0_u64);
    for byte in oid {
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let Some((first, rest)) = arcs.split_first() else {
        return String::new();
    };
    let top = (first / 40).min(2);
    let rest = rest.iter().map(|arc| format!(".{arc}"));
    format!("{top}.{}{}", first - 40 * top, rest.collect::<String>())
}
