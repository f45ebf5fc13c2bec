//! Tyk: keys (sessions), and API definitions with their lists of certificates.
//!
//! Tyk names a certificate by its organisation's id and the SHA-256 of the certificate.

use super::document::Node;
use super::{Entry, Found, Mark, Sink, Why};
use crate::clock::Timestamp;

/// The lists of certificates in an API definition, or a session.
const LISTS: [&str; 3] = ["client_certificates", BINDINGS, "allowlist"];
/// The hex digits of a SHA-256.
const DIGITS: usize = 64;

/// Where a session lists the certificates that its key is bound to.
const BINDINGS: &str = "mtls_static_certificate_bindings";

/// Reads a document.
pub(super) fn read(document: &Node, now: Timestamp, sink: Sink<'_>) {
    document.each_map_while(&mut |map| {
        if is_off(map) {
            sink(map.line(), Found::Denied);
            return false;
        }
        let has = |name: &str| map.get(name).is_some();
        let is_session = has("access_rights")
            || has("is_inactive")
            || (has("alias") && has(BINDINGS))
            || (has("certificate") && has("org_id"));
        if is_session {
            match is_denied(map, now) {
                // Whoever is shut out there gets nothing here, by whatever else stands in the session.
                Ok(true) => {
                    sink(map.line(), Found::Denied);
                    return false;
                }
                Ok(false) => sink(map.line(), session(map).into()),
                Err(why) => {
                    sink(map.line(), why.into());
                    return false;
                }
            }
        }
        // What a session lists is bound to the session's own client.
        let called = if is_session {
            map.name_of("alias")
        } else {
            Ok(None)
        };
        for certificate in LISTS.iter().flat_map(|list| map.list(list)) {
            let mark = certificate
                .text()
                .ok_or(Why::Syntax("it is no certificate's id"));
            let mark = mark.and_then(mark_of);
            let entry = mark.and_then(|mark| Ok(Entry::new(called.clone()?, mark)));
            sink(certificate.line(), entry.into());
        }
        true
    });
}

/// Whether it is an API definition, or a list of certificates, that is not in force: nobody is let in by what
/// stands there.
fn is_off(map: &Node) -> bool {
    let lists = |name: &str| !map.list(name).is_empty();
    let state = map.get("info").and_then(|info| info.get("state"));
    let is_definition = map.get("api_id").is_some() || lists("client_certificates");
    (is_definition && map.is_other_than_true("active"))
        || state.is_some_and(|state| state.is_other_than_true("active"))
        || (lists("client_certificates") && map.is_other_than_true("use_mutual_tls_auth"))
        || (lists("allowlist") && map.is_other_than_true("enabled"))
}

/// Whether a session is inactive, or ended before `now`.
fn is_denied(session: &Node, now: Timestamp) -> Result<bool, Why> {
    if session.is_true("is_inactive") {
        return Ok(true);
    }
    let Some(expires) = session
        .get("expires")
        .filter(|expires| !expires.is_nothing())
    else {
        return Ok(false);
    };
    let expires = expires.text().and_then(|text| text.parse().ok());
    let expires: i64 = expires.ok_or(Why::Syntax(
        "when a session expires is a whole number of seconds since 1970",
    ))?;
    // Tyk takes 0 and -1 for never.
    Ok(expires > 0 && expires <= now.as_unix())
}

fn session(session: &Node) -> Result<Found, Why> {
    let called = session.name_of("alias")?;
    let certificate = session.text_of("certificate").filter(|id| !id.is_empty());
    let mark = certificate.map_or(Ok(Mark::Key), mark_of)?;
    Ok(Entry::new(called, mark).into())
}

