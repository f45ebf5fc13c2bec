//! Tyk: keys (sessions), and API definitions with their lists of certificates.
//!
//! Tyk names a certificate by its organisation's id and the SHA-256 of the certificate.

use super::document::Node;
use super::{Entry, Found, Mark, Sink, Why};

/// The lists of certificates in an API definition.
const LISTS: [&str; 3] = [
    "client_certificates",
    "mtls_static_certificate_bindings",
    "allowlist",
];
/// The hex digits of a SHA-256.
const DIGITS: usize = 64;

/// Reads a document.
pub(super) fn read(document: &Node, sink: Sink<'_>) {
    document.each_map(&mut |map| {
        let is_session = map.get("access_rights").is_some()
            || (map.get("certificate").is_some() && map.get("org_id").is_some());
        if is_session {
            sink(map.line(), session(map).into());
        }
        // What a session lists is bound to the session's own client.
        let called = map.text_of("alias").filter(|_| is_session);
        for certificate in LISTS.iter().flat_map(|list| map.list(list)) {
            let mark = certificate
                .text()
                .ok_or(Why::Syntax("it is no certificate's id"));
            let mark = mark.and_then(mark_of);
            sink(
                certificate.line(),
                mark.map(|mark| Entry::new(called, mark)).into(),
            );
        }
    });
}

fn session(session: &Node) -> Result<Found, Why> {
    if session.is_true("is_inactive") {
        return Ok(Found::Denied);
    }
    let called = session.text_of("alias").filter(|alias| !alias.is_empty());
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
}
