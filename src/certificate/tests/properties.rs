//! Whatever is wrong with a certificate, alone or together: it is refused, and all of it is told.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::pki::{Kind, Spec, intermediate, leaf, root};
use crate::tls::hash::MessageDigest;
use crate::tls::pkey::{PKey, Private};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    Stranger,
    Forged,
    NoIntermediate,
    ExpiredLeaf,
    EarlyLeaf,
    ExpiredIntermediate,
    ServerOnly,
    NoPurpose,
    NoSignatures,
    ServerIntermediate,
    Sha1,
    SmallKey,
    Sha1Intermediate,
    Critical,
    CriticalIntermediate,
    IntermediateIsNone,
    TooDeep,
}

use Defect::*;

const ALL: [Defect; 17] = [
    Stranger,
    Forged,
    NoIntermediate,
    ExpiredLeaf,
    EarlyLeaf,
    ExpiredIntermediate,
    ServerOnly,
    NoPurpose,
    NoSignatures,
    ServerIntermediate,
    Sha1,
    SmallKey,
    Sha1Intermediate,
    Critical,
    CriticalIntermediate,
    IntermediateIsNone,
    TooDeep,
];

struct Authorities {
    root: Issued,
    stranger: Issued,
    forger: Issued,
    small: PKey<Private>,
}

static PKI: LazyLock<Authorities> = LazyLock::new(|| Authorities {
    root: root("Root").skid(&[1; 20]).self_signed(),
    stranger: root("Stranger").self_signed(),
    forger: root("Root").skid(&[1; 20]).self_signed(),
    small: pki::new_key(Kind::Rsa(1024)),
});

/// A certificate with these defects, and the reasons that must be told.
fn defective(defects: &[Defect]) -> (Issued, BTreeSet<Reason>) {
    let has = |defect| defects.contains(&defect);
    let mut reasons = BTreeSet::new();
    let mut apply = |spec: Spec, defect, reason, change: &dyn Fn(Spec) -> Spec| {
        if has(defect) {
            reasons.insert(reason);
            change(spec)
        } else {
            spec
        }
    };
    let critical = |spec: Spec| spec.extension("1.2.3.4.5", true, &[5, 0]);
    let mut ca = intermediate("Issuing");
    ca = apply(ca, ExpiredIntermediate, Reason::Expired, &|s| {
        s.dates(-200, -100)
    });
    ca = apply(ca, ServerIntermediate, Reason::WrongPurpose, &|s| {
        s.purposes(&["serverAuth"])
    });
    ca = apply(ca, Sha1Intermediate, Reason::Weak, &|s| {
        s.digest(MessageDigest::sha1())
    });
    ca = apply(ca, CriticalIntermediate, Reason::Invalid, &critical);
    ca = apply(ca, IntermediateIsNone, Reason::Invalid, &|s| s.ca(false));
    let mut client = leaf("acme");
    client = apply(client, ExpiredLeaf, Reason::Expired, &|s| {
        s.dates(-200, -100)
    });
    client = apply(client, EarlyLeaf, Reason::NotYetValid, &|s| {
        s.dates(100, 200)
    });
    client = apply(client, ServerOnly, Reason::WrongPurpose, &|s| {
        s.purposes(&["serverAuth"])
    });
    client = apply(client, NoPurpose, Reason::WrongPurpose, &|s| {
        s.no_purposes()
    });
    client = apply(client, NoSignatures, Reason::WrongPurpose, &|s| {
        s.key_usage(&["keyEncipherment"])
    });
    client = apply(client, Sha1, Reason::Weak, &|s| {
        s.digest(MessageDigest::sha1())
    });
    client = apply(client, SmallKey, Reason::Weak, &|s| s.key(&PKI.small));
    client = apply(client, Critical, Reason::Invalid, &critical);
    client = apply(client, Stranger, Reason::Untrusted, &|s| s);
    client = apply(client, Forged, Reason::Untrusted, &|s| s);
    client = apply(client, TooDeep, Reason::Invalid, &|s| s);
    client = apply(client, NoIntermediate, Reason::ChainIncomplete, &|s| s);

    let mut top = match (has(Stranger), has(Forged)) {
        (true, _) => PKI.stranger.clone(),
        (false, true) => PKI.forger.clone(),
        (false, false) => PKI.root.clone(),
    };
    let trusted = top.x509.clone();
    if has(TooDeep) {
        top = intermediate("Upper").signed_by(&top);
    }
    let issuing = ca.signed_by(&top);
    let mut issued = client.signed_by(&issuing);
    if has(Stranger) {
        issued.intermediates.push(trusted);
    }
    if has(NoIntermediate) {
        issued.intermediates.clear();
    }
    (issued, reasons)
}

/// Defects that can be seen together: without the chain nobody can tell what is wrong with it, and
/// of two defects of one place only one can be there.
fn visible(defects: &[Defect]) -> bool {
    let has = |defect| defects.contains(&defect);
    let clash = |a, b| has(a) && has(b);
    let hidden = [
        Stranger,
        Forged,
        ExpiredIntermediate,
        ServerIntermediate,
        Sha1Intermediate,
        CriticalIntermediate,
        IntermediateIsNone,
        TooDeep,
    ];
    let clashes = [
        // A stranger's chain has no limit of ours.
        clash(Stranger, TooDeep),
        clash(Stranger, Forged),
        clash(ExpiredLeaf, EarlyLeaf),
        clash(ServerOnly, NoPurpose),
        has(NoIntermediate) && hidden.into_iter().any(has),
    ];
    clashes == [false; 5]
}

fn check(defects: &[Defect]) -> Result<(), TestCaseError> {
    let (issued, expected) = defective(defects);
    let authority = Ca {
        max_depth: 1,
        ..ca(&[&PKI.root])
    };
    let result = judge(&verifier(vec![authority]), &issued);
    prop_assert_eq!(result.is_ok(), defects.is_empty(), "{:?}", defects);
    let told: BTreeSet<_> = reasons(&result).into_iter().collect();
    if visible(defects) {
        let problems = result
            .as_ref()
            .err()
            .map(|rejected| rejected.problems().to_vec());
        prop_assert!(expected.is_subset(&told), "{:?}: {:?}", defects, problems);
        // Nothing is made up either.
        prop_assert_eq!(&told, &expected, "{:?}: {:?}", defects, problems);
    }
    Ok(())
}

#[test]
fn each_defect_alone_and_each_pair_is_told() {
    check(&[]).unwrap();
    for (i, a) in ALL.into_iter().enumerate() {
        check(&[a]).unwrap();
        for b in ALL.into_iter().skip(i.saturating_add(1)) {
            check(&[a, b]).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_defects_are_refused_and_all_are_told(defects in subsequence(ALL.to_vec(), 0..=6)) {
        check(&defects)?;
    }
}
