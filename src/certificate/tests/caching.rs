//! Verdicts that are remembered, replaced and judged again.

use std::sync::Arc;

use super::*;
use crate::pki::{intermediate, leaf, root};

#[test]
fn a_verdict_is_remembered_with_what_was_sent() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let good = leaf("acme").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);
    let whole = verifier.verify(&chain(&good), moment(0));
    assert!(whole.at(moment(0)).is_ok());
    assert!(Arc::ptr_eq(
        &whole,
        &verifier.verify(&chain(&good), moment(1))
    ));
    // The good verdict is not lent to the same certificate without its chain.
    let bare = good.clone().with(&[]);
    refused(&verifier, &bare, Reason::ChainIncomplete);
    let bad = verifier.verify(&chain(&bare), moment(0));
    assert!(Arc::ptr_eq(
        &bad,
        &verifier.verify(&chain(&bare), moment(1))
    ));
    accepted(&verifier, &good);
}

#[test]
fn new_authorities_take_effect_at_once() {
    let (old, new) = (root("Old").self_signed(), root("New").self_signed());
    let cert = leaf("acme").signed_by(&old);
    let verifier = verifier(vec![ca(&[&old])]);
    let verdict = verifier.verify(&chain(&cert), moment(0));
    assert!(verdict.at(moment(0)).is_ok());
    assert!(Arc::ptr_eq(
        &verdict,
        &verifier.current(&verdict, &chain(&cert), moment(0))
    ));

    let same = Trust::new(1, vec![ca(&[&new])]).unwrap();
    assert_eq!(verifier.replace(same), Err(SameGeneration(1)));
    accepted(&verifier, &cert);

    verifier
        .replace(Trust::new(2, vec![ca(&[&new])]).unwrap())
        .unwrap();
    assert_eq!(verifier.generation(), 2);
    let current = verifier.current(&verdict, &chain(&cert), moment(0));
    assert_eq!(current.generation(), 2);
    assert!(current.at(moment(0)).is_err());
    // And back.
    verifier
        .replace(Trust::new(3, vec![ca(&[&old])]).unwrap())
        .unwrap();
    let current = verifier.current(&current, &chain(&cert), moment(0));
    assert!(current.at(moment(0)).is_ok());
}

#[test]
fn another_chain_is_found_when_an_issuer_ends() {
    let root = root("Root").self_signed();
    let first = intermediate("Issuing").dates(-100, 50).signed_by(&root);
    let second = intermediate("Issuing").key(&first.key).signed_by(&root);
    let cert = leaf("acme")
        .signed_by(&first)
        .with(&[&first.x509, &second.x509]);
    let verifier = verifier(vec![ca(&[&root])]);
    let verdict = verifier.verify(&chain(&cert), moment(0));
    assert!(verdict.at(moment(0)).is_ok());
    // The chain that was verified is over, and nothing is accepted by it any more …
    assert!(verdict.at(moment(60)).is_err());
    // … and the other one is found.
    let current = verifier.current(&verdict, &chain(&cert), moment(60));
    assert!(current.at(moment(60)).is_ok());
    assert!(Arc::ptr_eq(
        &current,
        &verifier.verify(&chain(&cert), moment(61))
    ));
}

#[test]
fn an_issuer_that_is_not_yet_valid_becomes_so() {
    let root = root("Root").dates(50, 100).self_signed();
    let cert = leaf("acme").signed_by(&root);
    let verifier = verifier(vec![ca(&[&root])]);
    let early = verifier.verify(&chain(&cert), moment(0));
    assert_eq!(reasons(&early.at(moment(0))), [Reason::NotYetValid]);
    let current = verifier.current(&early, &chain(&cert), moment(60));
    assert!(current.at(moment(60)).is_ok());
    let late = verifier.current(&current, &chain(&cert), moment(110));
    assert_eq!(reasons(&late.at(moment(110))), [Reason::Expired]);
}

#[test]
fn certificates_that_were_never_valid_together_are_never_accepted() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").dates(-100, -50).signed_by(&root);
    let cert = leaf("acme").dates(50, 100).signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);
    for offset in [-200, -75, 0, 75, 200] {
        let verdict = verifier.verify(&chain(&cert), moment(offset));
        let reasons = reasons(&verdict.at(moment(offset)));
        let by_time = [Reason::NotYetValid, Reason::Expired];
        assert!(!reasons.is_empty() && reasons.iter().all(|r| by_time.contains(r)));
    }
}

