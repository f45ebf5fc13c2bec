//! Explanations: they say what the verdict says, and why.

use super::*;
use crate::pki::{intermediate, leaf, root};
use crate::tls::hash::MessageDigest;

fn explained(verifier: &Verifier, issued: &Issued) -> Explanation {
    verifier.explain(&chain(issued), Lineage::Unknown, moment(0))
}

fn outcome(explanation: &Explanation, check: Check) -> CheckOutcome {
    of(explanation, check).outcome
}

fn of(explanation: &Explanation, check: Check) -> &Checked {
    let mut checks = explanation.checks.iter();
    checks.find(|checked| checked.check == check).unwrap()
}

/// The checks that came out as `expected`.
fn checks(explanation: &Explanation, expected: CheckOutcome) -> Vec<Check> {
    let checks = explanation.checks.iter();
    let found = checks.filter(|checked| checked.outcome == expected);
    found.map(|checked| checked.check).collect()
}

#[test]
fn a_good_chain_is_told_from_end_to_end() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let stray = intermediate("Stray").self_signed();
    let good = leaf("acme").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);
    let sent = good.clone().with(&[&stray.x509, &issuing.x509]);
    let explanation = explained(&verifier, &sent);
    assert!(explanation.is_verified());
    assert_eq!(explanation.ca.as_deref(), Some("clients"));
    assert!(explanation.reasons.is_empty() && explanation.problems.is_empty());
    let origins: Vec<_> = explanation.chain.iter().map(|shown| shown.origin).collect();
    assert_eq!(origins, [Origin::Sent, Origin::Sent, Origin::Trusted]);
    let used: Vec<_> = explanation.sent.iter().map(|shown| shown.used).collect();
    assert_eq!(used, [true, false, true]);
    assert_eq!(
        explanation.leaf().unwrap().facts.as_ref().unwrap().subject,
        "CN=acme"
    );
    assert_eq!(
        checks(&explanation, CheckOutcome::NotChecked),
        [Check::Revocation, Check::Lineage]
    );
    assert!(checks(&explanation, CheckOutcome::Failed).is_empty());
}

#[test]
fn every_failed_check_is_told_and_the_verdict_is_that_of_a_request() {
    let root = root("Root").self_signed();
    let stranger = pki::root("Stranger").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let good = leaf("acme").signed_by(&root);
    let only = pki::tlv(0x30, &pki::tlv(0x82, b"example.com"));
    let constraint = pki::tlv(0x30, &pki::tlv(0xa0, &only));
    let narrow = intermediate("Narrow").extension("2.5.29.30", true, &constraint);
    let narrow = narrow.signed_by(&root);
    let old = || leaf("acme").dates(-200, -100);
    for (issued, failed) in [
        (good.clone(), &[][..]),
        (old().signed_by(&root), &[Check::Dates]),
        (leaf("acme").dates(50, 60).signed_by(&root), &[Check::Dates]),
        (
            leaf("acme").purposes(&["serverAuth"]).signed_by(&root),
            &[Check::Purpose],
        ),
        (
            leaf("acme").digest(MessageDigest::sha1()).signed_by(&root),
            &[Check::Strength],
        ),
        (leaf("acme").no_key_ids().signed_by(&root), &[Check::Rules]),
        (
            leaf("acme").names(&["a.example.org"]).signed_by(&narrow),
            &[Check::NameConstraints],
        ),
        (leaf("acme").signed_by(&stranger), &[Check::Completeness]),
        (leaf("acme").self_signed(), &[Check::Trust]),
        (
            old().digest(MessageDigest::sha1()).self_signed(),
            &[Check::Trust, Check::Dates, Check::Strength],
        ),
    ] {
        let explanation = explained(&verifier, &issued);
        let live = judge(&verifier, &issued);
        assert_eq!(explanation.is_verified(), live.is_ok());
        assert_eq!(explanation.reasons, reasons(&live));
        assert_eq!(checks(&explanation, CheckOutcome::Failed), failed);
        let problems = live.as_ref().map_or_else(Rejected::problems, |_| &[]);
        let told = |problems: &[Problem]| -> Vec<_> {
            // Without the sentences: the clock may have gone on between the two.
            problems.iter().map(|p| (p.reason, p.depth)).collect()
        };
        assert_eq!(told(&explanation.problems), told(problems));
        assert!(
            explanation
                .checks
                .iter()
                .all(|check| check.detail.ends_with('.'))
        );
    }
}

