//! The cases V1 to V7: who may issue, and what for.

use super::*;
use crate::pki::{Kind, intermediate, leaf, root};
use crate::tls::hash::MessageDigest;

#[test]
fn v1_a_good_certificate_is_accepted_with_and_without_intermediates() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let verifier = verifier(vec![ca(&[&root])]);
    let direct = leaf("acme").signed_by(&root);
    let good = accepted(&verifier, &direct);
    assert_eq!(good.ca(), CaIndex(0));
    assert_eq!(good.facts().subject, "CN=acme");
    assert_eq!(good.facts().issuer, "CN=Root");
    assert_eq!(
        good.fingerprint(),
        &Fingerprint::of(&direct.x509.to_der().unwrap())
    );
    accepted(&verifier, &leaf("acme").signed_by(&issuing));
    for kind in [Kind::Rsa(2048), Kind::P384, Kind::Ed25519] {
        accepted(&verifier, &leaf("acme").kind(kind).signed_by(&issuing));
    }
}

#[test]
fn v3_same_subject_and_serial_self_signed() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let mapped = leaf("acme").serial(&[7]).signed_by(&root);
    accepted(&verifier, &mapped);

    let own = leaf("acme").serial(&[7]).self_signed();
    let problem = refused(&verifier, &own, Reason::Untrusted);
    assert!(
        problem.detail.contains("signed itself"),
        "{}",
        problem.detail
    );
    assert!(
        problem.detail.contains("'Root'"),
        "names whom it needs: {}",
        problem.detail
    );

    // The issuer's name as well, with a signature of its own, and even with the same public key.
    for key in [None, Some(&mapped.key)] {
        let mut forged = leaf("acme").serial(&[7]).issuer_of(&mapped.x509);
        if let Some(key) = key {
            forged = forged.key(key);
        }
        let forged = forged.self_signed();
        let problem = refused(&verifier, &forged, Reason::Untrusted);
        assert!(problem.detail.contains("'Root'"), "{}", problem.detail);
    }
}

#[test]
fn v3_same_subject_from_another_ca() {
    let trusted = root("Root").self_signed();
    let stranger = root("Stranger").self_signed();
    let verifier = verifier(vec![ca(&[&trusted])]);
    accepted(&verifier, &leaf("acme").serial(&[7]).signed_by(&trusted));
    let twin = leaf("acme").serial(&[7]).signed_by(&stranger);
    refused(
        &verifier,
        &twin.clone().with(&[&stranger.x509]),
        Reason::Untrusted,
    );
    // Without its root nobody can tell it from a chain that lacks an intermediate.
    let problem = refused(&verifier, &twin, Reason::ChainIncomplete);
    assert!(problem.detail.contains("'Stranger'") && problem.detail.contains("'Root'"));
}

#[test]
fn v4_attacker_ca_with_the_same_name_and_key_identifier() {
    let trusted = root("Root").skid(&[1; 20]).serial(&[9]).self_signed();
    let attacker = root("Root").skid(&[1; 20]).serial(&[9]).self_signed();
    let verifier = verifier(vec![ca(&[&trusted])]);
    accepted(&verifier, &leaf("acme").signed_by(&trusted));

    let forged = leaf("acme").signed_by(&attacker);
    for sent in [
        forged.clone(),
        forged.clone().with(&[&attacker.x509]),
        forged.clone().with(&[&trusted.x509]),
        forged.clone().with(&[&attacker.x509, &trusted.x509]),
        forged.clone().with(&[&trusted.x509, &attacker.x509]),
    ] {
        refused(&verifier, &sent, Reason::Untrusted);
    }
    // Below a forged authority of the same name, and with another key identifier.
    let below = intermediate("Issuing").signed_by(&attacker);
    refused(
        &verifier,
        &leaf("acme").signed_by(&below),
        Reason::Untrusted,
    );
    let other = root("Root").skid(&[2; 20]).self_signed();
    let forged = leaf("acme").signed_by(&other);
    let problem = refused(&verifier, &forged, Reason::Untrusted);
    assert!(problem.detail.contains("another key"), "{}", problem.detail);
    refused(&verifier, &forged.with(&[&other.x509]), Reason::Untrusted);
}