fn mark_of(id: &str) -> Result<Mark, Why> {
    let digits = id.len().checked_sub(DIGITS).and_then(|at| id.get(at..));
    match digits.and_then(Mark::digest) {
        Some(mark @ Mark::Fingerprint(_)) => Ok(mark),
        _ => Err(Why::Syntax(
            "a certificate's id ends with the 64 hex digits of its SHA-256",
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::import::Format::Tyk;
    use crate::import::tests::found;

    #[test]
    fn sessions_and_lists_of_certificates_are_read() {
        let id = format!("53ac07777cbb8c2d53000002{}", "ab".repeat(32));
        let text = format!(
            "[\n{{\"alias\": \"acme\", \"org_id\": \"o\", \"certificate\": \"{id}\", \"access_rights\": {{}}}},\n\
             {{\"alias\": \"bravo\", \"access_rights\": {{}}, \"certificate\": \"\"}},\n\
             {{\"alias\": \"c\", \"access_rights\": {{}}, \"is_inactive\": true}},\n\
             {{\"api_id\": \"1\", \"client_certificates\": [\"{id}\", \"x\"]}}\n]\n"
        );
        let expected = [
            "2 acme: sha256",
            "3 bravo: key",
            "4 -",
            "5 ?: sha256",
            "5 !syntax",
        ];
        assert_eq!(found(Tyk, &text), expected);
    }

    #[test]
    fn c11_nothing_of_a_definition_that_is_not_in_force_is_read() {
        let list = format!("[\"o{}\"]", "ab".repeat(32));
        let classic = |more: &str| {
            format!(
                "{{\"api_id\": \"1\", {more}, \"client_certificates\": {list},\n\"within\": {{\"allowlist\": {list}}}}}"
            )
        };
        let oas = |state: &str, enabled: &str| {
            format!(
                "{{\"x-tyk-api-gateway\": {{\"info\": {{\"state\": {state}}},\n\
                 \"server\": {{\"clientCertificates\":\n{{\"enabled\": {enabled}, \"allowlist\": {list}}}}}}}}}"
            )
        };
        for (text, expected) in [
            (
                classic("\"active\": true"),
                vec!["1 ?: sha256", "2 ?: sha256"],
            ),
            (
                classic("\"use_mutual_tls_auth\": true"),
                vec!["1 ?: sha256", "2 ?: sha256"],
            ),
            (classic("\"active\": false"), vec!["1 -"]),
            (classic("\"active\": null"), vec!["1 -"]),
            (
                classic("\"active\": true, \"use_mutual_tls_auth\": false"),
                vec!["1 -"],
            ),
            (oas("{\"active\": true}", "true"), vec!["3 ?: sha256"]),
            (oas("{}", "true"), vec!["3 ?: sha256"]),
            (oas("{\"active\": false}", "true"), vec!["1 -"]),
            (oas("{\"active\": true}", "false"), vec!["3 -"]),
        ] {
            assert_eq!(found(Tyk, &text), expected, "{text}");
        }
    }

    #[test]
    fn c11_nothing_of_a_session_that_is_shut_out_is_read() {
        let id = format!("o{}", "ab".repeat(32));
        let session = |more: &str| {
            format!(
                "{{\"alias\": \"a\", {more}, \"mtls_static_certificate_bindings\": [\"{id}\"],\n\
                 \"within\": {{\"client_certificates\": [\"{id}\"]}}}}"
            )
        };
        let all = vec!["1 a: key", "1 a: sha256", "2 ?: sha256"];
        for (more, expected) in [
            ("\"is_inactive\": true", vec!["1 -"]),
            ("\"access_rights\": {}, \"is_inactive\": true", vec!["1 -"]),
            ("\"expires\": 1000", vec!["1 -"]),
            ("\"expires\": 1000.5", vec!["1 !syntax"]),
            (
                "\"expires\": 99999999999, \"is_inactive\": false",
                all.clone(),
            ),
            ("\"expires\": 0", all.clone()),
            ("\"expires\": -1", all),
        ] {
            assert_eq!(found(Tyk, &session(more)), expected, "{more}");
        }
    }
}
