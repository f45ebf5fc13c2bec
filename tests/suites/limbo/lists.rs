//! Revocation lists (RFC 5280 sections 5 and 6.3).

use super::Expect::{self, Bad, Good};
use super::{Case, bad, client, good};
use crate::list::{List, extension, list};
use crate::pki::{Issued, intermediate, root, tlv};

const DAY: i64 = 86_400;
const NUMBER: &[u8] = &[0x55, 0x1d, 20];
const SCOPE: &[u8] = &[0x55, 0x1d, 28];
const POINTS: &str = "2.5.29.31";
/// 1.3.6.1.4.1.55738.666.1
const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xb3, 0x3a, 0x85, 0x1a, 1];
/// A certificate that is in no case.
const SOMEBODY: &[u8] = &[0x17; 16];

pub(super) fn cases() -> Vec<Case> {
    [simple(), issuers(), strange(), scopes(), moments()]
        .into_iter()
        .flatten()
        .collect()
}

/// A list with somebody else on it.
fn other(issuer: &Issued) -> List<'_> {
    list(issuer, &[]).revoke([SOMEBODY.to_vec()])
}

fn simple() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let own = &client().signed_by(root);
    let many = (0..10_000_u32).map(|n| [&[0x17; 12][..], &n.to_be_bytes()].concat());
    let with = |expect, id, list: &_| Case::new(expect, id, root, own.clone()).by(list);
    vec![
        with(
            Bad,
            "rfc5280::crl::revoked-certificate-with-crl",
            &list(root, &[own]).number(1, None),
        ),
        with(Bad, "rfc5280::crl::crlnumber-missing", &other(root)),
        with(
            Bad,
            "rfc5280::crl::crlnumber-critical",
            &other(root).extension(NUMBER, true, &[2, 1, 1]),
        ),
        with(
            Good,
            "rfc5280::crl::certificate-not-on-crl",
            &other(root).revoke([vec![0x18; 16]]).number(1, None),
        ),
        with(
            Good,
            "rfc5280::crl::crl-empty",
            &list(root, &[]).number(1, None),
        ),
        with(
            Good,
            "rfc5280::crl::crl-very-large",
            &list(root, &[]).revoke(many).number(1, None),
        ),
    ]
}

/// A list of an authority that says this, or nothing, of what its key is for.
fn of_issuer(expect: Expect, id: &str, usage: Option<&[&'static str]>) -> Case {
    let plain = root("Root").no_key_usage();
    let root = match usage {
        Some(usage) => plain.key_usage(usage),
        None => plain,
    };
    let root = root.self_signed();
    let case = Case::new(expect, id, &root, client().signed_by(&root));
    case.by(&other(&root).number(1, None))
}

fn issuers() -> Vec<Case> {
    let [first, second] = ["Root CA 1", "Root CA 2"].map(|name| root(name).self_signed());
    let nobody = root("Nobody").self_signed();
    let own = client().signed_by(&first);
    let signed = |signer| other(&first).number(1, None).signed_by(signer);
    vec![
        good(
            "rfc5280::crl::certificate-serial-on-crl-different-issuer",
            &first,
            own.clone(),
        )
        .trusting(&second)
        .by(&list(&first, &[]).number(1, None))
        .by(&list(&second, &[&own]).number(1, None)),
        of_issuer(
            Bad,
            "rfc5280::crl::issuer-missing-crlsign",
            Some(&["keyCertSign"]),
        ),
        of_issuer(Good, "rfc5280::crl::issuer-no-keyusage-extension", None),
        of_issuer(
            Good,
            "rfc5280::crl::issuer-valid-crlsign-and-keycertsign",
            Some(&["keyCertSign", "cRLSign"]),
        ),
        bad("rfc5280::crl::crl-invalid-signature", &first, own.clone()).by(&signed(&nobody)),
        bad("rfc5280::crl::crl-wrong-signing-key", &first, own)
            .trusting(&second)
            .by(&signed(&second)),
    ]
}

fn strange() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let own = &client().signed_by(root);
    let of_list = |critical| {
        other(root)
            .number(1, None)
            .extension(UNKNOWN, critical, &[5, 0])
    };
    let of_entry = |critical| {
        let unknown = extension(UNKNOWN, critical, &[5, 0]);
        list(root, &[own]).of_each(&unknown).number(1, None)
    };
    vec![
        bad(
            "rfc5280::crl::crl-unknown-critical-extension",
            root,
            own.clone(),
        )
        .by(&of_list(true)),
        good(
            "rfc5280::crl::crl-unknown-noncritical-extension",
            root,
            own.clone(),
        )
        .by(&of_list(false)),
        bad(
            "rfc5280::crl::entry-unknown-critical-extension",
            root,
            own.clone(),
        )
        .by(&of_entry(true)),
        bad(
            "rfc5280::crl::entry-unknown-noncritical-extension",
            root,
            own.clone(),
        )
        .by(&of_entry(false)),
    ]
}

fn scopes() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let place = |uri: &str| tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes())));
    let (here, there) = (
        place("http://example.com/a.crl"),
        place("http://example.com/b.crl"),
    );
    let pointing = |place: &[u8]| {
        let points = tlv(0x30, &tlv(0x30, place));
        client().extension(POINTS, false, &points).signed_by(root)
    };
    let of = |issuer, scope: &[u8]| {
        list(issuer, &[])
            .number(1, None)
            .extension(SCOPE, true, &tlv(0x30, scope))
    };
    let (users, authorities, attributes) = ([0x81, 1, 0xff], [0x82, 1, 0xff], [0x85, 1, 0xff]);
    let issuing = intermediate("Issuing").signed_by(root);
    let plain: &Issued = &client().signed_by(root);
    vec![
        bad(
            "rfc5280::crl::idp-cdp-scope-mismatch",
            root,
            pointing(&here),
        )
        .by(&of(root, &there)),
        good("rfc5280::crl::idp-cdp-scope-match", root, pointing(&here)).by(&of(root, &here)),
        bad(
            "rfc5280::crl::idp-only-contains-user-certs-ca-target",
            root,
            client().signed_by(&issuing),
        )
        .by(&of(root, &users))
        .by(&list(&issuing, &[]).number(1, None)),
        bad(
            "rfc5280::crl::idp-only-contains-ca-certs-ee-target",
            root,
            plain.clone(),
        )
        .by(&of(root, &authorities)),
        bad(
            "rfc5280::crl::idp-present-certificate-missing-cdp",
            root,
            plain.clone(),
        )
        .by(&of(root, &here)),
        bad(
            "rfc5280::crl::idp-only-contains-attribute-certs",
            root,
            plain.clone(),
        )
        .by(&of(root, &attributes)),
    ]
}

fn moments() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let own = &client().dates(-30 * DAY, 30 * DAY).signed_by(root);
    let during = |from, until| list(root, &[]).dates(from, Some(until)).number(1, None);
    let revoked = |at| list(root, &[own]).at(at).number(1, None);
    let judged = |id, list: &_| bad(id, root, own.clone()).by(list);
    vec![
        judged(
            "rfc5280::crl::this-update-in-future",
            &during(DAY, 30 * DAY),
        ),
        judged(
            "rfc5280::crl::next-update-in-past",
            &during(-60 * DAY, -30 * DAY),
        ),
        judged("rfc5280::crl::revocation-date-in-future", &revoked(DAY)),
        judged(
            "rfc5280::crl::revocation-date-before-not-before",
            &revoked(-60 * DAY),
        ),
        judged(
            "rfc5280::crl::crl-validity-no-overlap",
            &during(-365 * DAY, -180 * DAY),
        ),
    ]
}