#[test]
fn v5_the_verdict_names_the_ca_and_its_exceptions_only() {
    let (a, b) = (root("A").self_signed(), root("B").self_signed());
    let lax = Ca {
        name: "lax".to_owned(),
        allow_missing_client_auth: true,
        allow_weak: true,
        ..ca(&[&b])
    };
    let verifier = verifier(vec![ca(&[&a]), lax]);
    assert_eq!(
        accepted(&verifier, &leaf("x").signed_by(&a)).ca(),
        CaIndex(0)
    );
    assert_eq!(
        accepted(&verifier, &leaf("x").signed_by(&b)).ca(),
        CaIndex(1)
    );
    let odd = || leaf("x").no_purposes().digest(MessageDigest::sha1());
    assert_eq!(accepted(&verifier, &odd().signed_by(&b)).ca(), CaIndex(1));
    // What the one may, the other may not.
    let result = judge(&verifier, &odd().signed_by(&a));
    assert_eq!(reasons(&result), [Reason::WrongPurpose, Reason::Weak]);
    // Not even when the lax authority's certificate is sent along.
    let result = judge(&verifier, &odd().signed_by(&a).with(&[&b.x509, &a.x509]));
    assert_eq!(reasons(&result), [Reason::WrongPurpose, Reason::Weak]);
}

#[test]
fn v6_client_auth_must_be_said() {
    let root = root("Root").self_signed();
    let lax = Ca {
        allow_missing_client_auth: true,
        ..ca(&[&root])
    };
    let (strict, lax) = (verifier(vec![ca(&[&root])]), verifier(vec![lax]));
    let both = leaf("acme")
        .purposes(&["serverAuth", "clientAuth"])
        .signed_by(&root);
    accepted(&strict, &both);

    let absent = leaf("acme").no_purposes().signed_by(&root);
    assert_eq!(library_alone(&root, &absent), Ok(()));
    let problem = refused(&strict, &absent, Reason::WrongPurpose);
    assert!(problem.detail.contains("clientAuth"), "{}", problem.detail);
    accepted(&lax, &absent);
    for purposes in [
        &["serverAuth"][..],
        &["anyExtendedKeyUsage"],
        &["codeSigning"],
    ] {
        let other = leaf("acme").purposes(purposes).signed_by(&root);
        refused(&strict, &other, Reason::WrongPurpose);
        refused(&lax, &other, Reason::WrongPurpose);
    }
    let silent = leaf("acme")
        .key_usage(&["keyEncipherment"])
        .signed_by(&root);
    let problem = refused(&strict, &silent, Reason::WrongPurpose);
    assert!(
        problem.detail.contains("digitalSignature"),
        "{}",
        problem.detail
    );
    // OpenSSL alone would take key agreement for enough.
    let agree = leaf("acme").key_usage(&["keyAgreement"]).signed_by(&root);
    assert_eq!(library_alone(&root, &agree), Ok(()));
    refused(&strict, &agree, Reason::WrongPurpose);
    accepted(&strict, &leaf("acme").no_key_usage().signed_by(&root));
    // Only OpenSSL still knows Netscape's certificate type: this one says "server".
    let netscape = |kind| {
        let spec = leaf("acme").extension("2.16.840.1.113730.1.1", false, &[3, 2, 6, kind]);
        spec.signed_by(&root)
    };
    accepted(&strict, &netscape(0xc0));
    refused(&strict, &netscape(0x40), Reason::WrongPurpose);
    // An intermediate for servers makes no clients.
    let servers = intermediate("Servers")
        .purposes(&["serverAuth"])
        .signed_by(&root);
    let problem = refused(
        &strict,
        &leaf("acme").signed_by(&servers),
        Reason::WrongPurpose,
    );
    assert_eq!(problem.depth, 1);
}

#[test]
fn v7_an_authority_is_no_client() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    accepted(&verifier, &leaf("acme").signed_by(&root));
    let authority = leaf("acme")
        .ca(true)
        .key_usage(&["digitalSignature", "keyCertSign"])
        .signed_by(&root);
    assert_eq!(library_alone(&root, &authority), Ok(()));
    let problem = refused(&verifier, &authority, Reason::WrongPurpose);
    assert!(problem.detail.contains("CA:TRUE"), "{}", problem.detail);
    // The anchor itself.
    let result = judge(&verifier, &root);
    assert!(reasons(&result).contains(&Reason::WrongPurpose));
}

#[test]
fn v7_a_client_issues_nothing() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    for issuer in [
        leaf("acme"),
        leaf("acme").no_key_usage(),
        leaf("acme").no_basic_constraints(),
        leaf("acme").no_basic_constraints().no_key_usage(),
        leaf("acme").key_usage(&["digitalSignature", "keyCertSign"]),
        leaf("acme").ca(true).key_usage(&["digitalSignature"]),
    ] {
        let issuer = issuer.signed_by(&root);
        let forged = leaf("victim").signed_by(&issuer);
        let result = judge(&verifier, &forged);
        assert!(reasons(&result).contains(&Reason::Invalid), "{result:?}");
    }
    accepted(&verifier, &leaf("acme").signed_by(&root));
}
