//! The sentences that tell whoever holds a certificate what is wrong with it and what to do.
//!
//! Names in them are escaped already ([`super::name`]), so that none can break a line or a log.

use super::name::short;
use super::trust::Trust;
use crate::clock::Timestamp;

pub(super) const UNREADABLE: &str =
    "Your certificate cannot be read. Have it issued again, encoded as RFC 5280 demands.";

pub(super) const RESUMED: &str = "This connection resumed an earlier one, and the intermediate certificates that were sent \
     then are not known here. Connect again without resuming the session.";

pub(super) const NOBODY: &str =
    "No issuer of client certificates is accepted here. Use an API key.";

/// How a sentence calls a certificate; the client's own has no name here.
fn subject(name: &str) -> String {
    if name.is_empty() {
        "Your certificate".to_owned()
    } else {
        format!("The certificate '{name}' that yours depends on")
    }
}

pub(super) fn expired(name: &str, not_after: Timestamp, now: Timestamp) -> String {
    let action = if name.is_empty() {
        "Renew it, or ask the operator for an API key"
    } else {
        "Ask your certificate authority for a chain that is valid now"
    };
    let ago = span(now.seconds_since(not_after));
    format!(
        "{} ended at {not_after}, {ago} ago; this server's clock says {now}. {action}.",
        subject(name)
    )
}

pub(super) fn not_yet_valid(name: &str, not_before: Timestamp, now: Timestamp) -> String {
    let wait = span(not_before.seconds_since(now));
    format!(
        "{} begins at {not_before}, in {wait}; this server's clock says {now}. Wait until then, or \
         have it issued again and check the clock of whoever issues it.",
        subject(name)
    )
}

/// A length of time as one speaks of it.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

pub(super) fn not_comparable(name: &str, alternative: &str) -> String {
    format!(
        "{} bears the name '{}', which is ill-formed, so that it cannot be compared with the names \
         that its issuer may issue for. Have it issued again without that name.",
        subject(name),
        short(alternative)
    )
}

pub(super) const SUPERSEDED: &str =
    "A newer certificate of the same client has taken its place. Use the newer one.";

pub(super) fn revoked(name: &str, issuer: &str, at: Timestamp, why: &str) -> String {
    format!(
        "{} was revoked by '{issuer}' at {at} ({why}). Have a new one issued.",
        subject(name)
    )
}

pub(super) fn revocation_unknown(name: &str, why: &str) -> String {
    let whose = subject(name);
    let (first, rest) = whose.split_at_checked(1).unwrap_or((&whose, ""));
    let whose = format!("{}{rest}", first.to_lowercase());
    format!(
        "Whether {whose} was revoked cannot be told: {why}. It is for the operator to bring the \
         lists up to date."
    )
}

pub(super) fn no_list(issuer: &str) -> String {
    format!("there is no complete revocation list of '{issuer}' that covers it")
}

pub(super) fn reasons_left_out(issuer: &str) -> String {
    format!("the revocation lists of '{issuer}' do not cover every reason")
}

pub(super) fn list_out_of_date(issuer: &str, until: Option<Timestamp>, now: Timestamp) -> String {
    match until {
        Some(until) if until <= now => format!(
            "the revocation list of '{}' ended at {until}, {} ago",
            short(issuer),
            span(now.seconds_since(until))
        ),
        Some(_) => format!(
            "the revocation list of '{}' does not hold yet",
            short(issuer)
        ),
        None => format!(
            "the revocation list of '{}' does not say how long it holds",
            short(issuer)
        ),
    }
}

pub(super) fn delta_not_usable(issuer: &str) -> String {
    format!(
        "the revocation list of '{}' goes on in a delta that cannot be used",
        short(issuer)
    )
}

pub(super) fn list_not_understood(issuer: &str) -> String {
    format!(
        "the revocation list of '{}' has a critical extension that is not understood here",
        short(issuer)
    )
}

pub(super) fn list_not_signed(issuer: &str) -> String {
    format!(
        "nobody whose signature counts here signed the revocation list of '{}'",
        short(issuer)
    )
}

