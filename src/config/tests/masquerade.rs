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
fn a_header_of_the_old_proxy_is_taken_away_from_what_clients_send() {
    let good = ["X-SSL-Client-S-DN", "SSL_CLIENT_S_DN", "Client-Cert"];
    let all: Vec<_> = good.iter().map(|name| (*name, DN)).collect();
    assert_eq!(said(&all), "");
    for (name, expected) in [
        ("", "cannot be used"),
        ("X-SSL:Client", "cannot be used"),
        ("X-Key-Id", "says something else"),
        ("X-Forwarded-For", "says something else"),
        (
            "X-Caller-DN",
            "is not taken away from what clients send; add it to headers.reserved",
        ),
    ] {
        let told = said(&[(name, DN)]);
        let at = format!("backend[0].masquerade[0].header: {name:?} {expected}");
        assert!(told.contains(&at) && !told.contains('\n'), "{told}");
    }
    let twice = said(&[("X-SSL-Client-DN", DN), ("x_ssl_client_dn", DN)]);
    assert!(
        twice.contains("is the name of another of these headers"),
        "{twice}"
    );
}

#[test]
fn a_name_that_is_reserved_says_who_calls_and_nothing_else() {
    let reserving = |names: &str| {
        let signing = "signing = {";
        let told =
            format!("masquerade = [{{ header = \"X-Caller-DN\", value = {DN:?} }}]\n{signing}");
        let config = with(MINIMAL, signing, &told);
        Folder::new().problems(&format!("{config}\n[headers]\nreserved = [{names}]\n"))
    };
    assert_eq!(reserving(r#""X_Caller_DN""#), "");
    for (names, expected) in [
        (
            r#""X-Caller-DN", "Content-Length""#,
            "headers.reserved[1]: \"Content-Length\" says something else",
        ),
        (
            r#""X-Caller-DN", "x_caller_dn""#,
            "headers.reserved[1]: \"x_caller_dn\" is the name of another",
        ),
    ] {
        let told = reserving(names);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_value_is_one_of_an_old_proxy() {
    let told = said(&[("X-SSL-Client-DN", "$ssl_client_cert")]);
    let at = "backend[0].masquerade[0].value: \"$ssl_client_cert\" is no value of an old proxy; a \
              header has one line";
    assert!(told.contains(at), "{told}");
    let told = said(&[("X-SSL-Client-DN", "subject")]);
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
    let masquerade =
        format!("masquerade = [{{ header = \"X-SSL-Client-DN\", value = {DN:?} }}]\n{signing}");
    let told = folder.problems(&with(&open, signing, &masquerade));
    assert!(
        told.contains("backend[0].masquerade: no route leads identities here"),
        "{told}"
    );
}