#[test]
fn a_missing_intermediate_is_named_with_whether_the_server_knows_it() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let good = leaf("acme").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);
    let alone = leaf("other").signed_by(&issuing).with(&[]);
    let before = explained(&verifier, &alone);
    assert_eq!(before.reasons, [Reason::ChainIncomplete]);
    let detail = &of(&before, Check::Completeness).detail;
    assert!(
        detail.contains("'Issuing'") && !detail.contains("has seen"),
        "{detail}"
    );
    assert_eq!(outcome(&before, Check::Trust), CheckOutcome::NotChecked);

    accepted(&verifier, &good);
    let after = explained(&verifier, &alone);
    // To know it does not make up for it.
    assert!(!after.is_verified());
    let detail = &of(&after, Check::Completeness).detail;
    assert!(detail.contains("has seen 'Issuing'"), "{detail}");
    assert!(after.advice().contains("cat client.pem"));
}

#[test]
fn dates_are_told_with_the_difference_of_the_clocks() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let issued = leaf("acme").dates(-4 * 86_400, -3 * 86_400 - 60);
    let explanation = explained(&verifier, &issued.signed_by(&root));
    let detail = &of(&explanation, Check::Dates).detail;
    assert!(detail.contains("3 days ago"), "{detail}");
    assert!(detail.contains("this server's clock says"), "{detail}");
    let early = leaf("acme").dates(600, 6000).signed_by(&root);
    let detail = explained(&verifier, &early).problems[0].detail.clone();
    assert!(detail.contains("minutes; this server's clock"), "{detail}");
}

#[test]
fn what_cannot_be_read_is_explained_too() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let good = leaf("acme").signed_by(&root).x509.to_der().unwrap();
    let read = |der: &[u8]| {
        let chain = Chain::from_der(der, &[]);
        verifier.explain(&chain, Lineage::Unknown, moment(0))
    };
    assert!(read(&good).is_verified());
    for bad in [&b""[..], b"hello", &[&good[..], b"\0"].concat()] {
        let explanation = read(bad);
        assert_eq!(explanation.reasons, [Reason::Invalid]);
        assert_eq!(explanation.sent.len(), 1);
        assert!(explanation.chain.is_empty());
        assert_eq!(outcome(&explanation, Check::Rules), CheckOutcome::Failed);
        assert_eq!(checks(&explanation, CheckOutcome::NotChecked).len(), 8);
        assert!(explanation.to_string().contains("cannot be read"));
    }
}

#[test]
fn a_superseded_certificate_is_rejected_by_the_directory_alone() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let good = leaf("acme").signed_by(&root);
    let explain = |lineage| verifier.explain(&chain(&good), lineage, moment(0));
    assert!(explain(Lineage::Current).is_verified());
    let superseded = explain(Lineage::Superseded);
    assert_eq!(superseded.reasons, [Reason::Superseded]);
    assert_eq!(checks(&superseded, CheckOutcome::Failed), [Check::Lineage]);
}

#[test]
fn c8_hostile_names_stay_text() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let hostile = "<script>alert(1)</script>\r\nSet-Cookie: a=b\u{202e}\u{1b}[31m";
    let explanation = explained(&verifier, &leaf(hostile).signed_by(&root));
    let text = explanation.to_string();
    let json = serde_json::to_string(&explanation).unwrap();
    for shown in [text, json] {
        assert!(shown.contains("Set-Cookie"), "{shown}");
        for bad in ["\r", "\u{202e}", "\u{1b}", "\nSet-Cookie"] {
            assert!(!shown.contains(bad), "{shown}");
        }
    }
}
