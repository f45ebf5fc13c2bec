//! What the two TLS libraries judge differently: docs/BORINGSSL.md has the list. Each test runs with
//! either, and whatever differs is refused by BoringSSL alone.

use super::*;
use crate::list::list;
use crate::pki::{Kind, intermediate, leaf, new_key, oid_der, root, tlv};
use crate::tls::hash::MessageDigest;

/// Accepted with OpenSSL, and refused for this reason with BoringSSL.
#[track_caller]
fn differs(verifier: &Verifier, issued: &Issued, reason: Reason) {
    if cfg!(feature = "boringssl") {
        let told = judge(verifier, issued);
        assert_eq!(reasons(&told), [reason], "{told:?}");
    } else {
        accepted(verifier, issued);
    }
}

/// A public key of this kind, which is only looked at.
fn public(kind: &str, key: &[u8]) -> Vec<u8> {
    let bits = tlv(3, &[&[0], key].concat());
    tlv(0x30, &[tlv(0x30, &oid_der(kind)), bits].concat())
}

/// A public key on P-256, which is written out instead of named (SEC 1 appendix C.2).
pub(super) fn explicit_curve() -> Vec<u8> {
    let number = |tag, digits: &str| tlv(tag, &hex::decode(digits).unwrap());
    let field = [
        oid_der("1.2.840.10045.1.1"),
        number(
            2,
            "00ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        ),
    ];
    let curve = [
        number(
            4,
            "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
        ),
        number(
            4,
            "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
        ),
    ];
    let base = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let parameters = [
        tlv(2, &[1]),
        tlv(0x30, &field.concat()),
        tlv(0x30, &curve.concat()),
        number(4, base),
        number(
            2,
            "00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ),
        tlv(2, &[1]),
    ];
    let algorithm = [
        oid_der("1.2.840.10045.2.1"),
        tlv(0x30, &parameters.concat()),
    ];
    let named = new_key(Kind::P256).public_key_to_der().unwrap();
    // The key itself: tag, length, no unused bit, and an uncompressed point.
    let point = named.last_chunk::<68>().unwrap().to_vec();
    tlv(0x30, &[tlv(0x30, &algorithm.concat()), point].concat())
}

#[test]
fn boringssl_knows_neither_ed448_nor_keys_for_rsa_pss() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let of = |spki: &[u8]| leaf("acme").public(spki).signed_by(&root);
    let rsa = new_key(Kind::Rsa(2048)).public_key_to_der().unwrap();
    accepted(&verifier, &of(&rsa));
    let ed448 = public("1.3.101.113", &[7; 57]);
    differs(&verifier, &of(&ed448), Reason::Invalid);
    // After the algorithm (15 bytes), the head of the bits and of itself (9): the key.
    let pss = public("1.2.840.113549.1.1.10", rsa.get(24..).unwrap());
    differs(&verifier, &of(&pss), Reason::Invalid);
}

#[test]
fn boringssl_takes_no_md5_even_where_weak_is_allowed() {
    let root = root("Root").self_signed();
    let lenient = Ca {
        allow_weak: true,
        ..ca(&[&root])
    };
    let verifier = verifier(vec![lenient]);
    let signed = |digest| leaf("acme").digest(digest).signed_by(&root);
    accepted(&verifier, &signed(MessageDigest::sha1()));
    let rsa = pki::root("Root").kind(Kind::Rsa(2048)).self_signed();
    let lenient = Ca {
        allow_weak: true,
        ..ca(&[&rsa])
    };
    let verifier = super::verifier(vec![lenient]);
    accepted(&verifier, &leaf("acme").signed_by(&rsa));
    let md5 = leaf("acme").digest(MessageDigest::md5()).signed_by(&rsa);
    differs(&verifier, &md5, Reason::Untrusted);
}

#[test]
fn boringssl_compares_no_addresses_with_constraints() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let subtree = tlv(0x87, &[10, 0, 0, 0, 255, 0, 0, 0]);
    let constraint = tlv(0x30, &tlv(0xa0, &tlv(0x30, &subtree)));
    let narrow = intermediate("Narrow").extension("2.5.29.30", true, &constraint);
    let narrow = narrow.signed_by(&root);
    let unconstrained = leaf("acme").names(&["acme.example.com"]);
    accepted(&verifier, &unconstrained.signed_by(&narrow));
    let within = leaf("acme").names(&["10.1.2.3"]).signed_by(&narrow);
    differs(&verifier, &within, Reason::Invalid);
    let outside = leaf("acme").names(&["192.0.2.1"]).signed_by(&narrow);
    refused(&verifier, &outside, Reason::Invalid);
}

