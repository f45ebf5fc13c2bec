//! The case V17, and which certificates the operator can trust.

use super::*;
use crate::pki::{intermediate, leaf, root};

fn problems(cas: Vec<Ca>) -> Vec<String> {
    Trust::new(1, cas)
        .err()
        .map_or_else(Vec::new, |error| error.problems)
}

#[track_caller]
fn refused_file(pem: &[u8], expected: &str) {
    let bad = Ca {
        pem: pem.to_vec(),
        ..ca(&[])
    };
    let problems = problems(vec![bad]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("ca \"clients\": "), "{problems:?}");
    assert!(problems[0].contains(expected), "{problems:?}");
}

#[test]
fn v17_a_file_that_is_not_whole_is_refused() {
    let root = root("Root").self_signed();
    let pem = root.pem();
    assert!(problems(vec![ca(&[&root])]).is_empty());
    refused_file(b"", "no certificate");
    refused_file(b"\n# nothing here\n", "no certificate");
    refused_file(&pem[..pem.len() / 2], "cut off");
    refused_file(&pem[..pem.len() - 5], "cut off");
    refused_file(&[&pem[..], &pem[..60]].concat(), "cut off");
    refused_file(&root.x509.to_der().unwrap(), "not text");
    refused_file(&[&pem[..], &root.key_pem()[..]].concat(), "private key");
    let other = String::from_utf8(pem.clone())
        .unwrap()
        .replace("CERTIFICATE", "X509 CRL");
    refused_file(other.as_bytes(), "not a certificate");
    let damaged = String::from_utf8(pem).unwrap().replacen("MII", "MIJ", 1);
    if damaged.contains("MIJ") {
        refused_file(damaged.as_bytes(), "cannot be read");
    }
}

#[test]
fn v17_only_authorities_can_be_trusted() {
    let root = root("Root").self_signed();
    let client = leaf("acme").signed_by(&root);
    refused_file(
        &client.pem(),
        "'CN=acme' is not the certificate of an authority",
    );
    let silent = pki::root("Silent").key_usage(&["cRLSign"]).self_signed();
    refused_file(&silent.pem(), "is not the certificate of an authority");
}

#[test]
fn v17_all_problems_of_all_files_are_told() {
    let root = root("Root").self_signed();
    let named = |name: &str, pem: Vec<u8>| Ca {
        name: name.to_owned(),
        pem,
        ..ca(&[])
    };
    let problems = problems(vec![
        named("a", root.pem()),
        named("b", Vec::new()),
        named("c", root.pem()),
    ]);
    assert_eq!(problems.len(), 2);
    assert!(problems[0].contains("\"b\""), "{problems:?}");
    assert!(
        problems[1].contains("\"c\"") && problems[1].contains("'CN=Root'"),
        "{problems:?}"
    );
    // The same twice in one file is no matter.
    let twice = named("a", [root.pem(), root.pem()].concat());
    assert_eq!(Trust::new(1, vec![twice]).unwrap().subjects().count(), 1);
}

#[test]
fn v17_no_authority_means_that_nobody_is_accepted() {
    let root = root("Root").self_signed();
    let good = leaf("acme").signed_by(&root);
    accepted(&verifier(vec![ca(&[&root])]), &good);
    refused(&verifier(Vec::new()), &good, Reason::Untrusted);
    refused(
        &verifier(Vec::new()),
        &good.with(&[&root.x509]),
        Reason::Untrusted,
    );
}

#[test]
fn an_intermediate_can_be_all_that_is_trusted() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let sister = intermediate("Sister").signed_by(&root);
    let below = intermediate("Below").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&issuing])]);
    let good = leaf("acme").signed_by(&issuing);
    // With and without the intermediate and the root that it does not need.
    for sent in [vec![], vec![&issuing.x509], vec![&issuing.x509, &root.x509]] {
        accepted(&verifier, &good.clone().with(&sent));
    }
    accepted(&verifier, &leaf("acme").signed_by(&below));
    // Its root and its sisters are not trusted by that, whatever is sent along.
    for stranger in [
        leaf("acme").signed_by(&root),
        leaf("acme").signed_by(&sister),
    ] {
        for sent in [
            vec![],
            vec![&root.x509],
            vec![&sister.x509, &root.x509],
            vec![&issuing.x509, &sister.x509, &root.x509],
        ] {
            let result = judge(&verifier, &stranger.clone().with(&sent));
            assert!(result.is_err(), "{sent:?}");
        }
    }
    // Nor a certificate that only looks like it.
    let mimic = pki::root("Issuing").self_signed();
    let forged = leaf("acme").signed_by(&mimic);
    for sent in [vec![], vec![&mimic.x509], vec![&mimic.x509, &issuing.x509]] {
        refused(&verifier, &forged.clone().with(&sent), Reason::Untrusted);
    }
    // And a certificate of a client is not one that may be trusted by itself.
    assert!(judge(&verifier, &leaf("x").self_signed()).is_err());
}