pub(super) fn foreign_lists(issuers: &[String]) -> String {
    format!(
        "Lists that have nothing to do with this chain: '{}'.",
        issuers.join("', '")
    )
}

pub(super) fn accepted_all_the_same(why: &str) -> String {
    format!("{why} It is accepted all the same, as the operator has decided.")
}

pub(super) const CLEAR: &str =
    "By the revocation lists of its issuers, nothing of the chain was revoked.";

pub(super) const NO_LISTS: &str = "No revocation list was given, so nobody asked.";

pub(super) fn self_signed(name: &str, accepted: &str) -> String {
    format!(
        "Your chain ends in '{name}', which signed itself and is not accepted here. Use a \
         certificate issued by {accepted}."
    )
}

pub(super) fn forged(name: &str, issuer: &str) -> String {
    let name = if name.is_empty() {
        "Your certificate".to_owned()
    } else {
        format!("The certificate '{name}'")
    };
    format!(
        "{name} names '{issuer}' as its issuer, but was not signed with that issuer's key. Use a \
         certificate that '{issuer}' really issued."
    )
}

pub(super) fn same_name(issuer: &str) -> String {
    format!(
        "Your chain names '{issuer}' as its issuer, and an authority of that name is accepted \
         here, but it has another key. Use a certificate issued with the accepted authority's key."
    )
}

pub(super) fn incomplete(sent: usize, issuer: &str, trust: &Trust) -> String {
    let what = match sent {
        1 => format!(
            "You sent 1 certificate, issued by '{issuer}', and did not send that intermediate."
        ),
        more => format!(
            "You sent {more} certificates, and not the intermediate '{issuer}' that issued the \
             last of your chain."
        ),
    };
    format!(
        "{what} Append it to the file that you give to your client. The chain must lead to {}.",
        trust.all_accepted()
    )
}

pub(super) fn unknown_issuer(issuer: &str, trust: &Trust) -> String {
    format!(
        "Your chain ends at '{issuer}', which is not accepted here. Use a certificate issued by \
         {}; if '{issuer}' is an intermediate of one of them, append its certificate to the file \
         that you give to your client.",
        trust.all_accepted()
    )
}

pub(super) fn not_an_authority(name: &str) -> String {
    format!(
        "'{name}' issued a certificate of your chain, but is not allowed to issue certificates. \
         Use a certificate issued by an authority."
    )
}

pub(super) fn no_client_auth(name: &str, other_purposes: bool) -> String {
    let why = if other_purposes {
        "may be used for other purposes only"
    } else {
        "does not say what it may be used for"
    };
    format!(
        "{} {why}. Have it issued with the extended key usage clientAuth.",
        subject(name)
    )
}

pub(super) const NO_SIGNATURES: &str = "Your certificate's key usage does not allow digital signatures, which a TLS client makes. \
     Have it issued with the key usage digitalSignature.";

pub(super) const AUTHORITY_AS_CLIENT: &str = "Your certificate is the certificate of an authority (CA:TRUE) and cannot stand for a client. \
     Use a certificate that was issued to the client.";

pub(super) fn weak_key(name: &str, bits: u32) -> String {
    format!(
        "{} has a key of {bits} bits, which is too weak. Use RSA with 2048 bits or more, or ECDSA \
         with P-256.",
        subject(name)
    )
}

pub(super) fn weak_signature(name: &str, digest: &str) -> String {
    format!(
        "{} is signed with {digest}, which is too weak. Have it issued with SHA-256.",
        subject(name)
    )
}

pub(super) fn too_long(between: usize, most: u32) -> String {
    format!(
        "There are {between} certificates between yours and the authority, and {most} are \
         accepted. Use a certificate with a shorter chain."
    )
}

/// What OpenSSL found and no rule of ours has better words for.
pub(super) fn other(name: &str, fault: &str) -> String {
    format!(
        "{} cannot be accepted: {fault}. Have it issued again without this fault.",
        subject(name)
    )
}
