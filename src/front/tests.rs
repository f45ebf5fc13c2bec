//! What fronts forward, in every format: as they write it, and every way in which it is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;
use crate::pki::{self, Issued};

/// As nginx and Envoy encode: all but letters, digits and `-_.~`.
const MOST: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// As the load balancer of AWS does: `+`, `=` and `/` stay.
const FEW: &AsciiSet = &MOST.remove(b'+').remove(b'=').remove(b'/');

fn chain() -> (Issued, Issued) {
    let root = pki::root("root").self_signed();
    let below = pki::intermediate("below").signed_by(&root);
    (pki::leaf("alice").signed_by(&below), below)
}

fn der(issued: &Issued) -> Vec<u8> {
    issued.x509.to_der().unwrap()
}

fn pem(issued: &Issued) -> String {
    String::from_utf8(issued.x509.to_pem().unwrap()).unwrap()
}

fn escaped(text: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(text, set).to_string()
}

fn sequence(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    headers
}

fn read(format: &Format, fields: &[(&str, &str)]) -> Result<Option<format::Read>, Unreadable> {
    let headers = headers(fields);
    let found = format.find(&headers, None)?;
    found.map(|found| found.read()).transpose()
}

fn nginx() -> Format {
    Format::Pem(HeaderName::from_static("x-ssl-client-cert"))
}

const XFCC: &str = "x-forwarded-client-cert";

#[test]
fn every_format_is_read_as_its_product_writes_it() {
    let (leaf, below) = chain();
    let (own, both) = (pem(&leaf), pem(&leaf) + &pem(&below));
    let alone = Ok(Some((der(&leaf), vec![])));
    let whole = Ok(Some((der(&leaf), vec![der(&below)])));
    let rfc9440 = |cert: &str, chain: &str| {
        read(
            &Format::Rfc9440,
            &[("client-cert", cert), ("client-cert-chain", chain)],
        )
    };
    assert_eq!(rfc9440(&sequence(&der(&leaf)), ""), alone);
    assert_eq!(
        rfc9440(&sequence(&der(&leaf)), &sequence(&der(&below))),
        whole
    );

    for value in [
        escaped(&own, MOST),
        own.replace('\n', "\t"),
        own.replace('\n', " "),
    ] {
        assert_eq!(read(&nginx(), &[("x-ssl-client-cert", &value)]), alone);
    }
    for name in ["x-amzn-mtls-clientcert", "x-amzn-mtls-clientcert-leaf"] {
        assert_eq!(read(&Format::Alb, &[(name, &escaped(&own, FEW))]), alone);
        assert_eq!(read(&Format::Alb, &[(name, &escaped(&both, FEW))]), whole);
    }
    let body = |issued| STANDARD.encode(der(issued));
    let bodies = format!("{},{}", body(&leaf), body(&below));
    for value in [escaped(&bodies, MOST), bodies] {
        let read = read(&Format::Traefik, &[("x-forwarded-tls-client-cert", &value)]);
        assert_eq!(read, whole);
    }
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(der(&leaf)));
    let (own, both) = (escaped(&own, MOST), escaped(&both, MOST));
    for (value, expected) in [
        (format!("Hash={hash};Cert=\"{own}\""), &alone),
        (
            format!("Hash={hash};Cert=\"{own}\";Chain=\"{both}\""),
            &whole,
        ),
        (format!("Chain=\"{both}\""), &whole),
        (
            format!(
                "By=spiffe://a/b;Cert={own};Subject=\"CN=a\\\"b,O=\\\\;x\";URI=,DNS=c;Cert=\"{own}\""
            ),
            &alone,
        ),
    ] {
        assert_eq!(read(&Format::Xfcc, &[(XFCC, &value)]), *expected, "{value}");
    }
    let told = der(&leaf);
    let none = HeaderMap::new();
    let found = Format::ProxyV2.find(&none, Some(&told)).unwrap();
    assert_eq!(found.unwrap().read(), alone.map(Option::unwrap));
}

#[test]
fn nothing_is_no_certificate() {
    for format in [
        Format::Rfc9440,
        Format::Xfcc,
        Format::Alb,
        Format::Traefik,
        Format::ProxyV2,
        nginx(),
    ] {
        assert_eq!(read(&format, &[("accept", "*/*")]), Ok(None));
    }
    assert_eq!(read(&nginx(), &[("x-ssl-client-cert", "")]), Ok(None));
    // Other names for it are other headers.
    for name in ["client_cert", "client.cert", "x-ssl-client_cert"] {
        assert_eq!(read(&Format::Rfc9440, &[(name, ":AA==:")]), Ok(None));
        assert_eq!(read(&nginx(), &[(name, "x")]), Ok(None));
    }
}

