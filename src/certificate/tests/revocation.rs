//! The cases V12 to V14 as far as they are about lists, and what a list must be to be believed.
//! Distribution points, indirect lists and reasons are tried by NIST's PKITS.

use super::*;
use crate::list::{List, list};
use crate::pki::{intermediate, leaf, root, tlv};

const UNKNOWN: &[u8] = &[0x2a, 3, 4, 5];

fn with_lists(root: &Issued, lists: &[List<'_>]) -> Verifier {
    let lists = lists
        .iter()
        .map(|list| RevocationList::read(&list.der()).unwrap());
    let trust = Trust::new(1, vec![ca(&[root])]).unwrap();
    Verifier::new(trust.with_lists(lists.collect()))
}

fn reasons_of(root: &Issued, issued: &Issued, lists: &[List<'_>]) -> Vec<Reason> {
    reasons(&judge(&with_lists(root, lists), issued))
}

#[test]
fn v12_a_certificate_on_a_list_is_refused_also_when_it_has_expired() {
    let root = root("Root").self_signed();
    let (good, bad) = (leaf("good").signed_by(&root), leaf("bad").signed_by(&root));
    let old = leaf("old").dates(-200, -100).signed_by(&root);
    // The control: without lists nobody asks.
    accepted(&verifier(vec![ca(&[&root])]), &bad);
    let verifier = with_lists(&root, &[list(&root, &[&bad, &old]).because(1)]);
    accepted(&verifier, &good);
    let problem = refused(&verifier, &bad, Reason::Revoked);
    assert!(
        problem.detail.contains("its key was compromised"),
        "{}",
        problem.detail
    );
    assert!(problem.detail.contains("by 'Root'"), "{}", problem.detail);
    let result = judge(&verifier, &old);
    assert_eq!(reasons(&result), [Reason::Revoked, Reason::Expired]);
    // No grace for it, as there would be for another that has ended.
    let lapsed = |issued: &Issued| verifier.verify(&chain(issued), moment(0)).lapsed(moment(0));
    let other = leaf("other").dates(-200, -100).signed_by(&root);
    assert!(lapsed(&other).is_some() && lapsed(&old).is_none());
}

#[test]
fn v12_a_revoked_issuer_ends_its_clients() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let client = leaf("acme").signed_by(&issuing);
    let of_issuing = || list(&issuing, &[]);
    let clear = with_lists(&root, &[list(&root, &[]), of_issuing()]);
    accepted(&clear, &client);
    let lists = [list(&root, &[&issuing]), of_issuing()];
    let problem = refused(&with_lists(&root, &lists), &client, Reason::Revoked);
    assert_eq!(problem.depth, 1);
}

#[test]
fn v13_without_a_list_that_holds_nobody_is_clear() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let client = leaf("acme").signed_by(&issuing);
    let direct = leaf("direct").signed_by(&root);
    let unknown = [Reason::RevocationUnknown];
    // The list of one issuer only.
    assert_eq!(reasons_of(&root, &client, &[list(&root, &[])]), unknown);
    assert_eq!(reasons_of(&root, &client, &[list(&issuing, &[])]), unknown);
    for (from, until) in [(-900, Some(-100)), (100, Some(900)), (-900, None)] {
        let lists = [list(&root, &[]).dates(from, until)];
        assert_eq!(
            reasons_of(&root, &direct, &lists),
            unknown,
            "{from} {until:?}"
        );
        // But who stands on it is revoked, however old it is.
        let lists = [list(&root, &[&direct]).dates(from, until)];
        assert_eq!(reasons_of(&root, &direct, &lists), [Reason::Revoked]);
    }
    let lists = [list(&root, &[]).dates(-900, Some(-100))];
    let problem = refused(
        &with_lists(&root, &lists),
        &direct,
        Reason::RevocationUnknown,
    );
    assert!(problem.detail.contains("ended at"), "{}", problem.detail);
}

#[test]
fn v13_a_verdict_ends_with_the_list_it_was_found_by() {
    let root = root("Root").self_signed();
    let client = leaf("acme").signed_by(&root);
    let verifier = with_lists(&root, &[list(&root, &[]).dates(-100, Some(100))]);
    let chain = chain(&client);
    let verdict = verifier.verify(&chain, moment(0));
    assert!(verdict.at(moment(0)).is_ok());
    let later = moment(200);
    let again = verifier.current(&verdict, &chain, later).at(later);
    assert_eq!(reasons(&again), [Reason::RevocationUnknown]);
}

