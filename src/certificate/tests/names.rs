//! The case V20: names that try to break out of a line, a header, or a reader's mind.

use super::*;
use crate::pki::{Spec, leaf, root};
use crate::tls::hash::{MessageDigest, hash};

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;
const BMP: u8 = 0x1e;

fn facts(spec: Spec) -> Facts {
    Facts::of(&spec.self_signed().x509).unwrap()
}

fn subject(tag: u8, value: &[u8]) -> String {
    facts(leaf("x").empty_subject().entry(CN, tag, value)).subject
}

#[test]
fn v20_no_character_of_a_name_breaks_out() {
    for (value, expected) in [
        ("plain", "CN=plain"),
        ("München ☂", "CN=München ☂"),
        ("a,CN=admin", r"CN=a\,CN=admin"),
        ("a+CN=admin", r"CN=a\+CN=admin"),
        ("a\"b;c<d>e\\f", r#"CN=a\"b\;c\<d\>e\\f"#),
        (" #x ", r"CN=\ #x\ "),
        ("#00", r"CN=\#00"),
        (" ", r"CN=\ "),
        ("", "CN="),
        ("admin\0.example.com", r"CN=admin\00.example.com"),
        ("a\r\nX-Client-Id: admin", r"CN=a\0D\0AX-Client-Id: admin"),
        ("a\tb\u{7f}c\u{85}", r"CN=a\09b\7Fc\C2\85"),
        ("abc\u{202e}fed", r"CN=abc\E2\80\AEfed"),
        (
            "a\u{2066}b\u{200b}c\u{feff}",
            r"CN=a\E2\81\A6b\E2\80\8Bc\EF\BB\BF",
        ),
        ("a\u{2028}b\u{e0041}", r"CN=a\E2\80\A8b\F3\A0\81\81"),
        ("\u{1b}[31m", r"CN=\1B[31m"),
        ("<script>", r"CN=\<script\>"),
    ] {
        assert_eq!(subject(UTF8, value.as_bytes()), expected);
    }
}

#[test]
fn v20_every_string_type_is_read_or_shown_in_hex() {
    assert_eq!(subject(PRINTABLE, b"abc"), "CN=abc");
    assert_eq!(subject(IA5, b"a@b"), "CN=a@b");
    assert_eq!(subject(TELETEX, b"M\xfcller"), "CN=Müller");
    assert_eq!(subject(BMP, &[0, b'a', 0x26, 0x02]), "CN=a☂");
    // Not what the type says: the bytes themselves, which nothing can be mistaken for.
    assert_eq!(subject(PRINTABLE, b"\xe4"), "CN=#1301e4");
    let unknown = leaf("x").entry("1.2.840.5", UTF8, b"v");
    assert_eq!(facts(unknown).subject, "1.2.840.5=#0c0176,CN=x");
}

#[test]
fn v20_a_name_with_many_parts_keeps_them_apart() {
    let many = leaf("acme")
        .empty_subject()
        .entry("2.5.4.6", PRINTABLE, b"DE")
        .entry(O, UTF8, b"Acme, Inc.")
        .entry(CN, UTF8, b"pay")
        .joined("0.9.2342.19200300.100.1.1", UTF8, b"42");
    let joined = facts(many).subject;
    assert!(
        joined == r"CN=pay+UID=42,O=Acme\, Inc.,C=DE"
            || joined == r"UID=42+CN=pay,O=Acme\, Inc.,C=DE",
        "{joined}"
    );
    // What OpenSSL's own list cannot tell from the above.
    let apart = leaf("acme")
        .empty_subject()
        .entry("2.5.4.6", PRINTABLE, b"DE")
        .entry(O, UTF8, b"Acme, Inc.")
        .entry("0.9.2342.19200300.100.1.1", UTF8, b"42")
        .entry(CN, UTF8, b"pay");
    assert_eq!(facts(apart).subject, r"CN=pay,UID=42,O=Acme\, Inc.,C=DE");
    let none = facts(leaf("x").empty_subject());
    assert_eq!((none.subject.as_str(), none.common_name()), ("", None));
}

#[test]
fn v20_the_common_name_is_the_most_specific_one() {
    let name = |spec: Spec| facts(spec).common_name();
    assert_eq!(name(leaf("acme")).as_deref(), Some("acme"));
    for odd in [
        "a,b+c\\d",
        " #x ",
        "ä\u{202e}\0\r\n",
        "CN=x",
        "\\0A",
        "a\\",
        "\\\\,",
    ] {
        assert_eq!(name(leaf(odd)).as_deref(), Some(odd));
        // A value in front of it that looks like a common name is none.
        let disguised = leaf(odd).entry(O, UTF8, b"x,CN=admin");
        assert_eq!(name(disguised).as_deref(), Some(odd));
    }
    let two = leaf("outer").entry(CN, UTF8, b"inner");
    assert_eq!(name(two).as_deref(), Some("inner"));
    let broken = leaf("x").empty_subject().entry(CN, PRINTABLE, b"\xff");
    assert_eq!(name(broken), None);
}

#[test]
fn v20_no_sentence_has_a_second_line() {
    let hostile = "a'\r\nSet-Cookie: x=y\u{202e}\0";
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    accepted(&verifier, &leaf(hostile).signed_by(&root));
    let stranger = pki::root(hostile).self_signed();
    let below = pki::intermediate(hostile)
        .dates(-20, -10)
        .signed_by(&stranger);
    for bad in [
        leaf(hostile).signed_by(&stranger),
        leaf(hostile).self_signed(),
        leaf(hostile).signed_by(&below),
        leaf(hostile).signed_by(&leaf(hostile).signed_by(&root)),
    ] {
        let rejected = judge(&verifier, &bad).unwrap_err();
        let facts = rejected.facts().unwrap();
        for text in rejected
            .problems()
            .iter()
            .map(|problem| &problem.detail)
            .chain([&facts.subject, &facts.issuer])
        {
            assert!(!text.chars().any(crate::text::is_hostile), "{text:?}");
            assert!(!text.is_empty());
        }
    }
}

#[test]
fn facts_say_what_the_certificate_says() {
    let issued = leaf("acme")
        .serial(&[0, 0xab, 1])
        .dates_unix(0, 2_000_000_000)
        .self_signed();
    let facts = Facts::of(&issued.x509).unwrap();
    let spki = issued.key.public_key_to_der().unwrap();
    let expected = hash(MessageDigest::sha256(), &spki).unwrap();
    assert_eq!(facts.spki, hex::encode(expected));
    assert_eq!(facts.serial, "00ab01");
    assert_eq!(facts.not_before, Timestamp::from_unix(0));
    assert_eq!(facts.not_after, Timestamp::from_unix(2_000_000_000));
    let far = leaf("x").dates_unix(-86_400, 253_402_300_799).self_signed();
    let facts = Facts::of(&far.x509).unwrap();
    assert_eq!(facts.not_before, Timestamp::from_unix(-86_400));
    assert_eq!(facts.not_after, Timestamp::from_unix(253_402_300_799));
}

#[test]
fn v20_a_name_that_is_not_utf_8_is_no_certificate() {
    let root = root("Root").self_signed();
    let good = leaf("acme").signed_by(&root).x509.to_der().unwrap();
    let verifier = verifier(vec![ca(&[&root])]);
    let verdict = |der: &[u8]| verifier.verify(&Chain::from_der(der, &[]), moment(0));
    assert!(verdict(&good).at(moment(0)).is_ok());
    let at = good.windows(4).position(|part| part == b"acme").unwrap();
    let mut bad = good;
    bad[at] = 0xff;
    let rejected = verdict(&bad).at(moment(0)).unwrap_err();
    assert_eq!(rejected.reason(), Reason::Invalid);
    assert!(rejected.facts().is_none());
    // And should another library read it, it is shown in hex.
    let value = pki::tlv(0x0c, b"\xffabc");
    let attribute = pki::tlv(0x30, &[&[6, 3, 0x55, 4, 3], &value[..]].concat());
    let subject = pki::tlv(0x30, &pki::tlv(0x31, &attribute));
    assert_eq!(name::text(&subject).unwrap(), "CN=#0c04ff616263");
}
