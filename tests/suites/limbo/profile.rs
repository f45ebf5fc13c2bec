//! What a certificate must be in itself (RFC 5280 section 4).

use keyferry::tls::x509::X509;

use super::{Case, bad, client, good};
use crate::pki::{Issued, Spec, intermediate, leaf, oid_der, root, tlv};

const UNKNOWN: &str = "1.3.6.1.4.1.55738.666.1";
const OWN_ID: &str = "2.5.29.14";
const ISSUER_ID: &str = "2.5.29.35";
const NAMES: &str = "2.5.29.17";
/// A key identifier; none is compared with a key.
const ID: &[u8] = &[7; 20];

pub(super) fn cases() -> Vec<Case> {
    [authorities(), clients(), uses(), identifiers(), numbers()]
        .into_iter()
        .flatten()
        .collect()
}

fn authorities() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let by_root = |spec: Spec| client().signed_by(&spec.signed_by(root));
    let of_root = |id, spec: Spec| {
        let root = spec.self_signed();
        bad(id, &root, client().signed_by(&root))
    };
    let plain = || crate::pki::root("Root");
    let strange = |spec: Spec| spec.extension(UNKNOWN, true, &[5, 0]);
    let stranger = plain().self_signed();
    let issuing = intermediate("Issuing").signed_by(root);
    let mismatched = other_algorithm(root);
    vec![
        of_root("rfc5280::ca-empty-subject", plain().empty_subject()),
        of_root("rfc5280::unknown-critical-extension-root", strange(plain())),
        bad(
            "rfc5280::unknown-critical-extension-intermediate",
            root,
            by_root(strange(intermediate("Issuing").path_len(0))),
        ),
        bad(
            "rfc5280::chain-untrusted-root",
            &stranger,
            client()
                .signed_by(&issuing)
                .with(&[&root.x509, &issuing.x509]),
        ),
        bad(
            "rfc5280::intermediate-ca-without-ca-bit",
            root,
            by_root(intermediate("Issuing").ca(false)),
        ),
        bad(
            "rfc5280::intermediate-ca-missing-basic-constraints",
            root,
            by_root(intermediate("Issuing").no_basic_constraints()),
        ),
        of_root(
            "rfc5280::root-missing-basic-constraints",
            plain().no_basic_constraints(),
        ),
        of_root(
            "rfc5280::root-non-critical-basic-constraints",
            plain().ca_not_critical(),
        ),
        of_root(
            "rfc5280::root-inconsistent-ca-extensions",
            plain().key_usage(&[]),
        ),
        bad(
            "rfc5280::ica-ku-keycertsign",
            root,
            by_root(intermediate("Issuing").path_len(0).key_usage(&[])),
        ),
        bad(
            "rfc5280::mismatching-signature-algorithm",
            &mismatched,
            client().signed_by(root),
        ),
        good(
            "rfc5280::root-and-intermediate-swapped",
            &issuing,
            client().signed_by(&issuing).with(&[&root.x509]),
        ),
        bad(
            "rfc5280::pc::ica-noncritical-pc",
            root,
            // An explicit policy is required only three certificates further down.
            by_root(intermediate("Issuing").extension("2.5.29.36", false, &[0x30, 3, 0x80, 1, 3])),
        ),
    ]
}

fn clients() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let by_root = |spec: Spec| spec.signed_by(root);
    let issuers = tlv(
        0x30,
        &[oid_der("1.3.6.1.5.5.7.48.2"), tlv(0x82, b"example.com")].concat(),
    );
    let access = tlv(0x30, &issuers);
    let with_access = |critical| client().extension("1.3.6.1.5.5.7.1.1", critical, &access);
    let name = root.x509.subject_name().to_der().expect("DER");
    let names = tlv(0x30, &tlv(0x82, b"example.com"));
    vec![
        bad(
            "rfc5280::ee-empty-issuer",
            root,
            by_root(client()).altered(root, &name, &[0x30, 0]),
        ),
        bad(
            "rfc5280::unknown-critical-extension-ee",
            root,
            by_root(client().extension(UNKNOWN, true, &[5, 0])),
        ),
        bad(
            "rfc5280::leaf-ku-keycertsign",
            root,
            by_root(leaf("example.com").key_usage(&["digitalSignature", "keyCertSign"])),
        ),
        good("rfc5280::ee-aia", root, by_root(with_access(false))),
        bad(
            "rfc5280::ee-critical-aia-invalid",
            root,
            by_root(with_access(true)),
        ),
        bad(
            "rfc5280::duplicate-extensions",
            root,
            by_root(client().extension(NAMES, false, &names)),
        ),
        good(
            "rfc5280::no-keyusage",
            root,
            by_root(client().no_key_usage()),
        ),
        good(
            "rfc5280::no-basicconstraints",
            root,
            by_root(client().no_basic_constraints()),
        ),
    ]
}

