//! What the values are of certificates that no proxy could be asked about in a test of the whole.

use super::*;
use crate::pki;

const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

fn told(spec: pki::Spec, value: &str) -> Option<String> {
    let der = spec.self_signed().x509.to_der().unwrap();
    let header = Header::new(
        HeaderName::from_static("x-told"),
        "X-Told",
        value.parse().unwrap(),
    );
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
