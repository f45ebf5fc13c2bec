//! Our own rules about a chain, beside those of OpenSSL.
//!
//! Some are stricter (an explicit clientAuth, no authority as a client), the others repeat what
//! OpenSSL demands, so that everything that is wrong can be told at once and in plain words.

use super::chain::Link;
use super::trust::Authority;
use super::verdict::{Problem, Reason};
use super::{alternative, codes, explain};
use crate::tls::{self, nid::Nid};

/// What a weak key must still have.
const LEAST_BITS: u32 = 80;

/// The exceptions that hold for a chain.
#[derive(Clone, Copy)]
pub(super) struct Exceptions {
    pub(super) missing_client_auth: bool,
    pub(super) weak: bool,
    pub(super) max_depth: Option<u32>,
}

impl Exceptions {
    /// For a chain that leads to no authority, and so has no exceptions.
    pub(super) const NONE: Self = Self {
        missing_client_auth: false,
        weak: false,
        max_depth: None,
    };

    pub(super) const fn of(authority: &Authority) -> Self {
        Self {
            missing_client_auth: authority.allow_missing_client_auth,
            weak: authority.allow_weak,
            max_depth: Some(authority.max_depth),
        }
    }
}

/// Everything that is wrong with a chain, the client's certificate first, apart from its dates and
/// its trust. `anchored` says that the last one is an anchor, whose signature proves nothing.
pub(super) fn problems(chain: &[Link], exceptions: Exceptions, anchored: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (depth, link) in chain.iter().enumerate() {
        let mut problem = |reason, detail| problems.push(Problem::new(depth, reason, detail));
        let content = &link.content;
        let is_anchor = anchored && depth.saturating_add(1) == chain.len();
        let name = if depth == 0 {
            ""
        } else {
            content.facts.subject.as_str()
        };
        if depth == 0 {
            if content.ca {
                problem(Reason::WrongPurpose, explain::AUTHORITY_AS_CLIENT.into());
            }
            if content.may_sign == Some(false) {
                problem(Reason::WrongPurpose, explain::NO_SIGNATURES.into());
            }
        } else if !content.ca || content.may_issue == Some(false) {
            problem(Reason::Invalid, explain::not_an_authority(name));
        }
        match content.client_auth {
            Some(true) => {}
            Some(false) => problem(Reason::WrongPurpose, explain::no_client_auth(name, true)),
            None if depth > 0 || exceptions.missing_client_auth => {}
            None => problem(Reason::WrongPurpose, explain::no_client_auth(name, false)),
        }
        if let Some(bits) = weak_key(link, exceptions) {
            problem(Reason::Weak, explain::weak_key(name, bits));
        }
        if !is_anchor
            && !exceptions.weak
            && let Some(digest) = weak_digest(link)
        {
            problem(Reason::Weak, explain::weak_signature(name, digest));
        }
    }
    problems.extend((0..chain.len()).filter_map(|depth| ill_formed_name(chain, depth)));
    let between = chain.len().saturating_sub(2);
    if let Some(most) = exceptions.max_depth
        && u32::try_from(between).unwrap_or(u32::MAX) > most
    {
        problems.push(Problem::new(
            0,
            Reason::Invalid,
            explain::too_long(between, most),
        ));
    }
    problems
}

/// A name that cannot be compared with the constraints of an issuer above, which OpenSSL does by
/// how the name ends, well-formed or not.
fn ill_formed_name(chain: &[Link], depth: usize) -> Option<Problem> {
    let (link, issuers) = chain.get(depth..)?.split_first()?;
    let content = &link.content;
    // To certificates that an authority issues to itself no constraint applies.
    if depth > 0 && content.subject == content.issuer {
        return None;
    }
    let forms = issuers
        .iter()
        .flat_map(|issuer| &issuer.content.constrained);
    let forms: Vec<u8> = forms.copied().collect();
    let names = content.facts.alternative_names.iter().cloned();
    let mut names = names.chain(subject_boxes(link));
    let bad = names.find(|name| !alternative::is_comparable(name, &forms))?;
    let name = if depth == 0 {
        ""
    } else {
        content.facts.subject.as_str()
    };
    Some(Problem {
        fault: codes::UNSUPPORTED_NAME_SYNTAX,
        ..Problem::new(depth, Reason::Invalid, explain::not_comparable(name, &bad))
    })
}

/// The e-mail addresses of the subject, to which constraints apply as well (RFC 5280 section
/// 4.2.1.10), as `alternative::names` writes them; an unreadable one is empty.
fn subject_boxes(link: &Link) -> impl Iterator<Item = String> {
    let subject = link.x509.subject_name();
    let boxes = subject.entries_by_nid(Nid::PKCS9_EMAILADDRESS);
    boxes.map(|entry| {
        let text = str::from_utf8(entry.data().as_slice());
        format!("email:{}", text.unwrap_or_default())
    })
}

pub(super) fn weak_key(link: &Link, exceptions: Exceptions) -> Option<u32> {
    let least = if exceptions.weak {
        LEAST_BITS
    } else {
        tls::STRONG_BITS
    };
    let key = link.x509.public_key().ok()?;
    (tls::security_bits(&key) < least).then(|| key.bits())
}

pub(super) fn weak_digest(link: &Link) -> Option<&'static str> {
    tls::weak_digest(&link.x509)
}
