//! The cases V8 to V19: depth, dates, strength, bounds, and many problems at once.

use std::time::Duration;

use super::der::Reader;
use super::*;
use crate::pki::{Kind, intermediate, leaf, root};
use crate::tls::hash::MessageDigest;
use crate::tls::rsa::Padding;
use crate::tls::sign::{RsaPssSaltlen, Signer};
use crate::tls::x509::X509;

#[test]
fn v8_a_chain_is_as_deep_as_allowed() {
    let root = root("Root").self_signed();
    let mut issuer = root.clone();
    let mut leaves = Vec::new();
    for depth in 0..4 {
        leaves.push(leaf("acme").signed_by(&issuer));
        issuer = intermediate(&format!("Issuing {depth}")).signed_by(&issuer);
    }
    for most in 0..3 {
        let shallow = Ca {
            max_depth: u32::try_from(most).unwrap(),
            ..ca(&[&root])
        };
        let verifier = verifier(vec![shallow]);
        for (depth, leaf) in leaves.iter().enumerate() {
            if depth <= most {
                accepted(&verifier, leaf);
            } else {
                assert_eq!(library_alone(&root, leaf), Ok(()));
                let problem = refused(&verifier, leaf, Reason::Invalid);
                assert!(
                    problem.detail.contains("are accepted"),
                    "{}",
                    problem.detail
                );
            }
        }
    }
}

#[test]
fn v8_the_path_length_of_an_authority_holds() {
    let root = root("Root").path_len(0).self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    accepted(&verifier, &leaf("acme").signed_by(&root));
    let below = intermediate("Issuing").signed_by(&root);
    refused(&verifier, &leaf("acme").signed_by(&below), Reason::Invalid);
}

#[test]
fn v9_the_missing_intermediate_is_named() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Acme Issuing CA 3").signed_by(&root);
    let good = leaf("acme").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);
    accepted(&verifier, &good);
    let problem = refused(&verifier, &good.with(&[]), Reason::ChainIncomplete);
    assert!(
        problem.detail.starts_with(
            "You sent 1 certificate, issued by 'Acme Issuing CA 3', and did not send that \
             intermediate."
        ),
        "{}",
        problem.detail
    );
}

#[test]
fn v10_and_v11_dates_count_to_the_second() {
    let root = root("Root").dates(-1000, 1000).self_signed();
    let cert = leaf("acme").dates(-10, 10).signed_by(&root);
    let verifier = verifier(vec![ca(&[&root])]);
    let facts = Facts::of(&cert.x509).unwrap();
    let verdict = verifier.verify(&chain(&cert), facts.not_before);
    let at = |seconds: i64| Timestamp::from_unix(facts.not_before.as_unix() + seconds);
    for (seconds, expected) in [
        (-1, &[Reason::NotYetValid][..]),
        (0, &[]),
        (19, &[]),
        (20, &[Reason::Expired]),
        (21, &[Reason::Expired]),
    ] {
        let now = at(seconds);
        assert_eq!(reasons(&verdict.at(now)), expected, "{seconds}");
        // A verdict found at that very moment says the same.
        let fresh = super::verifier(vec![ca(&[&root])]).verify(&chain(&cert), now);
        assert_eq!(reasons(&fresh.at(now)), expected, "{seconds}");
    }
    let rejected = verdict.at(at(20)).unwrap_err();
    let detail = &rejected.problems()[0].detail;
    assert!(detail.contains(&facts.not_after.to_string()), "{detail}");
    assert!(detail.contains(&at(20).to_string()), "{detail}");
    assert_eq!(rejected.at(), at(20));
}

#[test]
fn v10_what_is_too_early_becomes_good_when_its_time_comes() {
    let root = root("Root").self_signed();
    let cert = leaf("acme").dates(100, 200).signed_by(&root);
    let verifier = verifier(vec![ca(&[&root])]);
    let verdict = verifier.verify(&chain(&cert), moment(0));
    assert_eq!(reasons(&verdict.at(moment(0))), [Reason::NotYetValid]);
    let later = moment(0).plus(Duration::from_secs(150));
    assert!(verdict.at(later).is_ok());
}

