//! Headers of the PROXY protocol: good ones, every kind of broken one, and any bytes at all.

use proptest::prelude::*;

use super::values::{CHECKSUM, TLS, crc32c};
use super::*;

const V4: &[u8] = &[203, 0, 113, 9, 192, 0, 2, 2, 0x12, 0x67, 0x01, 0xbb];

/// Version 2, with this command and family.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [BINARY, &[command, family], &length, rest].concat()
}

fn value(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// Version 2 from 203.0.113.9 with its checksum between two other values.
fn summed() -> Vec<u8> {
    let with = |sum: [u8; 4]| {
        let (before, behind) = (value(0x02, b"api.example.com"), value(0x04, &[]));
        let sum = value(CHECKSUM, &sum);
        header(0x21, 0x11, &[V4, &before, &sum, &behind].concat())
    };
    with(crc32c(with([0; 4]).into_iter()).to_be_bytes())
}

fn v6() -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let ports = [0x12, 0x67, 0x01, 0xbb];
    [&address("2001:db8::9")[..], &address("2001:db8::2"), &ports].concat()
}

/// Every good header, and whom it names.
fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let text = |line: &str| line.as_bytes().to_vec();
    let (v4, v6_text) = (Some("203.0.113.9:4711"), Some("[2001:db8::9]:4711"));
    vec![
        (text("PROXY TCP4 203.0.113.9 192.0.2.2 4711 443\r\n"), v4),
        (
            text("PROXY TCP6 2001:db8::9 2001:db8::2 4711 443\r\n"),
            v6_text,
        ),
        (
            text("PROXY TCP4 203.0.113.9 192.0.2.2 0 65535\r\n"),
            Some("203.0.113.9:0"),
        ),
        (text("PROXY UNKNOWN\r\n"), None),
        (text("PROXY UNKNOWN ffff::1 whatever\n 1\r\n"), None),
        (header(0x21, 0x11, V4), v4),
        (header(0x21, 0x21, &v6()), v6_text),
        (
            header(0x21, 0x11, &[V4, &value(0xe0, &[1; 300])].concat()),
            v4,
        ),
        (summed(), v4),
        (header(0x20, 0x00, &[]), None),
        (header(0x20, 0x11, V4), None),
        (header(0x20, 0xff, b"whatever"), None),
        (header(0x21, 0x00, &[]), None),
    ]
}

#[test]
fn a_header_names_who_calls() {
    for (bytes, caller) in good() {
        let caller = caller.map(|text| text.parse().unwrap());
        let length = bytes.len();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let expected = Header {
            length,
            caller,
            certificate: None,
        };
        assert_eq!(read(&bytes), Ok(Some(expected)), "{shown}");
    }
}

#[test]
fn p5_what_is_no_header_is_missing() {
    for bytes in [
        &b"\x16\x03\x01"[..],
        b"GET / ",
        b"proxy ",
        b"PROXIES",
        b"\r\n\r\n\r",
    ] {
        assert_eq!(read(bytes), Err(Failure::ProxyHeaderMissing), "{bytes:?}");
    }
}

#[test]
fn p5_a_broken_line_is_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 203.0.113.9 192.0.2.2 4711 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 4711\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 4711 443 \r\n",
        "PROXY TCP4  203.0.113.9 192.0.2.2 4711 443\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 4711 443\n\r\n",
        "PROXY TCP4 203.0.113.9\0 192.0.2.2 4711 443\r\n",
        "PROXY TCP4 203.0.113.09 192.0.2.2 4711 443\r\n",
        "PROXY TCP4 203.0.113.9 elsewhere 4711 443\r\n",
        "PROXY TCP4 2001:db8::9 2001:db8::2 4711 443\r\n",
        "PROXY TCP6 203.0.113.9 192.0.2.2 4711 443\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 +80 443\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 080 443\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2  443\r\n",
        "PROXY TCP4 203.0.113.9 192.0.2.2 4711 65536\r\n",
    ] {
        assert_eq!(read(line.as_bytes()), Err(MALFORMED), "{line:?}");
    }
    // As long as it may be, and one more; nor is an end waited for that would come too late.
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert!(read(line(107).as_bytes()).is_ok());
    assert_eq!(read(line(108).as_bytes()), Err(MALFORMED));
    assert_eq!(read(&line(200).as_bytes()[..107]), Err(MALFORMED));
}