fn uses() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let by_root = |spec: Spec| spec.signed_by(root);
    vec![
        good(
            "rfc5280::ca-as-leaf",
            root,
            by_root(
                intermediate("Issuing")
                    .purposes(&["clientAuth"])
                    .names(&["ca.example.com"]),
            ),
        ),
        bad(
            "rfc5280::eku::ee-wrong-eku",
            root,
            by_root(client().purposes(&["serverAuth"])),
        ),
        good(
            "rfc5280::eku::ee-without-eku",
            root,
            by_root(client().no_purposes()),
        ),
        bad(
            "rfc5280::san::malformed",
            root,
            by_root(leaf("example.com").extension(NAMES, false, b"example.com")),
        ),
        bad(
            "rfc5280::san::noncritical-with-empty-subject",
            root,
            by_root(client().empty_subject()),
        ),
    ]
}

fn identifiers() -> Vec<Case> {
    let own = |spec: Spec, critical| spec.extension(OWN_ID, critical, &tlv(0x04, ID));
    let issuers =
        |spec: Spec, critical| spec.extension(ISSUER_ID, critical, &tlv(0x30, &tlv(0x80, ID)));
    let bare = || root("Root").no_key_ids();
    let below = |root: &Issued| client().signed_by(root);
    let plain = &own(bare(), false).self_signed();
    let critical_own = own(bare(), true).self_signed();
    let critical_issuers = issuers(own(bare(), false), true).self_signed();
    let without_own = bare().self_signed();
    let other = || intermediate("Issuing").no_key_ids();
    let unlinked = own(other(), false).signed_by(plain);
    let unnamed = issuers(other(), false).signed_by(plain);
    // It names the key of its issuer, whose certificate does not.
    let naming = || issuers(own(client().no_key_ids(), false), false);
    vec![
        bad(
            "rfc5280::aki::critical-aki",
            &critical_issuers,
            below(&critical_issuers),
        ),
        bad(
            "rfc5280::aki::leaf-missing-aki",
            plain,
            own(client().no_key_ids(), false).signed_by(plain),
        ),
        bad(
            "rfc5280::aki::intermediate-missing-aki",
            plain,
            below(&unlinked),
        ),
        good(
            "rfc5280::aki::self-signed-root-missing-aki",
            plain,
            below(plain),
        ),
        bad(
            "rfc5280::aki::cross-signed-root-missing-aki",
            &unlinked,
            below(&unlinked).with(&[]),
        ),
        bad(
            "rfc5280::ski::critical-ski",
            &critical_own,
            below(&critical_own),
        ),
        bad(
            "rfc5280::ski::root-missing-ski",
            &without_own,
            naming().signed_by(&without_own),
        ),
        bad(
            "rfc5280::ski::intermediate-missing-ski",
            plain,
            naming().signed_by(&unnamed),
        ),
    ]
}

fn numbers() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let numbered = |serial: &[u8]| client().serial(serial).signed_by(root);
    vec![
        bad(
            "rfc5280::serial::serial-number-too-long",
            root,
            numbered(&[0x7f; 22]),
        ),
        bad("rfc5280::serial::serial-number-zero", root, numbered(&[])),
        bad(
            "rfc5280::serial::serial-number-negative",
            root,
            numbered(&[0x40; 16]).altered(root, &[2, 16, 0x40], &[2, 16, 0xc0]),
        ),
    ]
}

/// The same certificate, but that the algorithm beside the signature is not the one in what is
/// signed.
fn other_algorithm(root: &Issued) -> Issued {
    const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let mut der = root.x509.to_der().expect("DER");
    let windows = der.windows(ECDSA_WITH_SHA256.len());
    let at = windows.rev().position(|bytes| bytes == ECDSA_WITH_SHA256);
    let last = der.len() - 1 - at.expect("the algorithm");
    der[last] = 3;
    let mut other = root.clone();
    other.x509 = X509::from_der(&der).expect("a certificate");
    other
}