#[test]
fn p3_what_has_two_readings_or_none_is_refused() {
    let (leaf, below) = chain();
    let (own, chain) = (sequence(&der(&leaf)), sequence(&der(&below)));
    let trailing = sequence(&[&der(&leaf)[..], b"\0"].concat());
    let cut = sequence(&der(&leaf)[..100]);
    let not_bytes = format::NOT_BYTES;
    let base64 = STANDARD.encode(der(&leaf));
    for (cert, chain, expected) in [
        (base64.as_str(), "", not_bytes),
        (&format!(":{base64}"), "", not_bytes),
        (&format!("{base64}:"), "", not_bytes),
        (&format!("\"{base64}\""), "", not_bytes),
        (":!!!!:", "", not_bytes),
        (&format!("{own}, {own}"), "", not_bytes),
        (&format!("{own};a=1"), "", not_bytes),
        ("::", "", Unreadable::NotDer),
        (":AAAA:", "", Unreadable::NotDer),
        (&trailing, "", Unreadable::NotDer),
        (&cut, "", Unreadable::NotDer),
        ("", &chain, Unreadable::ChainAlone),
        (&own, &trailing, Unreadable::NotDer),
        (&own, &format!("({chain})"), not_bytes),
        (&own, "a", not_bytes),
    ] {
        let fields = [("client-cert", cert), ("client-cert-chain", chain)];
        assert_eq!(read(&Format::Rfc9440, &fields), Err(expected), "{fields:?}");
    }
    let twice = [("client-cert", own.as_str()), ("client-cert", &own)];
    assert_eq!(read(&Format::Rfc9440, &twice), Err(Unreadable::Twice));
    let both = escaped(&pem(&leaf), FEW);
    let both = [
        ("x-amzn-mtls-clientcert", both.as_str()),
        ("x-amzn-mtls-clientcert-leaf", &both),
    ];
    assert_eq!(read(&Format::Alb, &both), Err(Unreadable::Twice));
}

#[test]
fn p3_what_is_more_or_less_than_certificates_in_pem_is_refused() {
    let (leaf, _) = chain();
    let key = String::from_utf8(leaf.key_pem()).unwrap();
    let base64 = STANDARD.encode(der(&leaf));
    let long = "a".repeat(64 * 1024 + 1);
    let text = pem(&leaf);
    let not_pem = pem::NOT_PEM;
    for (value, expected) in [
        (long, Unreadable::TooLong),
        (
            escaped(&(text.clone() + &key), MOST),
            Unreadable::PrivateKey,
        ),
        (escaped(&key, MOST), Unreadable::PrivateKey),
        (
            escaped(&key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), MOST),
            Unreadable::PrivateKey,
        ),
        (escaped(&format!("subject=/CN=a\n{text}"), MOST), not_pem),
        (escaped(&format!("{text}x"), MOST), not_pem),
        (
            escaped(&text.replace("CERTIFICATE", "X509 CRL"), MOST),
            not_pem,
        ),
        (escaped(text.get(30..).unwrap(), MOST), not_pem),
        (escaped(&text.replacen('M', "!", 1), MOST), not_pem),
        ("%zz".to_owned(), not_pem),
        ("%ff%fe".to_owned(), not_pem),
        (escaped("   ", MOST), not_pem),
        (base64.clone(), not_pem),
    ] {
        assert_eq!(
            read(&nginx(), &[("x-ssl-client-cert", &value)]),
            Err(expected),
            "{value}"
        );
    }
    let traefik = |value: &str| read(&Format::Traefik, &[("x-forwarded-tls-client-cert", value)]);
    for value in [
        format!("{base64},"),
        format!(",{base64}"),
        escaped(&text, MOST),
        base64.get(1..).unwrap().to_owned(),
    ] {
        assert!(traefik(&value).is_err(), "{value}");
    }
    assert_eq!(traefik(&escaped(&key, MOST)), Err(Unreadable::PrivateKey));
}

#[test]
fn p4_the_element_of_the_front_is_the_last_and_nothing_before_reaches_into_it() {
    let (leaf, below) = chain();
    let mallory = pki::leaf("mallory").self_signed();
    let cert = |issued| format!("Cert=\"{}\"", escaped(&pem(issued), MOST));
    let (alice, mallory) = (cert(&leaf), cert(&mallory));
    let xfcc = |value: &str| read(&Format::Xfcc, &[(XFCC, value)]);
    let alone = Ok(Some((der(&leaf), vec![])));
    let own = format!("By=spiffe://x/y;{alice};Subject=\"CN=alice, O=\\\"A;B\\\"\"");
    // The control: without what the client put before it, it is the same.
    assert_eq!(xfcc(&own), alone);
    for before in [
        mallory.as_str(),
        "By=x",
        "Subject=\"a,b;c=\\\"d\\\"\"",
        &format!("{mallory};Subject=\"\\\\\""),
        &format!("{mallory},{mallory}"),
    ] {
        assert_eq!(xfcc(&format!("{before},{own}")), alone, "{before}");
    }
    // What does not end, or ends where another begins, hides nothing: it is refused.
    for before in [
        format!("{mallory};X=\""),
        format!("{mallory};X=\"\\"),
        "X=\"a\"b".to_owned(),
        "X=a\"b".to_owned(),
        "X=\"a\" ".to_owned(),
        "nothing".to_owned(),
        "=x".to_owned(),
        "a b=x".to_owned(),
        String::new(),
    ] {
        assert!(xfcc(&format!("{before},{own}")).is_err(), "{before}");
    }
    for (value, expected) in [
        (format!("{alice};{alice}"), Unreadable::Differs),
        (format!("{alice};cert=x"), Unreadable::Differs),
        (
            format!("{alice};Hash={}", "0".repeat(64)),
            Unreadable::Differs,
        ),
        (
            format!("{alice};Chain=\"{}\"", escaped(&pem(&below), MOST)),
            Unreadable::Differs,
        ),
        (
            format!("Cert=\"{}\"", escaped(&(pem(&leaf) + &pem(&below)), MOST)),
            Unreadable::Differs,
        ),
        (
            "Hash=00;Subject=\"CN=alice\"".to_owned(),
            Unreadable::NotForwarded,
        ),
        (format!("{alice},By=x"), Unreadable::NotForwarded),
        (format!("{alice},"), xfcc::NOT_XFCC),
        (format!("{alice};"), xfcc::NOT_XFCC),
        ("Cert=\"\"".to_owned(), Unreadable::NotForwarded),
        ("Cert=\"x\"".to_owned(), pem::NOT_PEM),
    ] {
        assert_eq!(xfcc(&value), Err(expected), "{value}");
    }
    let twice = [(XFCC, mallory.as_str()), (XFCC, own.as_str())];
    assert_eq!(read(&Format::Xfcc, &twice), Err(Unreadable::Twice));
}

