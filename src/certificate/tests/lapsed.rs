//! The cases V11 and V16 as far as they are about grace: it forgives a certificate's own end, and
//! nothing else, nor anything beside it.

use std::time::Duration;

use super::*;
use crate::pki::{intermediate, leaf, root};

const HOUR: Duration = Duration::from_hours(1);

fn lapsed(verifier: &Verifier, issued: &Issued, at: i64) -> Option<Lapsed> {
    verifier
        .verify(&chain(issued), moment(at))
        .lapsed(moment(at))
}

#[test]
fn v11_a_certificate_has_lapsed_from_its_end_on_and_is_within_a_grace_until_that_is_over() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let client = leaf("acme").dates(-7200, -10).signed_by(&root);
    let end = Timestamp::from_unix(moment(-10).as_unix());
    // One verdict, asked at several moments, and a new one at each.
    let first = verifier.verify(&chain(&client), moment(-100));
    assert!(first.at(moment(-100)).is_ok() && first.lapsed(moment(-100)).is_none());
    for (at, within) in [(-10, true), (0, true), (3589, true), (3590, false)] {
        for lapsed in [first.lapsed(moment(at)), lapsed(&verifier, &client, at)] {
            let lapsed = lapsed.expect("it has ended");
            assert_eq!((lapsed.ended(), lapsed.is_within(HOUR)), (end, within));
            assert_eq!(lapsed.rejected().reason(), Reason::Expired);
        }
    }
    assert!(lapsed(&verifier, &client, -11).is_none());
    assert!(lapsed(&verifier, &client, -7201).is_none(), "not yet valid");
}

#[test]
fn v16_grace_for_the_end_hides_no_other_problem() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let old = |name: &str| leaf(name).dates(-7200, -10);
    assert!(lapsed(&verifier, &old("acme").signed_by(&root), 0).is_some());

    let stranger = pki::root("Stranger").self_signed();
    let twin = pki::root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let ended = intermediate("Ended").dates(-7200, -10).signed_by(&root);
    let later = intermediate("Later").dates(100, 200).signed_by(&root);
    let server = old("acme").purposes(&["serverAuth"]);
    for (what, issued) in [
        ("a stranger's", old("acme").signed_by(&stranger)),
        ("another Root's", old("acme").signed_by(&twin)),
        ("its own", old("acme").self_signed()),
        ("wrong purpose", server.signed_by(&root)),
        ("its issuer has ended too", old("acme").signed_by(&ended)),
        ("its issuer is to come", old("acme").signed_by(&later)),
        ("no intermediate", old("acme").signed_by(&issuing).with(&[])),
        (
            "weak",
            old("acme").kind(pki::Kind::Rsa(1024)).signed_by(&root),
        ),
    ] {
        assert!(lapsed(&verifier, &issued, 0).is_none(), "{what}");
        assert!(judge(&verifier, &issued).is_err(), "{what}");
    }
    assert!(lapsed(&verifier, &old("acme").signed_by(&issuing), 0).is_some());
}