#[test]
fn boringssl_looks_at_no_address_blocks_so_they_are_refused() {
    const BLOCKS: &str = "1.3.6.1.5.5.7.1.7";
    let block = |prefix: u8| {
        let family = [&[4, 2, 0, 1][..], &tlv(0x30, &[3, 2, 0, prefix])].concat();
        tlv(0x30, &tlv(0x30, &family))
    };
    for critical in [false, true] {
        let root = root("Root").extension(BLOCKS, critical, &block(10));
        let root = root.self_signed();
        let verifier = verifier(vec![ca(&[&root])]);
        let of = |prefix| leaf("acme").extension(BLOCKS, critical, &block(prefix));
        differs(&verifier, &of(10).signed_by(&root), Reason::Invalid);
        refused(&verifier, &of(11).signed_by(&root), Reason::Invalid);
    }
}

#[test]
fn boringssl_compares_no_mailboxes_of_the_newer_kind_so_they_are_refused_where_constrained() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let mailbox = |text: &str| {
        let value = tlv(0xa0, &tlv(0x0c, text.as_bytes()));
        let name = tlv(0xa0, &[oid_der("1.3.6.1.5.5.7.8.9"), value].concat());
        leaf("acme").extension("2.5.29.17", false, &tlv(0x30, &name))
    };
    accepted(&verifier, &mailbox("a@example.com").signed_by(&root));
    let constraint = tlv(0x30, &tlv(0xa0, &tlv(0x30, &tlv(0x81, b"example.com"))));
    let narrow = intermediate("Narrow").extension("2.5.29.30", true, &constraint);
    let narrow = narrow.signed_by(&root);
    let within = mailbox("a@example.com").signed_by(&narrow);
    differs(&verifier, &within, Reason::Invalid);
    let outside = mailbox("a@example.org").signed_by(&narrow);
    refused(&verifier, &outside, Reason::Invalid);
}

#[test]
fn boringssl_wants_an_alternative_name_below_constraints_where_the_common_name_could_be_a_hosts() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let constraint = tlv(0x30, &tlv(0xa0, &tlv(0x30, &tlv(0x82, b"example.com"))));
    let narrow = intermediate("Narrow").extension("2.5.29.30", true, &constraint);
    let narrow = narrow.signed_by(&root);
    let named = |name: &str| leaf(name).signed_by(&narrow);
    accepted(&verifier, &named("Acme Inc"));
    differs(&verifier, &named("acme.example.com"), Reason::Invalid);
    let both = leaf("acme.example.com").names(&["acme.example.com"]);
    accepted(&verifier, &both.signed_by(&narrow));
    refused(&verifier, &named("acme.example.org"), Reason::Invalid);
}

/// OpenSSL reads these, and tells of the fault; to BoringSSL they are no certificates.
#[test]
fn what_boringssl_cannot_read_is_refused_with_either_library() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let der = leaf("acme").signed_by(&root).x509.to_der().unwrap();
    let told = |der: &[u8]| {
        let chain = Chain::from_der(der, &[]);
        verifier.verify(&chain, moment(0)).at(moment(0))
    };
    told(&der).expect("the control is accepted");
    for (from, to) in [
        (&[0x17, 13, b'2'][..], [0x17, 13, b'x'].as_slice()),
        (&[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]),
    ] {
        let at = memchr::memmem::find(&der, from).unwrap();
        let (before, after) = der.split_at(at);
        let altered = [before, to, after.split_at(from.len()).1].concat();
        assert!(reasons(&told(&altered)).contains(&Reason::Invalid));
    }
}

/// OpenSSL passes over these: a version that is none, and a name with bits set that it has no use for.
#[test]
fn boringssl_cannot_read_another_version_nor_bits_that_are_unused() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let bits = leaf("acme").entry("2.5.4.45", 3, b"\x04ab\xf0");
    let issued = bits.signed_by(&root);
    accepted(&verifier, &issued);
    for (from, to) in [
        (&[0xa0, 3, 2, 1, 2][..], [0xa0, 3, 2, 1, 3].as_slice()),
        (b"\x04ab\xf0", b"\x04ab\xff"),
    ] {
        let der = issued.altered_der(&root, from, to);
        let told = verifier.verify(&Chain::from_der(&der, &[]), moment(0));
        let told = reasons(&told.at(moment(0)));
        let expected: &[_] = if cfg!(feature = "boringssl") {
            &[Reason::Invalid]
        } else {
            &[]
        };
        assert_eq!(told, expected, "{to:?}");
    }
}

#[test]
fn boringssl_takes_a_critical_no_check_in_an_anchor_alone() {
    let of = |spec: pki::Spec, critical| spec.extension("1.3.6.1.5.5.7.48.1.5", critical, &[5, 0]);
    let root = of(root("Root"), true).self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    accepted(&verifier, &of(leaf("acme"), false).signed_by(&root));
    let client = of(leaf("acme"), true).signed_by(&root);
    differs(&verifier, &client, Reason::Invalid);
    let issuing = of(intermediate("Issuing"), true).signed_by(&root);
    differs(
        &verifier,
        &leaf("acme").signed_by(&issuing),
        Reason::Invalid,
    );
}