#[test]
fn a_partial_authority_does_not_loosen_another_one() {
    let (a, b) = (root("A").self_signed(), root("B").self_signed());
    let below_a = intermediate("Below A").signed_by(&a);
    let below_b = intermediate("Below B").signed_by(&b);
    let partial = Ca {
        name: "partial".to_owned(),
        ..ca(&[&below_a])
    };
    let verifier = verifier(vec![partial, ca(&[&b])]);
    assert_eq!(
        accepted(&verifier, &leaf("x").signed_by(&below_a)).ca(),
        CaIndex(0)
    );
    let through_b = leaf("x").signed_by(&below_b);
    assert_eq!(accepted(&verifier, &through_b).ca(), CaIndex(1));
    assert!(judge(&verifier, &through_b.with(&[])).is_err());
    assert!(judge(&verifier, &leaf("x").signed_by(&a)).is_err());
}

#[test]
fn a_bundle_with_its_intermediates_spares_clients_to_send_them() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let verifier = verifier(vec![ca(&[&root, &issuing])]);
    accepted(&verifier, &leaf("acme").signed_by(&issuing).with(&[]));
    assert_eq!(verifier.trust().subjects().count(), 2);
    // Its chain goes on to the root all the same, which has its say.
    let ended = pki::root("Root").dates(-100, -10).self_signed();
    let issuing = intermediate("Issuing").signed_by(&ended);
    let client = leaf("acme").signed_by(&issuing);
    let problem = refused(
        &super::verifier(vec![ca(&[&ended, &issuing])]),
        &client,
        Reason::Expired,
    );
    assert_eq!(problem.depth, 2);
    accepted(&super::verifier(vec![ca(&[&issuing])]), &client);
    assert_eq!(verifier.trust().ca_name(CaIndex(0)), "clients");
    assert_eq!(verifier.trust().ca_name(CaIndex(9)), "");
}

#[test]
fn a_renewed_root_and_a_cross_signed_one_find_the_way_that_is_valid() {
    let old = root("Root").dates(-100, -10).self_signed();
    let renewed = root("Root").key(&old.key).self_signed();
    let verifier = verifier(vec![ca(&[&old, &renewed])]);
    accepted(&verifier, &leaf("acme").signed_by(&old));
    let other = root("Other").self_signed();
    let dead = intermediate("Issuing").dates(-100, -10).signed_by(&renewed);
    let alive = intermediate("Issuing").key(&dead.key).signed_by(&renewed);
    let cross = intermediate("Issuing").key(&dead.key).signed_by(&other);
    let good = leaf("acme").signed_by(&dead);
    accepted(&verifier, &good.clone().with(&[&dead.x509, &alive.x509]));
    accepted(&verifier, &good.clone().with(&[&alive.x509, &dead.x509]));
    refused(&verifier, &good.clone(), Reason::Expired);
    let through_other = super::verifier(vec![ca(&[&other])]);
    accepted(&through_other, &good.with(&[&cross.x509]));
}

/// As when a running gateway got other ones again and again: each leaves its place to nobody.
#[test]
fn authorities_that_were_taken_away_count_for_none() {
    let root = root("Root").self_signed();
    let gone = |number| Ca {
        name: format!("gone-{number}"),
        is_gone: true,
        ..Ca::default()
    };
    let with = |one: Ca| {
        let mut cas: Vec<_> = (0..300).map(gone).collect();
        cas.push(one);
        problems(cas)
    };
    assert!(with(ca(&[&root])).is_empty());
    // The control: that many that are there are too many.
    let there = |number| Ca {
        is_gone: false,
        ..gone(number)
    };
    let told = problems((0..257).map(there).collect());
    assert!(told[0].contains("there are 257"), "{told:?}");
}
