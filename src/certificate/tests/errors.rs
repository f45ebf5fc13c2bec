//! Each error of OpenSSL that a client's certificate can meet, with a certificate that meets it,
//! and the reason that it stands for. docs/CERTIFICATES.md is the same table for people.

use super::*;
use crate::certificate::chain::Link;
use crate::certificate::judge::stack;
use crate::certificate::run::{Demands, Presented, Run, run};
use crate::pki::{Kind, intermediate, leaf, root, tlv};
use crate::tls::hash::MessageDigest;
use crate::tls::x509::X509;

/// Those that are no word on the reason: dates, what is not DER, and who is not known here.
const JUDGED_BY_US: [i32; 6] = [9, 10, 13, 18, 19, 20];

const TABLE: &str = include_str!("../../../docs/CERTIFICATES.md");

/// What the library stops at, with all our demands.
fn library_strict(root: &Issued, issued: &Issued, valid_at: Option<Timestamp>) -> i32 {
    let trust = Trust::new(1, vec![ca(&[root])]).unwrap();
    let demands = Demands::of(&trust.authorities[0], valid_at);
    let run = carried_out(root, issued, demands);
    run.outcome.map_or_else(|fault| fault.code, |()| 0)
}

pub(super) fn carried_out(root: &Issued, issued: &Issued, demands: Demands) -> Run {
    let read = |x509: &X509| Link::read(x509).ok();
    let sent: Vec<_> = issued.intermediates.iter().filter_map(read).collect();
    let presented = Presented {
        leaf: Link {
            x509: issued.x509.clone(),
            ..Link::read(&leaf("any").self_signed().x509).ok().unwrap()
        },
        others: stack(sent.iter()).unwrap(),
        sent,
        known: &[],
        resumed: false,
        now: moment(0),
    };
    let trust = Trust::new(1, vec![ca(&[root])]).unwrap();
    run(&trust.authorities[0], demands, &presented)
}

/// An intermediate with name constraints of one subtree, and a client below it with such names.
fn constrained(root: &Issued, excluded: bool, subtree: &[u8], names: &[u8]) -> Issued {
    let names = tlv(0x30, names);
    leaf("acme")
        .extension("2.5.29.17", false, &names)
        .signed_by(&narrow(root, excluded, subtree))
}

fn narrow(root: &Issued, excluded: bool, subtree: &[u8]) -> Issued {
    let tag = if excluded { 0xa1 } else { 0xa0 };
    let constraint = tlv(0x30, &tlv(tag, &tlv(0x30, subtree)));
    let issuer = intermediate("Narrow").extension("2.5.29.30", true, &constraint);
    issuer.signed_by(root)
}

