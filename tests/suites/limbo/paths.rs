//! How chains are built, how long they may be, and when they are valid (RFC 5280 sections 4.1.2.5,
//! 4.2.1.9 and 6.1).

use super::{Case, bad, client, good};
use crate::pki::{Issued, intermediate, leaf, now, root, tlv};

pub(super) fn cases() -> Vec<Case> {
    [lengths(), moments(), graphs(), keys()]
        .into_iter()
        .flatten()
        .collect()
}

fn lengths() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let below = |issuer: &Issued, name: &str, most: u32| {
        intermediate(name).path_len(most).signed_by(issuer)
    };
    let [none, one, two] = [0, 1, 2].map(|most| below(root, "First", most));
    let below_none = below(&none, "Second", 0);
    let next = below(&one, "Second", 0);
    let itself = below(&one, "First", 1);
    vec![
        good(
            "pathlen::ee-with-intermediate-pathlen-0",
            root,
            client().signed_by(&none),
        ),
        good(
            "pathlen::ee-with-intermediate-pathlen-1",
            root,
            client().signed_by(&one),
        ),
        good(
            "pathlen::ee-with-intermediate-pathlen-2",
            root,
            client().signed_by(&two),
        ),
        good(
            "pathlen::validation-ignores-pathlen-in-leaf",
            root,
            below_none.clone(),
        ),
        bad(
            "pathlen::intermediate-violates-pathlen-0",
            root,
            client().signed_by(&below_none),
        ),
        good(
            "pathlen::intermediate-pathlen-may-increase",
            root,
            client().signed_by(&below(&one, "Second", 2)),
        ),
        bad(
            "pathlen::intermediate-pathlen-too-long",
            root,
            client().signed_by(&below(&next, "Third", 0)),
        ),
        good(
            "pathlen::self-issued-certs-pathlen",
            root,
            client().signed_by(&below(&itself, "Second", 0)),
        ),
    ]
}

fn moments() -> Vec<Case> {
    const ALWAYS: (i64, i64) = (-9000, 9000);
    const PAST: (i64, i64) = (-9000, -100);
    let chain = |id, (from, until): (i64, i64), issuing: (i64, i64), own: (i64, i64)| {
        let root = root("Root").dates(from, until).self_signed();
        let issuing = intermediate("Issuing")
            .dates(issuing.0, issuing.1)
            .signed_by(&root);
        bad(id, &root, client().dates(own.0, own.1).signed_by(&issuing))
    };
    let at = now();
    // All three begin and end together.
    let together = |from, until| {
        let root = root("Root").dates_unix(from, until).self_signed();
        let issuing = intermediate("Issuing")
            .dates_unix(from, until)
            .signed_by(&root);
        let client = client().dates_unix(from, until).signed_by(&issuing);
        (root, client)
    };
    let (new_root, new) = together(at, at + 1000);
    let (next_root, next) = together(at + 1, at + 1000);
    let (old_root, old) = together(at - 1000, at);
    vec![
        chain("rfc5280::validity::expired-root", PAST, ALWAYS, ALWAYS),
        chain(
            "rfc5280::validity::expired-intermediate",
            ALWAYS,
            PAST,
            ALWAYS,
        ),
        chain("rfc5280::validity::expired-leaf", ALWAYS, ALWAYS, PAST),
        good("rfc5280::validity::notbefore-exact", &new_root, new).at(at),
        // Fractions of a second are cut off before anything is compared.
        bad("rfc5280::validity::notbefore-fractional", &next_root, next).at(at),
        good("rfc5280::validity::notafter-exact", &old_root, old.clone()).at(at),
        good("rfc5280::validity::notafter-fractional", &old_root, old).at(at),
    ]
}

fn graphs() -> Vec<Case> {
    let (first, second) = (root("Root").self_signed(), root("Root 2").self_signed());
    // The certificate of `whose` by another issuer.
    let crossed = |name: &str, whose: &Issued, issuer: &Issued| {
        intermediate(name).key(&whose.key).signed_by(issuer)
    };
    let expired = intermediate("Root")
        .key(&first.key)
        .path_len(1)
        .dates(-9000, -5000);
    let expired = expired.signed_by(&second);
    let cycle = |id, names: [&str; 2]| {
        let upper = root(names[1]).self_signed();
        let lower = intermediate(names[0]).signed_by(&upper);
        let closing = crossed(names[1], &upper, &lower);
        let client = client().signed_by(&lower);
        bad(id, &first, client.with(&[&lower.x509, &closing.x509]))
    };
    let [a, b, c] = ["Root A", "Root B", "Root C"].map(|name| root(name).self_signed());
    let issuing = intermediate("Intermediate A1").signed_by(&a);
    let others = [
        crossed("Root A", &a, &b),
        crossed("Root A", &a, &c),
        intermediate("Intermediate B1").signed_by(&b),
        crossed("Root B", &b, &a),
        crossed("Root B", &b, &c),
        intermediate("Intermediate C1").signed_by(&c),
        crossed("Root C", &c, &a),
        crossed("Root C", &c, &b),
    ];
    let sent = [&issuing]
        .into_iter()
        .chain(&others)
        .map(|issued| &issued.x509);
    let names = tlv(0x30, &tlv(0x82, b"cve-2024-0567.example.com"));
    let nameless = leaf("")
        .empty_subject()
        .extension("2.5.29.17", true, &names);
    vec![
        good(
            "pathological::multiple-chains-expired-intermediate",
            &first,
            client().signed_by(&first).with(&[&expired.x509]),
        )
        .trusting(&second),
        cycle(
            "pathological::intermediate-cycle-distinct-cas",
            ["One", "Two"],
        ),
        cycle(
            "pathological::intermediate-cycle-same-logical-ca",
            ["Same", "Same"],
        ),
        good(
            "cve::cve-2024-0567",
            &a,
            nameless.signed_by(&issuing).with(&sent.collect::<Vec<_>>()),
        ),
    ]
}

fn keys() -> Vec<Case> {
    let (trusted, other) = (root("Root").self_signed(), root("Root").self_signed());
    let issuing = intermediate("Issuing").signed_by(&other);
    let client = client().signed_by(&issuing);
    let key = issuing.key.public_key_to_der().expect("DER");
    // An RSA key without a number in it.
    let rsa = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let empty = tlv(0x30, &[tlv(0x30, &rsa), vec![3, 1, 0]].concat());
    let broken = issuing.altered(&other, &key, &empty);
    vec![bad(
        "invalid::invalid-issuer-key",
        &trusted,
        client.with(&[&broken.x509]),
    )]
}
