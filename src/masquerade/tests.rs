//! What the values are of certificates that no proxy could be asked about in a test of the whole.

use super::*;
use crate::pki;

const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

fn told(spec: pki::Spec, value: &str) -> Option<String> {
    let der = spec.self_signed().x509.to_der().unwrap();
    let header = Header::new("X-Told", value.parse().unwrap());
    let masquerade = Masquerade::new(vec![header]);
    let certificate = Certificate::read(&der).unwrap();
    let told: Vec<_> = masquerade.headers(&certificate, NOW).collect();
    let (spelled, value) = told.into_iter().next()?;
    assert_eq!(spelled, "X-Told");
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[test]
fn a_serial_number_of_more_than_one_line_is_not_told_and_a_negative_one_is() {
    let serial = |bytes: &[u8]| told(pki::leaf("a").serial(bytes), "$ssl_client_serial");
    assert_eq!(serial(&[0x40; 35]).unwrap(), "40".repeat(35));
    assert_eq!(serial(&[0x40; 36]), None);
    assert_eq!(serial(&[0x0a]).unwrap(), "0A");
}

#[test]
fn moments_are_told_as_each_proxy_has_them() {
    let until = |end: i64, value| told(pki::leaf("a").dates_unix(0, end), value);
    assert_eq!(
        until(1_795_618_999, "$ssl_client_v_end").unwrap(),
        "Nov 25 15:03:19 2026 GMT"
    );
    assert_eq!(until(1_795_618_999, "$ssl_client_v_remain").unwrap(), "2");
    assert_eq!(until(1, "$ssl_client_v_remain").unwrap(), "0");
    assert_eq!(until(1, "%[ssl_c_notafter]").unwrap(), "700101000001Z");
    // In 2050 the century is written.
    let later = until(2_524_608_000, "%[ssl_c_notafter]").unwrap();
    assert_eq!(later, "500101000000Z");
    let later = until(2_524_608_000, "$ssl_client_v_end").unwrap();
    assert_eq!(later, "Jan  1 00:00:00 2050 GMT");
}

#[test]
fn what_is_no_certificate_is_told_nothing_of() {
    assert_eq!(Certificate::read(b"x").unwrap_err(), Unreadable);
    let der = pki::leaf("a").self_signed().x509.to_der().unwrap();
    for length in 0..der.len() {
        assert!(Certificate::read(&der[..length]).is_err(), "{length}");
    }
}

/// As `X509_NAME_oneline` and `X509_NAME_print_ex` of OpenSSL 3 say it.
#[test]
fn the_bits_of_a_name_that_are_unused_are_told_as_nought() {
    let bits = |value: &[u8], told_as| {
        let name = pki::leaf("a").empty_subject().entry("2.5.4.3", 3, value);
        told(name, told_as).unwrap()
    };
    let (line, rfc2253) = ("$ssl_client_s_dn_legacy", "$ssl_client_s_dn");
    // Whether or not they are, as DER wants it: BoringSSL reads nothing else.
    let set = cfg!(feature = "openssl").then_some(b"\x04ab\xff");
    for value in [b"\x04ab\xf0"].into_iter().chain(set) {
        assert_eq!(bits(value, line), r"/CN=ab\xF0");
        assert_eq!(bits(value, rfc2253), "CN=#0304046162F0");
    }
    assert_eq!(bits(b"\x00ab\xff", rfc2253), "CN=#0304006162FF");
    assert_eq!(bits(b"\x00", rfc2253), "CN=#030100");
}

#[test]
fn a_name_that_could_forge_another_part_has_no_header_of_envoys() {
    let names = |kind: u8, name: &[u8], parts| {
        let names = pki::tlv(0x30, &pki::tlv(kind, name));
        told(pki::leaf("a").extension("2.5.29.17", false, &names), parts)
    };
    let (uri, dns) = (0x86, 0x82);
    for (kind, name) in [
        (uri, "spiffe://a,b"),
        (uri, "spiffe://a;b"),
        (uri, "spiffe://a\"b"),
        (dns, "a,b"),
        (dns, "a;b"),
        (dns, "a=b"),
        (dns, "a b"),
    ] {
        assert_eq!(
            names(kind, name.as_bytes(), "Subject;URI;DNS"),
            None,
            "{name}"
        );
        // Where it is not told of, it forges nothing.
        let subject = names(kind, name.as_bytes(), "Subject");
        assert_eq!(subject.unwrap(), r#"Subject="CN=a""#);
    }
    let good = names(uri, b"spiffe://a/b?c=d&e=f#g", "URI").unwrap();
    assert_eq!(good, "URI=spiffe://a/b?c=d&e=f#g");
    let good = names(dns, b"*.a_b-1.example", "DNS").unwrap();
    assert_eq!(good, "DNS=*.a_b-1.example");
}