/// Chains under one root, each with the error that it meets and the reason that it is told.
#[expect(clippy::too_many_lines, reason = "one entry for each error")]
pub(super) fn specimens(root: &Issued) -> Vec<(i32, Reason, Issued)> {
    use Reason::{ChainIncomplete, Invalid, Untrusted, Weak, WrongPurpose};
    let stranger = pki::root("Stranger").self_signed();
    let below = |issuer: pki::Spec| leaf("acme").signed_by(&issuer.signed_by(root));
    let direct = |spec: pki::Spec| spec.signed_by(root);
    let good = || leaf("acme");
    let dns = |name: &[u8]| tlv(0x82, name);
    let policies = |value: &[u8]| tlv(0x30, value);
    let policy = tlv(0x30, &[6, 3, 0x2a, 3, 4]);
    let skid = root.x509.subject_key_id().unwrap().as_slice().to_vec();
    let akid = tlv(0x30, &tlv(0x80, &skid));
    let forger = pki::root("Root").skid(&skid).self_signed();
    let deep = (0..5).fold(root.clone(), |issuer, depth| {
        intermediate(&format!("I{depth}")).signed_by(&issuer)
    });
    let plain = direct(good());
    vec![
        (9, Reason::NotYetValid, direct(good().dates(500, 900))),
        (10, Reason::Expired, direct(good().dates(-900, -500))),
        #[cfg(feature = "openssl")]
        (
            13,
            Invalid,
            plain
                .clone()
                .altered(root, &[0x17, 13, b'2'], &[0x17, 13, b'x']),
        ),
        (7, Untrusted, leaf("acme").signed_by(&forger)),
        (18, Untrusted, good().self_signed()),
        (
            19,
            Untrusted,
            good().signed_by(&stranger).with(&[&stranger.x509]),
        ),
        (20, ChainIncomplete, good().signed_by(&stranger)),
        (22, Invalid, good().signed_by(&deep)),
        (
            25,
            Invalid,
            good().signed_by(
                &intermediate("Low").signed_by(&intermediate("High").path_len(0).signed_by(root)),
            ),
        ),
        (26, WrongPurpose, direct(good().purposes(&["serverAuth"]))),
        (
            34,
            Invalid,
            direct(good().extension("1.2.3.4.5", true, &[5, 0])),
        ),
        (
            40,
            Invalid,
            direct(leaf("acme").no_basic_constraints().extension(
                "1.3.6.1.5.5.7.1.14",
                true,
                &tlv(0x30, &tlv(0x30, &[6, 8, 0x2b, 6, 1, 5, 5, 7, 21, 1])),
            )),
        ),
        (
            41,
            Invalid,
            direct(good().extension(
                "1.3.6.1.5.5.7.1.7",
                true,
                &tlv(
                    0x30,
                    &tlv(
                        0x30,
                        &[&[4, 2, 0, 1][..], &tlv(0x30, &[3, 2, 0, 11, 3, 2, 0, 10])].concat(),
                    ),
                ),
            )),
        ),
        (
            42,
            Invalid,
            direct(good().extension(
                "2.5.29.32",
                false,
                &policies(&[policy.clone(), policy.clone()].concat()),
            )),
        ),
        (
            43,
            Invalid,
            below(intermediate("Demands").extension("2.5.29.36", true, &tlv(0x30, &[0x80, 1, 0]))),
        ),
        (
            46,
            Invalid,
            direct(good().extension(
                "1.3.6.1.5.5.7.1.7",
                true,
                &tlv(
                    0x30,
                    &tlv(
                        0x30,
                        &[&[4, 2, 0, 1][..], &tlv(0x30, &[3, 2, 0, 10])].concat(),
                    ),
                ),
            )),
        ),
        (
            47,
            Invalid,
            constrained(root, false, &dns(b"example.com"), &dns(b"a.example.org")),
        ),
        (
            48,
            Invalid,
            constrained(root, true, &dns(b"example.com"), &dns(b"a.example.com")),
        ),
        (
            49,
            Invalid,
            constrained(
                root,
                false,
                &[dns(b"example.com"), vec![0x80, 1, 1]].concat(),
                &dns(b"a.example.com"),
            ),
        ),
        (
            51,
            Invalid,
            constrained(root, false, &[0x88, 3, 0x2a, 3, 4], &[0x88, 3, 0x2a, 3, 4]),
        ),
        (
            53,
            Invalid,
            constrained(
                root,
                false,
                &tlv(0x81, b"example.com"),
                &tlv(0x81, b"nobody"),
            ),
        ),
        (66, Weak, direct(good().kind(Kind::Rsa(1024)))),
        (67, Weak, below(intermediate("Small").kind(Kind::Rsa(1024)))),
        (68, Weak, direct(good().digest(MessageDigest::sha1()))),
        (
            78,
            Invalid,
            plain
                .clone()
                .altered(root, &[0xce, 0x3d, 4, 3, 2], &[0xce, 0x3d, 4, 3, 3]),
        ),
        (
            79,
            Invalid,
            below(intermediate("None").ca(false).no_key_usage()),
        ),
        (80, Invalid, direct(good().path_len(0))),
        (81, Invalid, direct(good().ca(true).path_len(0))),
        (
            82,
            Invalid,
            direct(good().key_usage(&["digitalSignature", "keyCertSign"])),
        ),
        (84, Invalid, direct(good().empty_subject())),
        (85, Invalid, direct(good().no_key_ids())),
        (83, Invalid, below(intermediate("x").empty_subject())),
        (
            86,
            Invalid,
            good().extension("2.5.29.35", false, &akid).signed_by(
                &intermediate("Bare")
                    .no_key_ids()
                    .extension("2.5.29.35", false, &akid)
                    .signed_by(root),
            ),
        ),
        (
            87,
            Invalid,
            direct(good().extension("2.5.29.17", false, &[0x30, 0])),
        ),
        (
            88,
            Invalid,
            direct(good().empty_subject().names(&["a.example.com"])),
        ),
        (89, Invalid, below(intermediate("Soft").ca_not_critical())),
        (92, Invalid, below(intermediate("Silent").no_key_usage())),
        #[cfg(feature = "openssl")]
        (
            93,
            Invalid,
            plain
                .clone()
                .altered(root, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]),
        ),
        (
            94,
            Invalid,
            direct(good().public(&library::explicit_curve())),
        ),
    ]
}

/// What else is wrong with the certificate that meets this error.
const fn also(code: i32) -> Option<Reason> {
    match code {
        // What is signed names another algorithm, so that the signature is not one of it.
        78 => Some(Reason::Untrusted),
        // A length of path needs an authority, which is no client.
        81 => Some(Reason::WrongPurpose),
        _ => None,
    }
}

