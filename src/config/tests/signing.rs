//! What identities are signed with: of each backend something of its own, and nothing that is public.

use super::{Folder, MINIMAL, with};
use crate::pki::tlv;
use crate::secret::Secret;
use crate::sign::{Algorithm, Confused, SigningKey};
use crate::tls::pkey::PKey;

const SHARED: &str = r#"signing = { key_id = "orders-1", secret_file = "orders.key" }"#;
const AT: &str = "keyferry.toml:31: backend[0].signing";

/// With files of two keys for Ed25519, as `openssl` makes them.
fn folder() -> Folder {
    let folder = Folder::new();
    for (name, seed) in [("one", [1; 32]), ("two", [2; 32])] {
        // RFC 8410 section 7.
        let der = tlv(
            0x30,
            &[
                &[2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70][..],
                &tlv(4, &tlv(4, &seed)),
            ]
            .concat(),
        );
        let key = PKey::private_key_from_der(&der).unwrap();
        let pem = key.private_key_to_pem_pkcs8().unwrap();
        folder.secret(&format!("{name}.pem"), &pem);
        let pem = key.public_key_to_pem().unwrap();
        folder.write(&format!("{name}.public.pem"), &pem);
    }
    folder
}

fn signing(rest: &str) -> String {
    with(
        MINIMAL,
        SHARED,
        &format!("signing = {{ key_id = \"orders-1\"{rest} }}"),
    )
}

const ED25519: &str = r#", algorithm = "ed25519", private_key_file = "one.pem""#;
/// A further one that is published.
fn beside(key_id: &str, file: &str) -> String {
    let published = format!("{{ key_id = \"{key_id}\", public_key_file = \"{file}\" }}");
    signing(&format!("{ED25519}, also_published = [{published}]"))
}

