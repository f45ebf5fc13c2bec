//! Certificates of our own that are too weak: OpenSSL makes no handshake with one, and BoringSSL would.

use super::{Folder, MINIMAL, with};
use crate::pki::{Issued, Kind, intermediate, root, server};
use crate::tls::hash::MessageDigest;

/// Uses of a certificate of ours, as `own.pem`, and the place of its file.
fn uses() -> [(String, &'static str); 3] {
    let own = "certificate_file = \"own.pem\", key_file = \"own.key\"";
    let tls = format!("tls = {{ ca_file = \"clients-ca.pem\", server_name = \"a\", {own} }}");
    let listener = with(MINIMAL, "server.pem", "own.pem");
    let listener = with(&listener, "server.key", "own.key");
    let backend = "addresses = [\"127.0.0.1:8080\"]\n";
    let backend = with(MINIMAL, backend, &format!("{backend}{tls}\n"));
    let embedded = "kind = \"embedded\"\npath = \"state/keyferry.redb\"";
    let redis =
        format!("kind = \"redis\"\nurl = \"rediss://a\"\nunsigned_records = \"accept\"\n{tls}");
    let redis = with(MINIMAL, embedded, &redis);
    [
        (listener, "listener.certificate[0].certificate_file"),
        (backend, "backend[0].tls.certificate_file"),
        (redis, "store.tls.certificate_file"),
    ]
}

#[test]
fn a_certificate_of_ours_that_is_too_weak_is_refused_wherever_it_is_used() {
    let folder = Folder::new();
    let authority = root("Servers").self_signed();
    let issuing = || intermediate("Issuing");
    let own = || server("localhost").kind(Kind::Rsa(2048));
    let below = |issuer: Issued| own().signed_by(&issuer);
    let short = Kind::Rsa(1024);
    let sha1 = MessageDigest::sha1;
    let good = below(issuing().signed_by(&authority));
    for (issued, weak) in [
        (&good, None),
        (&own().digest(sha1()).self_signed(), None),
        (&own().kind(short).signed_by(&authority), Some(1)),
        (&own().digest(sha1()).signed_by(&authority), Some(1)),
        (&below(issuing().kind(short).signed_by(&authority)), Some(2)),
        (
            &below(issuing().digest(sha1()).signed_by(&authority)),
            Some(2),
        ),
    ] {
        folder.write("own.pem", &issued.chain_pem());
        folder.secret("own.key", &issued.key_pem());
        for (text, at) in uses() {
            let said = folder.problems(&text);
            let Some(weak) = weak else {
                assert_eq!(said, "");
                continue;
            };
            let expected =
                format!("{at}: certificate {weak} of the file is too weak: its key, or what");
            assert!(said.contains(&expected), "{said}");
        }
    }
}