/// The rows of the table: each error, and the reason that it is told, when it can be met.
fn rows() -> Vec<(i32, Option<&'static str>)> {
    let rows = TABLE.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let code = cells.next()?.parse().ok()?;
        let told = cells.nth(1)?;
        let reason = told
            .strip_prefix('`')
            .and_then(|told| told.split('`').next());
        Some((code, reason))
    });
    rows.collect()
}

#[test]
fn each_error_of_openssl_has_its_reason_and_a_certificate_that_meets_it() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let good = leaf("acme").signed_by(&root);
    let now = Some(moment(0));
    assert_eq!(library_strict(&root, &good, now), 0);
    accepted(&verifier, &good);
    let specimens = specimens(&root);
    let rows = rows();
    let codes: Vec<_> = rows.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, (1..=101).collect::<Vec<_>>());
    for (code, reason, issued) in &specimens {
        let met = library_strict(&root, issued, now);
        if cfg!(feature = "boringssl") {
            // It has fewer errors, and looks for them in another order.
            assert_ne!(met, 0, "{code}");
        } else {
            assert_eq!(met, *code);
        }
        let told = judge(&verifier, issued);
        let mut expected: Vec<_> = [*reason].into_iter().chain(also(*code)).collect();
        expected.sort();
        if cfg!(feature = "boringssl") {
            // Where it can use an extension for nothing, it builds no chain.
            assert!(reasons(&told).contains(reason), "{code}: {told:?}");
        } else {
            assert_eq!(reasons(&told), expected, "{code}: {told:?}");
        }
        let mapped = (!JUDGED_BY_US.contains(code)).then_some(*reason);
        assert_eq!(codes::reason(*code), mapped, "{code}");
        let row = rows.iter().find(|(other, _)| other == code).unwrap();
        assert_eq!(row.1, Some(reason.code()), "docs/CERTIFICATES.md: {code}");
    }
    // Of lists there are tests of their own; the other end of the dates is read no differently.
    let tried = |code: i32| {
        // BoringSSL cannot read the last two: `library.rs` has them.
        [14, 23, 13, 93].contains(&code) || specimens.iter().any(|s| s.0 == code)
    };
    for (code, reason) in rows {
        assert_eq!(
            reason.is_some(),
            tried(code),
            "docs/CERTIFICATES.md: {code}"
        );
        // What is not met has no reason of its own, should it ever be.
        let mapped = codes::reason(code).filter(|_| !tried(code));
        assert!(
            mapped.is_none_or(|reason| reason == Reason::Invalid),
            "{code}"
        );
    }
}

#[test]
fn an_ill_formed_name_slips_through_no_constraint() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let dns = |name: &str| tlv(0x82, name.as_bytes());
    let email = |name: &str| tlv(0x81, name.as_bytes());
    for (excluded, subtree, good, bad) in [
        (
            false,
            dns("example.com"),
            dns("a.example.com"),
            dns(".example.com"),
        ),
        (
            true,
            dns("example.com"),
            dns("a.example.org"),
            dns("a.example.com."),
        ),
        (
            false,
            email("example.com"),
            email("a@example.com"),
            email("a@example.org@example.com"),
        ),
        (
            true,
            email("example.com"),
            email("a@example.org"),
            email("a@example.com."),
        ),
    ] {
        accepted(&verifier, &constrained(&root, excluded, &subtree, &good));
        let client = constrained(&root, excluded, &subtree, &bad);
        // The controls: OpenSSL lets it pass, and so do we where nothing constrains it.
        #[cfg(feature = "openssl")]
        assert_eq!(library_strict(&root, &client, Some(moment(0))), 0);
        let names = tlv(0x30, &bad);
        let free = leaf("acme").extension("2.5.29.17", false, &names);
        accepted(&verifier, &free.signed_by(&root));
        let problem = refused(&verifier, &client, Reason::Invalid);
        assert!(codes::is_name_constraint(problem.fault), "{problem:?}");
        assert!(problem.detail.contains("ill-formed"), "{}", problem.detail);
    }
    // The address in a subject is no alternative name, and constrained all the same.
    for (address, is_good) in [("a@example.org", true), ("a@example.com.", false)] {
        const EMAIL_ADDRESS: &str = "1.2.840.113549.1.9.1";
        let issuer = narrow(&root, true, &email("example.com"));
        let client = leaf("Acme Inc").entry(EMAIL_ADDRESS, 0x16, address.as_bytes());
        let client = client.signed_by(&issuer);
        if is_good {
            accepted(&verifier, &client);
        } else {
            #[cfg(feature = "openssl")]
            assert_eq!(library_strict(&root, &client, Some(moment(0))), 0);
            refused(&verifier, &client, Reason::Invalid);
        }
    }
}