#[test]
fn o13_certificates_with_much_beside_them_take_no_more_room_than_usual_ones() {
    let fronts = Fronts::new(vec![front(Shows::Secret(Vec::new()))]);
    let verifier = Verifier::new(Trust::new(0, Vec::new()).unwrap());
    let chain = Chain::from_der(&der(&pki::leaf("alice").self_signed()), &[]);
    let sent = Arc::new(Sent::new(chain, &verifier, Timestamp::from_unix(0)));
    let remember = |length: u64| {
        for number in 0..10_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            fronts.good.insert(key, (Arc::clone(&sent), length));
        }
        (fronts.good.len(), fronts.good.weight())
    };
    let (number, weight) = remember(1500);
    assert!((2000..=10_000).contains(&number), "{number} of {weight}");
    let (number, weight) = remember(48 * 1024);
    assert!(
        number <= 341 && weight <= 16 * 1024 * 1024,
        "{number} of {weight}"
    );
}

#[test]
fn p6_of_the_addresses_the_last_is_the_clients() {
    let mut front = front(Shows::Secret(Vec::new()));
    let address = |front: &Front, values: &[&str]| {
        let fields: Vec<_> = values
            .iter()
            .map(|value| ("x-forwarded-for", *value))
            .collect();
        front
            .client_address(&headers(&fields))
            .map(|address| address.to_string())
    };
    assert_eq!(address(&front, &["192.0.2.1"]), None, "not asked for");
    front.client_address = Some(HeaderName::from_static("x-forwarded-for"));
    for (values, expected) in [
        (&["192.0.2.1"][..], Some("192.0.2.1")),
        (&["203.0.113.9, 192.0.2.1"], Some("192.0.2.1")),
        (&["203.0.113.9", "192.0.2.1"], Some("192.0.2.1")),
        (&["192.0.2.1:4711"], Some("192.0.2.1")),
        (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
        (&["::ffff:192.0.2.1"], Some("192.0.2.1")),
        (&["192.0.2.1, unknown"], None),
        (&["192.0.2.1,"], None),
        (&[], None),
    ] {
        assert_eq!(address(&front, values).as_deref(), expected, "{values:?}");
    }
}

fn front(shows: Shows) -> Front {
    Front {
        name: "edge".to_owned(),
        from: vec!["10.0.0.0/8".parse().unwrap()],
        shows,
        format: Format::Rfc9440,
        may_claim: false,
        client_address: None,
        asks: None,
    }
}

proptest! {
    /// Whatever a client puts before the front's element, the front's certificate is read, or none.
    #[test]
    fn p4_no_words_of_a_client_replace_the_last_element(before in "[ -~]{0,60}") {
        let alice = pki::leaf("alice").self_signed();
        let own = format!("Hash=;Cert=\"{}\";Subject=\"CN=alice\"", escaped(&pem(&alice), MOST));
        let own = own.replacen("Hash=;", "", 1);
        if let Ok(Some((leaf, _))) = read(&Format::Xfcc, &[(XFCC, &format!("{before},{own}"))]) {
            prop_assert_eq!(leaf, der(&alice));
        }
    }

    #[test]
    fn p3_no_bytes_make_a_reader_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        for format in [Format::Rfc9440, Format::Xfcc, Format::Alb, Format::Traefik, nginx()] {
            let names = ["client-cert", XFCC, "x-amzn-mtls-clientcert", "x-forwarded-tls-client-cert", "x-ssl-client-cert"];
            let fields = names.map(|name| (HeaderName::from_static(name), value.clone()));
            let headers: HeaderMap = fields.into_iter().collect();
            if let Ok(Some(found)) = format.find(&headers, None) {
                let _ = found.read();
            }
        }
    }
}