#[test]
fn v11_an_expired_issuer_ends_its_clients() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").dates(-100, 100).signed_by(&root);
    let cert = leaf("acme").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);
    let verdict = verifier.verify(&chain(&cert), moment(0));
    assert!(verdict.at(moment(0)).is_ok());
    let later = moment(150);
    let rejected = verdict.at(later).unwrap_err();
    assert_eq!(rejected.problems().len(), 1);
    assert_eq!(rejected.problems()[0].depth, 1);
    assert_eq!(rejected.reason(), Reason::Expired);
    let again = verifier.current(&verdict, &chain(&cert), later);
    assert_eq!(reasons(&again.at(later)), [Reason::Expired]);
}

#[test]
fn v16_all_problems_are_told_gravest_first() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let bad = || {
        leaf("acme")
            .dates(-200, -100)
            .purposes(&["serverAuth"])
            .digest(MessageDigest::sha1())
    };
    // OpenSSL alone stops at the purpose (26), and once that is right it tells of the date (10) and
    // never of the signature: who forgives an expired certificate forgives what it hides.
    assert_eq!(library_alone(&root, &bad().signed_by(&root)), Err(26));
    let client = bad().purposes(&["clientAuth"]).signed_by(&root);
    assert_eq!(library_alone(&root, &client), Err(10));
    let result = judge(&verifier, &bad().signed_by(&root));
    assert_eq!(
        reasons(&result),
        [Reason::WrongPurpose, Reason::Weak, Reason::Expired]
    );
    // A grace for what is expired must not let these pass.
    assert_eq!(result.unwrap_err().reason(), Reason::WrongPurpose);
    let result = judge(&verifier, &bad().self_signed());
    assert_eq!(
        reasons(&result),
        [
            Reason::Untrusted,
            Reason::WrongPurpose,
            Reason::Weak,
            Reason::Expired
        ]
    );
    // Issuers have problems too; a forged one is never hidden by a broken rule.
    let attacker = pki::root("Root").skid(&[3; 20]).self_signed();
    let trusted = pki::root("Root").skid(&[3; 20]).path_len(0).self_signed();
    let verifier = super::verifier(vec![ca(&[&trusted])]);
    let below = intermediate("Issuing").signed_by(&attacker);
    let result = judge(&verifier, &leaf("acme").dates(50, 60).signed_by(&below));
    assert_eq!(
        reasons(&result),
        [Reason::Untrusted, Reason::Invalid, Reason::NotYetValid]
    );
}

#[test]
fn v18_weak_keys_and_signatures_need_the_exception() {
    let root = root("Root").kind(Kind::Rsa(2048)).self_signed();
    let lax = Ca {
        allow_weak: true,
        ..ca(&[&root])
    };
    let (strict, lax) = (verifier(vec![ca(&[&root])]), verifier(vec![lax]));
    accepted(
        &strict,
        &leaf("acme").kind(Kind::Rsa(2048)).signed_by(&root),
    );
    for weak in [
        #[cfg(feature = "openssl")]
        leaf("acme").digest(MessageDigest::md5()),
        leaf("acme").digest(MessageDigest::sha1()),
        leaf("acme").kind(Kind::Rsa(1024)),
    ] {
        let weak = weak.signed_by(&root);
        assert_eq!(library_alone(&root, &weak), Ok(()));
        refused(&strict, &weak, Reason::Weak);
        accepted(&lax, &weak);
    }
    let issuing = intermediate("Issuing")
        .kind(Kind::Rsa(1024))
        .signed_by(&root);
    let problem = refused(&strict, &leaf("acme").signed_by(&issuing), Reason::Weak);
    assert_eq!(problem.depth, 1);
    // What anybody can factor over a weekend is no exception.
    let tiny = leaf("acme").kind(Kind::Rsa(512)).signed_by(&root);
    refused(&lax, &tiny, Reason::Weak);
}

#[test]
fn v19_what_costs_too_much_is_refused_before_it_costs() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let issuing = intermediate("Issuing").signed_by(&root);
    let good = leaf("acme").signed_by(&issuing);
    accepted(&verifier, &good);
    let crowd: Vec<_> = (0..100)
        .map(|i| intermediate(&format!("I{i}")).signed_by(&root).x509)
        .collect();
    let mut costly = vec![
        leaf("acme")
            .kind(Kind::RsaHugeExponent(16384))
            .signed_by(&root),
        leaf("acme")
            .kind(Kind::RsaHugeExponent(3072))
            .signed_by(&root),
        good.with(&crowd.iter().collect::<Vec<_>>()),
    ];
    let names: Vec<_> = (0..1000).map(|i| format!("host-{i}.example.com")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    costly.push(leaf("acme").names(&names).signed_by(&root));
    let huge = intermediate("Huge")
        .kind(Kind::RsaHugeExponent(3072))
        .signed_by(&root);
    costly.push(leaf("acme").signed_by(&huge));
    for costly in costly {
        let took = pki::elapsed(|| refused(&verifier, &costly, Reason::Invalid));
        assert!(took < Duration::from_millis(50), "{took:?}");
    }
}