#[test]
fn v14_a_list_that_somebody_else_signed_counts_for_nothing() {
    let root = root("Root").self_signed();
    let stranger = pki::root("Stranger").self_signed();
    let twin = pki::root("Root").self_signed();
    let other = leaf("other").signed_by(&root);
    let client = leaf("acme").signed_by(&root);
    let own = || list(&root, &[]);
    accepted(&with_lists(&root, &[own()]), &client);
    for signer in [&stranger, &twin, &other, &client] {
        // It neither clears nor revokes.
        let forged = [list(&root, &[]).signed_by(signer)];
        assert_eq!(
            reasons_of(&root, &client, &forged),
            [Reason::RevocationUnknown]
        );
        let lists = [own(), list(&root, &[&client]).signed_by(signer)];
        accepted(&with_lists(&root, &lists), &client);
        // Not even when its signer comes along.
        let sent = client.clone().with(&[&signer.x509]);
        assert_eq!(
            reasons_of(&root, &sent, &forged),
            [Reason::RevocationUnknown]
        );
    }
    // A list of another issuer tells of its own certificates, and is named.
    let lists = [list(&stranger, &[&client])];
    let verifier = with_lists(&root, &lists);
    let explanation = verifier.explain(&chain(&client), Lineage::Unknown, moment(0));
    assert_eq!(explanation.reasons, [Reason::RevocationUnknown]);
    assert!(
        explanation.to_string().contains("'Stranger'"),
        "{explanation}"
    );
}

#[test]
fn a_list_must_be_signed_by_who_may_sign_lists() {
    let root = root("Root").self_signed();
    let mute = intermediate("Mute")
        .key_usage(&["keyCertSign"])
        .signed_by(&root);
    let client = leaf("acme").signed_by(&mute);
    let lists = [list(&root, &[]), list(&mute, &[])];
    assert_eq!(
        reasons_of(&root, &client, &lists),
        [Reason::RevocationUnknown]
    );
}

#[test]
fn what_is_not_understood_is_not_believed() {
    let root = root("Root").self_signed();
    let client = leaf("acme").signed_by(&root);
    let with = |critical| [list(&root, &[]).extension(UNKNOWN, critical, &[5, 0])];
    accepted(&with_lists(&root, &with(false)), &client);
    assert_eq!(
        reasons_of(&root, &client, &with(true)),
        [Reason::RevocationUnknown]
    );
    // Nor what is understood but must not be critical: the list's own number.
    let number = |critical| [list(&root, &[]).extension(&[0x55, 0x1d, 20], critical, &[2, 1, 1])];
    accepted(&with_lists(&root, &number(false)), &client);
    assert_eq!(
        reasons_of(&root, &client, &number(true)),
        [Reason::RevocationUnknown]
    );
    // A scope that does not take it: only authorities.
    let scope = tlv(0x30, &[0x82, 1, 0xff]);
    let lists = [list(&root, &[]).extension(&[0x55, 0x1d, 28], true, &scope)];
    assert_eq!(
        reasons_of(&root, &client, &lists),
        [Reason::RevocationUnknown]
    );
    let twice = list(&root, &[]).number(1, None).number(2, None);
    assert!(RevocationList::read(&twice.der()).is_err());
}

/// Each is compared with all before it, and that before anybody knows who made the list.
#[test]
fn v14_a_list_with_extensions_without_end_is_not_read() {
    let root = root("Root").self_signed();
    let with = |number: u8| {
        let each = (0..number).fold(list(&root, &[]), |list, last| {
            list.extension(&[0x2a, 3, 4, last & 0x7f], false, &[5, 0])
        });
        RevocationList::read(&each.der())
    };
    assert!(with(60).is_ok());
    assert!(with(100).is_err());
}

#[test]
fn a_delta_adds_to_its_base_and_is_never_ignored() {
    let root = root("Root").self_signed();
    let client = leaf("acme").signed_by(&root);
    let base = |revoked: &[&Issued]| list(&root, revoked).number(5, None);
    let delta = |revoked: &[&Issued]| list(&root, revoked).number(7, Some(4));
    accepted(&with_lists(&root, &[base(&[]), delta(&[])]), &client);
    // Alone it clears nobody.
    assert_eq!(
        reasons_of(&root, &client, &[delta(&[])]),
        [Reason::RevocationUnknown]
    );
    let lists = [base(&[]), delta(&[&client])];
    assert_eq!(reasons_of(&root, &client, &lists), [Reason::Revoked]);
    // What was on hold can be released, by a delta that fits.
    let released = || delta(&[&client]).because(8);
    let held = || base(&[&client]).because(6);
    assert_eq!(reasons_of(&root, &client, &[held()]), [Reason::Revoked]);
    accepted(&with_lists(&root, &[held(), released()]), &client);
    let stale = released().dates(-900, Some(-100));
    assert_eq!(
        reasons_of(&root, &client, &[held(), stale]),
        [Reason::Revoked]
    );
    // Where the base goes on in a delta that cannot be used, nobody knows.
    for unusable in [
        delta(&[]).dates(-900, Some(-100)),
        list(&root, &[]).number(9, Some(8)),
        delta(&[]).extension(UNKNOWN, true, &[5, 0]),
    ] {
        let lists = [base(&[]), unusable];
        assert_eq!(
            reasons_of(&root, &client, &lists),
            [Reason::RevocationUnknown]
        );
    }
}

