//! Headers of an old proxy: what each may be called, and what may stand in them.

use super::{Folder, MINIMAL, with};

const DN: &str = "$ssl_client_s_dn";

fn said(headers: &[(&str, &str)]) -> String {
    let folder = Folder::new();
    let headers = headers.iter();
    let headers =
        headers.map(|(name, value)| format!("{{ header = {name:?}, value = {value:?} }}"));
    let headers = headers.collect::<Vec<_>>().join(", ");
    let signing = "signing = {";
    let masquerade = format!("masquerade = [{headers}]\n{signing}");
    folder.problems(&with(MINIMAL, signing, &masquerade))
}

#[test]
fn a_header_of_the_old_proxy_has_a_name_that_nothing_else_has() {
    let good = [
        "X-SSL-Client-S-DN",
        "SSL_CLIENT_S_DN",
        "Client-Cert",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Tls-Client-Cert",
        "Remote-User",
        "X-Whatever",
    ];
    let all: Vec<_> = good.iter().map(|name| (*name, DN)).collect();
    assert_eq!(said(&all), "");
    for (name, expected) in [
        ("", "cannot be used"),
        ("X-SSL:Client", "cannot be used"),
        ("X.SSL.Client", "cannot be used"),
        ("X-Key-Id", "is a header of the gateway's own"),
        ("x_client_id", "is a header of the gateway's own"),
        ("X-Request-Id", "is a header of the gateway's own"),
        ("Signature", "says something else"),
        ("Signature_Input", "says something else"),
        ("X-API-Key", "says something else"),
        ("Authorization", "says something else"),
        ("Host", "says something else"),
        ("Connection", "says something else"),
        ("Transfer-Encoding", "says something else"),
        ("Content-Digest", "says something else"),
        ("Content_Length", "says something else"),
        ("Proxy-Authorization", "says something else"),
        ("X-Forwarded-For", "says something else"),
        ("X-Real-IP", "says something else"),
        ("X-HTTP-Method-Override", "says something else"),
        ("traceparent", "says something else"),
        ("Sec-WebSocket-Key", "says something else"),
    ] {
        let told = said(&[(name, DN)]);
        let at = format!("backend[0].masquerade[0].header: {name:?} {expected}");
        assert!(told.contains(&at) && !told.contains('\n'), "{told}");
    }
    let twice = said(&[("X-Old-DN", DN), ("x_old_dn", DN)]);
    assert!(
        twice.contains("is the name of another of these headers"),
        "{twice}"
    );
}

#[test]
fn a_value_is_one_of_an_old_proxy() {
    let told = said(&[("X-Old", "$ssl_client_cert")]);
    let at = "backend[0].masquerade[0].value: \"$ssl_client_cert\" is no value of an old proxy; a \
              header has one line";
    assert!(told.contains(at), "{told}");
    let told = said(&[("X-Old", "subject")]);
    assert!(
        told.contains("write what the old proxy's configuration says"),
        "{told}"
    );
}

#[test]
fn a_backend_that_gets_no_identity_gets_no_header_of_an_old_proxy() {
    let folder = Folder::new();
    let open = with(MINIMAL, "accept = \"either\"", "accept = \"none\"");
    let signing = "signing = {";
    let masquerade = format!("masquerade = [{{ header = \"X-Old\", value = {DN:?} }}]\n{signing}");
    let told = folder.problems(&with(&open, signing, &masquerade));
    assert!(
        told.contains("backend[0].masquerade: no route leads identities here"),
        "{told}"
    );
}