#[test]
fn p5_broken_binary_is_refused() {
    let with = |values: &[u8]| header(0x21, 0x11, &[V4, values].concat());
    let changed = |at: usize| {
        let mut bytes = summed();
        bytes[at] ^= 1;
        bytes
    };
    let twice = {
        let sum = value(CHECKSUM, &crc32c(b"".iter().copied()).to_be_bytes());
        with(&[sum.clone(), sum].concat())
    };
    for bytes in [
        header(0x11, 0x11, V4),
        header(0x31, 0x11, V4),
        header(0x22, 0x11, V4),
        header(0x21, 0x12, V4),
        header(0x21, 0x31, &[0; 216]),
        header(0x21, 0x41, V4),
        header(0x21, 0x11, &V4[..11]),
        header(0x21, 0x21, &v6()[..35]),
        header(0x21, 0x21, V4),
        with(&[0x04]),
        with(&[0x04, 0]),
        with(&[0x04, 0, 1]),
        with(&[0x04, 0xff, 0xff, 1]),
        with(&value(CHECKSUM, &[0; 4])),
        with(&value(CHECKSUM, &[])),
        with(&value(CHECKSUM, &[0; 5])),
        twice,
        changed(17),
        changed(50),
        header(0x21, 0x11, &[0; LONGEST_REST + 1]),
        header(0x20, 0x00, &vec![0; 0xffff]),
    ] {
        assert_eq!(read(&bytes), Err(MALFORMED), "{bytes:?}");
    }
    // Also before the rest came.
    assert_eq!(
        read(&header(0x21, 0x11, &vec![0; 0xffff])[..16]),
        Err(MALFORMED)
    );
    assert!(read(&header(0x20, 0x00, &[0; LONGEST_REST])).is_ok());
    assert_eq!(BINARY_HEAD + LONGEST_REST, LONGEST);
}

/// What a balancer tells of its client's TLS.
fn tls(client: u8, verify: u32, values: &[u8]) -> Vec<u8> {
    let value = value(
        TLS,
        &[&[client], &verify.to_be_bytes()[..], values].concat(),
    );
    header(0x21, 0x11, &[V4, &value].concat())
}

#[test]
fn p5_only_what_was_proven_on_this_connection_and_verified_is_a_certificate() {
    let names = [value(0x21, b"TLSv1.3"), value(0x22, "Zoë".as_bytes())].concat();
    let values = [names, value(0x28, b"der")].concat();
    let told = |client, verify| {
        let bytes = tls(client, verify, &values);
        let header = read(&bytes).unwrap().unwrap();
        header.certificate.map(<[u8]>::to_vec)
    };
    assert_eq!(told(0x03, 0), Some(b"der".to_vec()));
    assert_eq!(told(0x07, 0), Some(b"der".to_vec()));
    // Not verified, on no TLS, not at all, or only in the session that is resumed.
    for (client, verify) in [(0x07, 1), (0x07, u32::MAX), (0x06, 0), (0x01, 0), (0x05, 0)] {
        assert_eq!(told(client, verify), None, "{client} {verify}");
    }
    assert_eq!(read(&tls(0x07, 0, &[])).unwrap().unwrap().certificate, None);
}

#[test]
fn p5_what_a_balancer_tells_of_tls_must_be_whole_and_end_no_line() {
    assert!(read(&tls(0x07, 0, &value(0x22, b"alice"))).is_ok());
    for name in [
        &b"a\rb"[..],
        b"a\nX-Key-Id: b",
        b"a\0",
        b"a\x7f",
        b"\xff",
        "a\u{85}".as_bytes(),
    ] {
        for kind in 0x21..=0x27 {
            let bytes = tls(0x07, 0, &value(kind, name));
            assert_eq!(read(&bytes), Err(MALFORMED), "{name:?}");
        }
        for kind in [0x01, 0x02, 0x30] {
            let bytes = header(0x21, 0x11, &[V4, &value(kind, name)].concat());
            assert_eq!(read(&bytes), Err(MALFORMED), "{name:?}");
        }
    }
    let certificate = value(0x28, b"der");
    let own = tls(0x07, 0, &certificate);
    let overrun = [&own[..own.len() - 4], &[5][..], &own[own.len() - 3..]].concat();
    let one = value(TLS, &[0x07, 0, 0, 0, 0]);
    for bytes in [
        header(0x21, 0x11, &[V4, &value(TLS, &[0x07, 0, 0, 0])].concat()),
        header(0x21, 0x11, &[V4, &one, &one].concat()),
        tls(0x07, 0, &certificate.repeat(2)),
        tls(0x07, 0, &[0x28, 0]),
        overrun,
    ] {
        assert_eq!(read(&bytes), Err(MALFORMED), "{bytes:?}");
    }
}

#[test]
fn the_checksum_is_the_known_one() {
    // RFC 3720 appendix B.4, and the usual check value.
    assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
}

proptest! {
    #[test]
    fn a_header_is_found_wherever_it_is_cut_and_nothing_behind_it_counts(
        (bytes, caller) in proptest::sample::select(good()),
        cut in any::<proptest::sample::Index>(),
        behind in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        prop_assert_eq!(read(&bytes[..cut.index(bytes.len())]), Ok(None));
        let length = bytes.len();
        let whole = [bytes, behind].concat();
        let found = read(&whole).unwrap().unwrap();
        prop_assert_eq!(found.length, length);
        prop_assert_eq!(found.caller, caller.map(|text| text.parse().unwrap()));
    }

    #[test]
    fn p5_nothing_panics_and_more_than_the_longest_is_never_asked_for(
        begin in proptest::sample::select(good()),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        behind in proptest::collection::vec(any::<u8>(), 0..LONGEST),
    ) {
        let mut bytes = [begin.0, behind].concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len().min(64));
            bytes[at] = byte;
        }
        if let Ok(Some(header)) = read(&bytes) {
            prop_assert!(header.length <= bytes.len().min(LONGEST));
        }
        bytes.resize(LONGEST, b'x');
        prop_assert_ne!(read(&bytes), Ok(None));
    }
}