#[test]
fn a_rule_of_rfc_5280_that_is_broken_makes_it_invalid() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    accepted(&verifier, &leaf("acme").signed_by(&root));
    let critical = leaf("acme").extension("1.2.3.4.5", true, &[5, 0]);
    refused(&verifier, &critical.signed_by(&root), Reason::Invalid);
    let ignorable = leaf("acme").extension("1.2.3.4.5", false, &[5, 0]);
    accepted(&verifier, &ignorable.signed_by(&root));
    let twice = leaf("acme").extension("2.5.29.19", true, &[0x30, 0]);
    refused(&verifier, &twice.signed_by(&root), Reason::Invalid);
    let no_ids = leaf("acme").no_key_ids().signed_by(&root);
    refused(&verifier, &no_ids, Reason::Invalid);
    // Only clients below example.com: the constraint of an intermediate holds.
    let only = pki::tlv(0x30, &pki::tlv(0x82, b"example.com"));
    let constraint = pki::tlv(0x30, &pki::tlv(0xa0, &only));
    let narrow = intermediate("Narrow").extension("2.5.29.30", true, &constraint);
    let narrow = narrow.signed_by(&root);
    accepted(
        &verifier,
        &leaf("a").names(&["a.example.com"]).signed_by(&narrow),
    );
    let outside = leaf("a").names(&["a.example.org"]).signed_by(&narrow);
    refused(&verifier, &outside, Reason::Invalid);
}

#[test]
fn v18_a_weak_digest_within_parameters_is_found_too() {
    // RSASSA-PSS names its digest in parameters, which only the library reads: BoringSSL takes none
    // with SHA-1.
    let weak = if cfg!(feature = "boringssl") {
        Reason::Untrusted
    } else {
        Reason::Weak
    };
    let root = root("Root").kind(Kind::Rsa(2048)).self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let plain = leaf("acme").signed_by(&root);
    for (digest, oid, expected) in [
        (
            MessageDigest::sha256(),
            &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1][..],
            None,
        ),
        (MessageDigest::sha1(), &[0x2b, 0x0e, 3, 2, 0x1a], Some(weak)),
    ] {
        let mut issued = plain.clone();
        issued.x509 = pss(&plain, &root, digest, oid);
        match expected {
            None => drop(accepted(&verifier, &issued)),
            Some(reason) => drop(refused(&verifier, &issued, reason)),
        }
    }
}

/// The same certificate, signed again with RSASSA-PSS (RFC 4055 section 3.1).
fn pss(client: &Issued, issuer: &Issued, digest: MessageDigest, oid: &[u8]) -> X509 {
    use pki::tlv;
    let hash = tlv(0x30, &[tlv(6, oid), vec![5, 0]].concat());
    let mgf1 = tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8]);
    let size = u8::try_from(digest.size()).unwrap();
    let params = [
        tlv(0xa0, &hash),
        tlv(0xa1, &tlv(0x30, &[mgf1, hash.clone()].concat())),
        tlv(0xa2, &[2, 1, size]),
    ];
    let id = tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10]);
    let algorithm = tlv(0x30, &[id, tlv(0x30, &params.concat())].concat());

    let der = client.x509.to_der().unwrap();
    let mut parts = Reader(&der).enter(0x30).unwrap().enter(0x30).unwrap();
    let mut tbs = Vec::new();
    for place in 0.. {
        let Ok(part) = parts.next() else { break };
        // The version, the serial number, and then the algorithm.
        tbs.extend_from_slice(if place == 2 { &algorithm } else { part.whole });
    }
    let tbs = tlv(0x30, &tbs);
    let mut signer = Signer::new(digest, &issuer.key).unwrap();
    signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
    signer
        .set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)
        .unwrap();
    signer.set_rsa_mgf1_md(digest).unwrap();
    let signature = signer.sign_oneshot_to_vec(&tbs).unwrap();
    let bits = tlv(3, &[vec![0], signature].concat());
    X509::from_der(&tlv(0x30, &[tbs, algorithm, bits].concat())).unwrap()
}