#[test]
fn an_entry_that_takes_back_outweighs_no_entry_that_revokes() {
    let root = root("Root").self_signed();
    let client = leaf("acme").signed_by(&root);
    let base = |reasons: &[u8]| list(&root, &[]).each(&client, reasons).number(5, None);
    let delta = |reasons: &[u8]| list(&root, &[]).each(&client, reasons).number(7, Some(4));
    let revoked = |lists: &[List<'_>]| {
        let problem = refused(&with_lists(&root, lists), &client, Reason::Revoked);
        assert!(problem.detail.contains("compromised"), "{}", problem.detail);
    };
    // The controls: what is taken back alone, by a delta.
    accepted(&with_lists(&root, &[base(&[6]), delta(&[8])]), &client);
    accepted(&with_lists(&root, &[base(&[6]), delta(&[8, 8])]), &client);
    for both in [[8, 1], [1, 8]] {
        revoked(&[base(&both)]);
        revoked(&[base(&[]), delta(&both)]);
        let lists = [delta(&both), base(&[6])];
        revoked(&lists);
        let [delta, base] = lists;
        assert_eq!(
            reasons_of(&root, &client, &[base, delta]),
            [Reason::Revoked]
        );
    }
    // Only a delta takes back: elsewhere the certificate is simply on the list.
    for taken_back in [&[8][..], &[8, 8]] {
        let alone = [base(taken_back)];
        assert_eq!(reasons_of(&root, &client, &alone), [Reason::Revoked]);
        let unnumbered = [list(&root, &[]).each(&client, taken_back)];
        assert_eq!(reasons_of(&root, &client, &unnumbered), [Reason::Revoked]);
    }
}

/// Each serial number of a long list is found, and none besides, also of entries that name another
/// issuer.
#[test]
fn every_entry_of_a_long_list_is_found() {
    let root = root("Root").self_signed();
    let serial = |n: u32| {
        [
            &[0x11, 0x22][..],
            &n.wrapping_mul(2_654_435_761).to_be_bytes(),
        ]
        .concat()
    };
    let revoked = (0..3000).map(serial);
    let short = (0..100).map(|n: u8| vec![n]);
    let long = list(&root, &[]).revoke(revoked.chain(short));
    let read = RevocationList::read(&long.der()).unwrap();
    assert_eq!(read.entries(), 3100);
    let client = |serial: &[u8]| leaf("acme").serial(serial).signed_by(&root);
    let verifier = Verifier::new(
        Trust::new(1, vec![ca(&[&root])])
            .unwrap()
            .with_lists(vec![read]),
    );
    for n in [0, 1, 1499, 2998, 2999] {
        refused(&verifier, &client(&serial(n)), Reason::Revoked);
    }
    refused(&verifier, &client(&[99]), Reason::Revoked);
    for other in [
        serial(3000),
        vec![101],
        vec![0x7a],
        [&[9][..], &serial(5)].concat(),
    ] {
        accepted(&verifier, &client(&other));
    }
}

/// Each key of an authority has lists of its own, under one name: that of one is no newer list of the
/// other, and its end must not go unnoticed.
#[test]
fn v13_the_list_of_an_authoritys_former_key_is_not_replaced_by_that_of_its_new_one() {
    let (old, new) = (root("Root").self_signed(), root("Root").self_signed());
    let clients = [&old, &new].map(|root| leaf("acme").signed_by(root));
    let verifier = |lists: &[List<'_>]| {
        let lists = lists.iter().map(|list| RevocationList::read(&list.der()));
        let trust = Trust::new(1, vec![ca(&[&old, &new])]).unwrap();
        Verifier::new(trust.with_lists(lists.map(Result::unwrap).collect()))
    };
    let states = |verifier: &Verifier| {
        let lists = verifier.trust().lists(moment(0));
        lists
            .iter()
            .map(|list| list.is_replaced)
            .collect::<Vec<_>>()
    };
    let ended = list(&old, &[]).dates(-900, Some(-100));
    let by_new = list(&new, &[]).dates(-50, Some(100));
    let both = verifier(&[ended, by_new]);
    // The clients of the former key are refused, and that is told.
    assert_eq!(
        reasons(&judge(&both, &clients[0])),
        [Reason::RevocationUnknown]
    );
    accepted(&both, &clients[1]);
    assert_eq!(states(&both), [false, false]);
    assert!(
        both.trust().lists(moment(0))[0]
            .warning(moment(0))
            .is_some()
    );
    // The control: a newer list by the same key.
    let ended = list(&old, &[]).dates(-900, Some(-100));
    let newer = list(&old, &[]).dates(-50, Some(100));
    assert_eq!(states(&verifier(&[ended, newer])), [true, false]);
}