#[test]
fn a_backend_is_signed_for_by_a_private_key_and_the_next_one_is_published() {
    let folder = folder();
    let config = folder.load(&beside("orders-2", "two.public.pem")).unwrap();
    let backend = &config.backends[0];
    let key = backend.signing.as_ref().unwrap();
    assert_eq!(
        (key.id(), key.algorithm()),
        ("orders-1", Algorithm::Ed25519)
    );
    let file = std::fs::read(folder.path("two.pem")).unwrap();
    let next = SigningKey::ed25519("orders-2", &Secret::new(file)).unwrap();
    assert!(backend.also_published[0].is_same(&next.verifying()));
    let shown = format!("{config:?}");
    assert!(
        shown.contains("SigningKey(orders-1, [redacted])"),
        "{shown}"
    );
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn what_does_not_go_with_the_algorithm_is_refused() {
    let folder = folder();
    for (typed, said) in [
        (
            r#", algorithm = "ed25519""#.to_owned(),
            format!("{AT}.private_key_file: missing; name the private key; openssl genpkey -algorithm ed25519 makes one"),
        ),
        (
            format!("{ED25519}, secret_file = \"orders.key\""),
            format!("{AT}.secret_file: ed25519 has a private key, and no secret; write private_key_file = \"…\" in its place"),
        ),
        (
            r#", secret_file = "orders.key", private_key_file = "one.pem""#.to_owned(),
            format!("{AT}.private_key_file: hmac-sha256 has a secret, and no private key; write algorithm = \"ed25519\", or secret_file = \"…\" in its place"),
        ),
        (
            r#", secret_file = "orders.key", also_published = [{ key_id = "a", public_key_file = "two.public.pem" }]"#.to_owned(),
            format!("{AT}.also_published: a secret is not published; take it away, or write algorithm = \"ed25519\""),
        ),
    ] {
        assert_eq!(folder.problems(&signing(&typed)), said);
    }
    let said = folder.problems(&signing(r#", algorithm = "rsa""#));
    assert!(said.contains("hmac-sha256"), "{said}");
}

/// S6: with what is public as the secret, everybody could sign.
#[test]
fn s6_a_key_that_is_published_is_no_secret() {
    let folder = folder();
    let public = std::fs::read(folder.path("one.public.pem")).unwrap();
    folder.secret("orders.key", &public);
    let said = folder.problems(MINIMAL);
    let wrong = "it is a key in PEM, DER or a JWK, and no secret that only two know";
    assert!(
        said.starts_with(&format!("{AT}.secret_file: {wrong}")),
        "{said}"
    );
}

#[test]
fn files_that_hold_other_keys_are_refused() {
    let folder = folder();
    let rsa = PKey::from_rsa(crate::tls::rsa::Rsa::generate(2048).unwrap()).unwrap();
    folder.secret("rsa.pem", &rsa.private_key_to_pem_pkcs8().unwrap());
    for file in ["rsa.pem", "orders.key"] {
        let typed = signing(&ED25519.replace("one.pem", file));
        let said = folder.problems(&typed);
        let wrong = format!("{AT}.private_key_file: it is no private key for Ed25519 in PEM");
        assert!(said.starts_with(&wrong), "{said}");
    }
    folder.mode("one.pem", 0o644);
    let said = folder.problems(&signing(ED25519));
    assert!(
        said.contains("one.pem is open to others (mode 0644); chmod 600 one.pem"),
        "{said}"
    );
    folder.mode("one.pem", 0o600);
    let said = folder.problems(&beside("orders-2", "two.pem"));
    let wrong = format!("{AT}.also_published[0].public_key_file: it is no public key for Ed25519");
    assert!(said.starts_with(&wrong), "{said}");
}

/// S6: the same where nothing but the key itself tells, as its bytes in hexadecimal.
#[test]
fn s6_a_public_key_of_the_same_configuration_is_no_secret() {
    let folder = folder();
    let public = std::fs::read(folder.path("one.public.pem")).unwrap();
    let public = crate::sign::VerifyingKey::ed25519("one", &public).unwrap();
    let hex = Confused::Hex.of(&public).unwrap();
    folder.secret("orders.key", &hex);
    assert_eq!(folder.problems(MINIMAL), "");
    let backend = "\n[[backend]]\nname = \"other\"\naddresses = [\"127.0.0.1:9\"]\nsigning = { key_id = \"other-1\", algorithm = \"ed25519\", private_key_file = \"one.pem\" }\n";
    let said = folder.problems(&(MINIMAL.to_owned() + backend));
    let wrong = "with backend[0].signing.secret_file, a public key is a secret, too";
    assert!(said.contains(wrong), "{said}");
}

/// K17: what stands where a path belongs, when it is the secret itself.
#[test]
fn k17_a_secret_in_the_place_of_its_path_is_not_shown() {
    let folder = folder();
    let key = std::fs::read_to_string(folder.path("one.pem")).unwrap();
    let body = key.lines().nth(1).unwrap().to_owned();
    let secret = "9f2c4e6a8b0d1f3355779bbddff0022446";
    for typed in [
        signing(&format!(
            ", algorithm = \"ed25519\", private_key_file = {key:?}"
        )),
        signing(&format!(", secret_file = {key:?}")),
        signing(&format!(", secret_file = {secret:?}")),
    ] {
        let said = folder.problems(&typed);
        assert!(said.contains("looks like a secret"), "{said}");
        assert!(!said.contains(&body) && !said.contains(secret), "{said}");
    }
}

/// Whoever could change it would sign for everybody.
#[test]
fn a_published_key_that_others_may_change_is_refused() {
    let folder = folder();
    let typed = beside("orders-2", "two.public.pem");
    assert_eq!(folder.problems(&typed), "");
    for mode in [0o666, 0o664] {
        folder.mode("two.public.pem", mode);
        let said = folder.problems(&typed);
        let wrong = format!(
            "{AT}.also_published[0].public_key_file: two.public.pem can be changed by others (mode {mode:04o}); chmod 644 two.public.pem"
        );
        assert_eq!(said, wrong);
    }
}

/// S5: with one key for two backends, each could send what it got on to the other.
#[test]
fn s5_no_two_backends_have_one_key_or_one_key_id() {
    let folder = folder();
    let other = |its: &str| {
        let backend =
            format!("\n[[backend]]\nname = \"other\"\naddresses = [\"127.0.0.1:9\"]\n{its}\n");
        folder.problems(&(signing(ED25519) + &backend))
    };
    let said = other(
        r#"signing = { key_id = "other-1", algorithm = "ed25519", private_key_file = "one.pem" }"#,
    );
    assert!(
        said.contains("holds the same key as backend[0].signing.private_key_file"),
        "{said}"
    );
    let said = other(
        r#"signing = { key_id = "orders-1", algorithm = "ed25519", private_key_file = "two.pem" }"#,
    );
    assert!(said.contains("\"orders-1\" is taken already"), "{said}");
    assert_eq!(
        other(
            r#"signing = { key_id = "other-1", algorithm = "ed25519", private_key_file = "two.pem" }"#
        ),
        ""
    );
    let said = folder.problems(&beside("orders-2", "one.public.pem"));
    assert!(
        said.contains("holds the same key as backend[0].signing"),
        "{said}"
    );
    let said = folder.problems(&beside("orders-1", "two.public.pem"));
    assert!(said.contains("\"orders-1\" is taken already"), "{said}");
}
