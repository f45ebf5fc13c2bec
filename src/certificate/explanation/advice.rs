//! What to do next, by the gravest reason.

use crate::certificate::Reason;

/// What whoever holds the certificate does next. `None` when it is good.
pub(super) const fn advice(gravest: Option<Reason>) -> &'static str {
    match gravest {
        None => "Use it.",
        Some(Reason::ChainIncomplete) => {
            "Append the missing intermediate to the file with your certificate: cat client.pem \
             intermediate.pem > chain.pem"
        }
        Some(Reason::Untrusted) => {
            "Ask the operator which issuers are accepted, and use a certificate of one of them."
        }
        Some(Reason::Revoked) => {
            "Ask whoever issued it why it was revoked, and for a new certificate with a new key."
        }
        Some(Reason::RevocationUnknown) => {
            "Tell the operator: the revocation lists have to be brought up to date."
        }
        Some(Reason::Superseded) => "Use the newer certificate of this client.",
        Some(Reason::NotYetValid) => {
            "Wait until its validity begins, or compare the clocks: the times are above."
        }
        Some(Reason::Expired) => "Renew the certificate, or ask the operator for an API key.",
        Some(Reason::Invalid | Reason::WrongPurpose | Reason::Weak) => {
            "Have the certificate issued again without the faults that are named above."
        }
    }
}
