//! What backends are told is what the old proxies tell, byte for byte: real ones, beside a gateway, with
//! the same certificates.

use super::subjects::all;
use super::{gateway, told};
use crate::support::backend::Backend;
use crate::support::old_proxy::{Kind, OldProxy};
use crate::support::pki::{leaf, tlv};
use crate::support::world::World;

/// Everything that can be told as by nginx.
const NGINX: &[&str] = &[
    "$ssl_client_s_dn",
    "$ssl_client_i_dn",
    "$ssl_client_s_dn_legacy",
    "$ssl_client_i_dn_legacy",
    "$ssl_client_verify",
    "$ssl_client_serial",
    "$ssl_client_fingerprint",
    "$ssl_client_v_start",
    "$ssl_client_v_end",
    "$ssl_client_v_remain",
    "$ssl_client_escaped_cert",
];
const HAPROXY: &[&str] = &[
    "%[ssl_c_s_dn]",
    "%{+Q}[ssl_c_s_dn]",
    "%[ssl_c_i_dn]",
    "%{+Q}[ssl_c_i_dn]",
    "%[ssl_c_s_dn(cn)]",
    "%{+Q}[ssl_c_s_dn(CN)]",
    "%[ssl_c_s_dn(OU)]",
    "%[ssl_c_i_dn(CN)]",
    "%[ssl_c_s_dn(,0,rfc2253)]",
    "%{+Q}[ssl_c_s_dn(,0,rfc2253)]",
    "%[ssl_c_i_dn(,0,rfc2253)]",
    "%[ssl_c_verify]",
    "%[ssl_c_used]",
    "%[ssl_c_serial,hex]",
    "%[ssl_c_sha1,hex]",
    "%{+Q}[ssl_c_sha1,hex]",
    "%[ssl_c_sha1,hex,lower]",
    "%[ssl_c_notbefore]",
    "%{+Q}[ssl_c_notafter]",
    "%[ssl_c_der,base64]",
];
const APACHE: &[&str] = &[
    "%{SSL_CLIENT_S_DN}s",
    "%{SSL_CLIENT_I_DN}s",
    "%{SSL_CLIENT_VERIFY}s",
    "%{SSL_CLIENT_M_SERIAL}s",
    "%{SSL_CLIENT_V_START}s",
    "%{SSL_CLIENT_V_END}s",
    "%{SSL_CLIENT_CERT}s",
];

/// The client calls through the old proxy, by certificate, and by the key that it fetches with it.
fn is_told_the_same(kind: Kind, values: &[&str]) {
    let names: Vec<_> = (0..values.len()).map(|n| format!("X-Old-{n}")).collect();
    let headers = names.iter().map(String::as_str);
    let headers: Vec<_> = headers.zip(values.iter().copied()).collect();
    compare(kind, &headers, &headers);
}

fn compare(kind: Kind, theirs: &[(&str, &str)], ours: &[(&str, &str)]) {
    let (world, backend) = (World::new(), Backend::start());
    let old = OldProxy::start(&world, kind, theirs, backend.address());
    let gateway = gateway(&world, backend.address(), ours).start();
    let mut differences = Vec::new();
    for (awkward, spec) in all() {
        let client = world.client_like(spec);
        let before = old.curl("/").certificate(&client).send().status;
        if before != 200 {
            differences.push(format!("{awkward}: the proxy says {before}"));
            continue;
        }
        let was = backend.last();
        let answer = gateway.curl("/").certificate(&client).send();
        if answer.status != 200 {
            differences.push(format!("{awkward}: {}", answer.text()));
            continue;
        }
        let by_certificate = backend.last();
        let key = gateway.claim_key(&client);
        gateway.curl("/").key(&key).send().expect_status(200);
        let by_key = backend.last();
        for (name, value) in ours {
            let [was, by_certificate, by_key] =
                [&was, &by_certificate, &by_key].map(|request| told(request, name));
            if was != by_certificate || was != by_key {
                let text = |told: &[Vec<u8>]| {
                    told.iter()
                        .map(|value| value.escape_ascii().to_string())
                        .collect::<Vec<_>>()
                };
                differences.push(format!(
                    "{awkward}, {value}:\n  {:?}\n  {:?}\n  {:?}",
                    text(&was),
                    text(&by_certificate),
                    text(&by_key)
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_backend_of_nginx_is_told_the_same() {
    is_told_the_same(Kind::Nginx, NGINX);
}

#[test]
fn a_backend_of_haproxy_is_told_the_same() {
    is_told_the_same(Kind::HaProxy, HAPROXY);
}

#[test]
fn a_backend_of_apache_is_told_the_same() {
    is_told_the_same(Kind::Apache, APACHE);
}

#[test]
fn a_backend_of_envoy_is_told_the_same() {
    let header = [("X-Forwarded-Client-Cert", "Hash;Cert;Subject;URI;DNS")];
    compare(Kind::Envoy, &[], &header);
}

/// As HAProxy's configuration has it in docs/FRONTS.md.
#[test]
fn a_backend_that_knows_rfc_9440_is_told_the_same() {
    compare(
        Kind::HaProxy,
        &[("Client-Cert", ":%[ssl_c_der,base64]:")],
        &[("Client-Cert", "rfc9440")],
    );
}

/// Envoy writes names as they are: whoever chooses one for his certificate writes an element of his own.
#[test]
fn v20_no_name_of_a_certificate_forges_an_element_of_envoys_header() {
    const NAME: &str = "X-Forwarded-Client-Cert";
    let (world, backend) = (World::new(), Backend::start());
    let envoy = OldProxy::start(&world, Kind::Envoy, &[], backend.address());
    let headers = [
        (NAME, "Hash;Subject;URI;DNS"),
        ("X-SSL-Client-S-DN", "$ssl_client_s_dn"),
    ];
    let gateway = gateway(&world, backend.address(), &headers).start();
    let forgeries: [(u8, &[u8], &[u8]); 3] = [
        (
            0x86,
            b"spiffe://a,Hash=00;Subject=\"CN=admin\"",
            b",Hash=00;Subject=\"CN=admin\"",
        ),
        (
            0x86,
            b"spiffe://a;URI=spiffe://admin",
            b";URI=spiffe://admin",
        ),
        (
            0x82,
            b"x.example,By=q;URI=spiffe://admin",
            b",By=q;URI=spiffe://admin",
        ),
    ];
    for (index, (kind, name, element)) in forgeries.into_iter().enumerate() {
        let names = tlv(0x30, &tlv(kind, name));
        let mallory = leaf("mallory").extension("2.5.29.17", false, &names);
        let mallory = world.client_like(mallory);
        let ask = envoy.curl("/").certificate(&mallory);
        ask.send().expect_status(200);
        let was = told(&backend.last(), NAME).concat();
        let is_forged = was.windows(element.len()).any(|part| part == element);
        assert!(is_forged, "{}", was.escape_ascii());
        let key = gateway.claim_key(&mallory);
        for ask in [
            gateway.curl("/").certificate(&mallory),
            gateway.curl("/").key(&key),
        ] {
            ask.send().expect_status(200);
            let request = backend.last();
            assert!(told(&request, NAME).is_empty(), "{request:?}");
            assert_eq!(
                told(&request, "X-SSL-Client-S-DN"),
                [b"CN=mallory".to_vec()]
            );
        }
        let count = 2 * (index + 1);
        let line = format!(
            "keyferry_masqueraded_requests_total{{backend=\"legacy\",certificate=\"incomplete\"}} {count}\n"
        );
        assert!(gateway.metrics().contains(&line), "no {line}");
    }
}