/// OpenSSL looks at what stands beside policies only where there are some.
#[test]
fn boringssl_reads_what_is_said_of_policies_where_there_are_none() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let policy = tlv(0x30, &tlv(0x30, &[6, 3, 0x2a, 3, 4]));
    let good = leaf("acme").extension("2.5.29.32", false, &policy);
    accepted(&verifier, &good.signed_by(&root));
    let (empty, unreadable) = ([0x30, 0], [5, 0]);
    for (oid, value) in [
        ("2.5.29.32", empty),
        ("2.5.29.33", unreadable),
        ("2.5.29.54", unreadable),
    ] {
        let issuing = intermediate("Issuing").extension(oid, false, &value);
        let client = leaf("acme").signed_by(&issuing.signed_by(&root));
        differs(&verifier, &client, Reason::Invalid);
    }
}

/// BoringSSL looks at none of this in an anchor, and our own rules do.
#[test]
fn what_an_anchor_says_holds_with_either_library() {
    let refuses = |root: pki::Spec, reason| {
        let root = root.self_signed();
        let verifier = verifier(vec![ca(&[&root])]);
        let issuing = intermediate("Issuing").signed_by(&root);
        let told = judge(&verifier, &leaf("acme").signed_by(&issuing));
        assert_eq!(reasons(&told), [reason], "{told:?}");
    };
    let plain = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&plain);
    let verifier = verifier(vec![ca(&[&plain])]);
    accepted(&verifier, &leaf("acme").signed_by(&issuing));
    refuses(root("Root").path_len(0), Reason::Invalid);
    refuses(
        root("Root").extension("1.2.3.4.5", true, &[5, 0]),
        Reason::Invalid,
    );
    refuses(root("Root").ca_not_critical(), Reason::Invalid);
    refuses(root("Root").purposes(&["serverAuth"]), Reason::WrongPurpose);
    refuses(root("Root").kind(Kind::Rsa(1024)), Reason::Weak);
}

#[test]
fn where_an_issuer_demands_a_policy_nobody_is_accepted_with_either_library() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let policy = tlv(0x30, &tlv(0x30, &[6, 3, 0x2a, 3, 4]));
    let with = |spec: pki::Spec| spec.extension("2.5.29.32", false, &policy);
    let demanding = |after: u8| {
        let constraint = tlv(0x30, &[0x80, 1, after]);
        let issuing = with(intermediate("Issuing")).extension("2.5.29.36", true, &constraint);
        with(leaf("acme")).signed_by(&issuing.signed_by(&root))
    };
    accepted(&verifier, &demanding(2));
    for after in [0, 1] {
        refused(&verifier, &demanding(after), Reason::Invalid);
    }
}

pub(super) const NETSCAPE: &str = "2.16.840.1.113730.1.1";

#[test]
fn a_type_of_old_that_lets_no_client_be_is_heeded_with_either_library() {
    let root = root("Root").self_signed();
    let verifier = verifier(vec![ca(&[&root])]);
    let of = |bits: u8| leaf("acme").extension(NETSCAPE, false, &[3, 2, 0, bits]);
    accepted(&verifier, &of(0x80).signed_by(&root));
    refused(&verifier, &of(0x40).signed_by(&root), Reason::WrongPurpose);
    // One that may issue as well is an authority, where nothing newer says otherwise.
    for bits in [0x84, 0x82, 0x81] {
        accepted(&verifier, &of(bits).signed_by(&root));
        let bare = of(bits).no_basic_constraints();
        accepted(&verifier, &bare.clone().signed_by(&root));
        let bare = bare.no_key_usage().signed_by(&root);
        refused(&verifier, &bare, Reason::Invalid);
    }
}

/// Whoever signs lists is no client: were it held to what a client must be, its list would count for
/// nothing, and another list of that issuer would clear who was revoked.
#[test]
fn v14_the_list_of_a_delegated_signer_whose_type_of_old_is_no_clients_counts_with_either_library() {
    let authority = root("Root").self_signed();
    let client = leaf("acme").signed_by(&authority);
    for of_old in [None, Some(0x10), Some(0x40)] {
        let signer = root("Root");
        let signer = match of_old {
            None => signer,
            Some(bits) => signer.extension(NETSCAPE, false, &[3, 2, 0, bits]),
        };
        let signer = signer.signed_by(&authority);
        let client = client.clone().with(&[&signer.x509]);
        let told = |revoked: &[&Issued]| {
            let lists = [list(&authority, &[]), list(&signer, revoked)];
            let lists = lists.map(|list| RevocationList::read(&list.der()).unwrap());
            let trust = Trust::new(1, vec![ca(&[&authority])]).unwrap();
            let verifier = Verifier::new(trust.with_lists(lists.into()));
            reasons(&judge(&verifier, &client))
        };
        assert_eq!(told(&[]), [], "{of_old:?}");
        assert_eq!(told(&[&client]), [Reason::Revoked], "{of_old:?}");
    }
}