#[test]
fn a_resumed_session_is_judged_by_the_chain_that_was_sent_once() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").dates(-100, 100).signed_by(&root);
    let cert = leaf("acme").signed_by(&issuing);
    let resumed = Chain::resumed(&cert.x509, Vec::new());
    let other = leaf("other").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);

    let unknown = verifier
        .verify(&resumed, moment(0))
        .at(moment(0))
        .unwrap_err();
    assert_eq!(unknown.reason(), Reason::ChainIncomplete);
    assert!(unknown.problems()[0].detail.contains("resum"));

    accepted(&verifier, &cert);
    assert!(verifier.verify(&resumed, moment(0)).at(moment(0)).is_ok());
    // Known intermediates serve another client of theirs too …
    let resumed_other = Chain::resumed(&other.x509, Vec::new());
    assert!(
        verifier
            .verify(&resumed_other, moment(0))
            .at(moment(0))
            .is_ok()
    );
    // … but only resumed sessions: who sends nothing is told so, with certainty.
    refused(&verifier, &other.with(&[]), Reason::ChainIncomplete);
    // The intermediate's end is the end of resumption.
    let late = verifier.verify(&resumed, moment(150)).at(moment(150));
    assert_eq!(reasons(&late), [Reason::Expired]);
    // New authorities are asked, with the intermediates known.
    verifier
        .replace(Trust::new(2, vec![ca(&[&root])]).unwrap())
        .unwrap();
    assert!(verifier.verify(&resumed, moment(0)).at(moment(0)).is_ok());
    let stranger = pki::root("Stranger").self_signed();
    verifier
        .replace(Trust::new(3, vec![ca(&[&stranger])]).unwrap())
        .unwrap();
    assert!(verifier.verify(&resumed, moment(0)).at(moment(0)).is_err());
}

#[test]
fn a_known_intermediate_makes_the_explanation_certain() {
    let root = root("Root").self_signed();
    let upper = intermediate("Upper").signed_by(&root);
    let lower = intermediate("Lower").signed_by(&upper);
    let good = leaf("acme").signed_by(&lower);
    let verifier = verifier(vec![ca(&[&root])]);
    let partly = || leaf("other").signed_by(&lower).with(&[&lower.x509]);
    // Roots are not sent as a rule, so this looks like another authority's chain …
    let problem = refused(&verifier, &partly(), Reason::Untrusted);
    assert!(problem.detail.contains("'Upper'") && problem.detail.contains("'Root'"));
    // … until the intermediate was seen.
    accepted(&verifier, &good);
    let problem = refused(&verifier, &partly(), Reason::ChainIncomplete);
    assert!(problem.detail.contains("'Upper'"), "{}", problem.detail);
}

#[test]
fn a_chain_out_of_der_is_the_same_chain() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let good = leaf("acme").signed_by(&issuing);
    let der = good.x509.to_der().unwrap();
    let sent = vec![issuing.x509.to_der().unwrap()];
    let verifier = verifier(vec![ca(&[&root])]);
    let read = Chain::from_der(&der, &sent);
    assert_eq!(read.fingerprint(), chain(&good).fingerprint());
    assert!(verifier.verify(&read, moment(0)).at(moment(0)).is_ok());
    let trailing = [&der[..], b"x"].concat();
    for (leaf, sent) in [
        (&b"garbage"[..], &sent),
        (&trailing, &sent),
        (&[], &sent),
        (&der, &vec![b"garbage".to_vec()]),
        (&der, &vec![sent[0].clone(); 11]),
    ] {
        let broken = Chain::from_der(leaf, sent);
        let rejected = verifier
            .verify(&broken, moment(0))
            .at(moment(0))
            .unwrap_err();
        assert_eq!(rejected.reason(), Reason::Invalid);
    }
}

#[test]
fn a_chain_that_was_not_taken_whole_is_another_chain() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let good = leaf("acme").signed_by(&issuing);
    let der = good.x509.to_der().unwrap();
    let issuing = issuing.x509.to_der().unwrap();
    let garbage = || b"garbage".to_vec();
    let ten = vec![issuing.clone(); 10];
    for (whole, more) in [
        (vec![issuing.clone()], garbage()),
        (vec![], garbage()),
        (vec![issuing.clone()], vec![]),
        (ten.clone(), issuing.clone()),
        (ten, garbage()),
    ] {
        let broken = [whole.clone(), vec![more]].concat();
        let chains = [&whole, &broken].map(|sent| Chain::from_der(&der, sent));
        let [sent, more_sent] = chains.each_ref().map(Chain::sent);
        assert_ne!(sent, more_sent);
        // Whichever is met first, neither gets the other's verdict.
        for order in [[0, 1], [1, 0]] {
            let verifier = verifier(vec![ca(&[&root])]);
            for i in order {
                let verdict = verifier.verify(&chains[i], moment(0)).at(moment(0));
                let is_invalid = verdict.is_err_and(|no| no.reason() == Reason::Invalid);
                assert_eq!(is_invalid, i == 1);
            }
        }
    }
}
