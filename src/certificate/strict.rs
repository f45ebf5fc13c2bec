//! The rules of RFC 5280 that OpenSSL leaves out unless it is told otherwise, and BoringSSL always:
//! about whole chains, their anchors included.
//!
//! Each has the number and the words of OpenSSL (`X509_V_ERR_…`), and the order is OpenSSL's. They are
//! asked only where the library does not demand all of it; `tests/own_rules.rs` compares the two.

use super::alternative;
use super::chain::Link;
use super::der::{NotDer, Reader, tag};
use super::rules::{Exceptions, weak_digest, weak_key};
use super::run::{Fault, links};
use crate::tls;
use crate::tls::x509::X509;

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const SUBJECT_KEY: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 35];
const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
const NETSCAPE_TYPE: &[u8] = &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 1, 1];
const PROXY: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 14];
/// Address blocks and autonomous systems (RFC 3779).
const RESOURCES: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 1, 7], &[0x2b, 6, 1, 5, 5, 7, 1, 8]];
/// Beside those that are read here, what may be critical: name constraints, CRL distribution points,
/// policies and what goes with them, extended key usage, and "no check" of a responder.
const KNOWN: [&[u8]; 7] = [
    &[0x55, 0x1d, 30],
    &[0x55, 0x1d, 31],
    &[0x55, 0x1d, 32],
    &[0x55, 0x1d, 33],
    &[0x55, 0x1d, 37],
    &[0x55, 0x1d, 54],
    &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 5],
];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// `id-on-SmtpUTF8Mailbox` (RFC 9598), as `alternative::names` shows it.
const MAILBOX: &str = "06082b06010505070809";

/// The first of the demands that a built chain does not meet. A certificate that cannot be read meets
/// none.
pub(super) fn broken(built: &[X509], demands: tls::Demands) -> Option<Fault> {
    let chain = links(built);
    let unread = || {
        let (code, text) = UNREADABLE;
        let depth = u32::try_from(chain.len()).unwrap_or(u32::MAX);
        (chain.len() < built.len()).then_some(Fault { code, depth, text })
    };
    let strict = || fault(&chain, demands.for_clients).or_else(unread);
    let strong = || weakness(&chain);
    let found = demands.strict.then(strict).flatten();
    found.or_else(|| demands.strong.then(strong).flatten())
}

/// The first rule that a chain breaks, the client's certificate first, or of one that is not
/// `for_clients` that of who signs lists.
fn fault(chain: &[Link], for_clients: bool) -> Option<Fault> {
    // Certificates that authorities issue to themselves do not count for the length of a path.
    let mut length: u64 = 0;
    let mut policies = Vec::new();
    for (at, link) in chain.iter().enumerate() {
        let depth = u32::try_from(at).unwrap_or(u32::MAX);
        let fault = |(code, text)| Fault { code, depth, text };
        let der = link.x509.to_der().unwrap_or_default();
        let Ok(form) = Form::read(&der) else {
            return Some(fault(UNREADABLE));
        };
        let place = Place {
            is_leaf: at == 0,
            is_client: at == 0 && for_clients,
            is_last: at.saturating_add(1) == chain.len(),
        };
        if let Some(broken) = form.broken(link, place) {
            return Some(fault(broken));
        }
        if at > 1 && form.path_length.is_some_and(|most| length > most) {
            return Some(fault((25, "path length constraint exceeded")));
        }
        let is_self_issued = link.content.subject == link.content.issuer;
        length = length.saturating_add(u64::from(at > 0 && !is_self_issued));
        policies.push((form.policy_after, at == 0 || !is_self_issued));
        if has_strange_mailbox(link, chain.get(at..).unwrap_or_default()) {
            return Some(fault((53, "unsupported or invalid name syntax")));
        }
    }
    // An anchor's own do not count.
    policies.pop();
    demands_policy(&policies).then_some(Fault {
        code: 43,
        depth: 0,
        text: "no explicit policy",
    })
}

/// Whether issuers demand a policy of the client's certificate (RFC 5280 sections 6.1.4 and 6.1.5): after how
/// many certificates each does, and whether it counts as one. Which policies are wanted cannot be
/// said here, so OpenSSL refuses what demands any; BoringSSL takes any policy at all.
fn demands_policy(chain: &[(Option<u64>, bool)]) -> bool {
    let mut left = u64::MAX;
    for (after, counts) in chain.iter().rev() {
        left = left.saturating_sub(u64::from(*counts && left != u64::MAX));
        left = after.map_or(left, |after| after.min(left));
    }
    left == 0
}

/// The first certificate that has not 112 bits of security, the client's first: in its key or, but
/// for an anchor, whose own signature proves nothing, in what signed it.
fn weakness(chain: &[Link]) -> Option<Fault> {
    let keys = chain.iter().enumerate().map(|(depth, link)| {
        let code = if depth == 0 { 66 } else { 67 };
        let text = if depth == 0 {
            "EE certificate key too weak"
        } else {
            "CA certificate key too weak"
        };
        (
            weak_key(link, Exceptions::NONE).is_some(),
            depth,
            code,
            text,
        )
    });
    let signed = chain.len().saturating_sub(1);
    let signatures = chain.iter().take(signed).enumerate().map(|(depth, link)| {
        let is_weak = weak_digest(link).is_some();
        (is_weak, depth, 68, "CA signature digest algorithm too weak")
    });
    let (_, depth, code, text) = keys.chain(signatures).find(|(is_weak, ..)| *is_weak)?;
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    Some(Fault { code, depth, text })
}

type Broken = (i32, &'static str);

const UNREADABLE: Broken = (41, "invalid or inconsistent certificate extension");

/// A certificate with an e-mail address of the newer kind, below a constraint on such addresses.
fn has_strange_mailbox(link: &Link, above: &[Link]) -> bool {
    let names = &link.content.facts.alternative_names;
    names.iter().any(|name| name.contains(MAILBOX))
        && above
            .iter()
            .any(|issuer| issuer.content.constrained.contains(&alternative::EMAIL))
}

/// Whether a rule is broken, and its number and words.
type Rule = (bool, i32, &'static str);

/// Where in its chain a certificate stands.
#[derive(Clone, Copy)]
struct Place {
    is_leaf: bool,
    is_client: bool,
    is_last: bool,
}

/// What the rules are about, as it stands in a certificate.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that one rule asks for"
)]
#[derive(Default)]
struct Form<'a> {
    is_version_3: bool,
    has_extensions: bool,
    /// Whether the algorithm of the signature is named differently within what it signs.
    is_inconsistent: bool,
    has_explicit_curve: bool,
    has_issuer: bool,
    has_subject: bool,
    has_unknown_critical: bool,
    has_resources: bool,
    is_proxy: bool,
    /// The critical extensions among those below.
    critical: Vec<&'a [u8]>,
    constraints: bool,
    path_length: Option<u64>,
    has_subject_key: bool,
    has_authority_key: bool,
    has_key_usage: bool,
    /// Whether there are alternative names, and whether none stands there.
    names: Option<bool>,
    /// After how many certificates a policy is demanded.
    policy_after: Option<u64>,
    /// The bits of its type of old.
    netscape: Option<u8>,
}

impl<'a> Form<'a> {
    fn read(der: &'a [u8]) -> Result<Self, NotDer> {
        let mut certificate = Reader(der).enter(tag::SEQUENCE)?;
        let mut tbs = certificate.enter(tag::SEQUENCE)?;
        let beside = certificate.expect(tag::SEQUENCE)?.whole;
        let version = tbs.optional(tag::VERSION)?;
        tbs.expect(tag::INTEGER)?;
        let within = tbs.expect(tag::SEQUENCE)?.whole;
        let issuer = tbs.expect(tag::SEQUENCE)?.content;
        tbs.expect(tag::SEQUENCE)?;
        let subject = tbs.expect(tag::SEQUENCE)?.content;
        let mut key = tbs.enter(tag::SEQUENCE)?.enter(tag::SEQUENCE)?;
        let is_ec = key.expect(tag::OID)?.content == EC_PUBLIC_KEY;
        let is_named = key.next().is_ok_and(|curve| curve.tag == tag::OID);
        let mut form = Self {
            is_version_3: version.is_some_and(|version| version.content == [2, 1, 2]),
            is_inconsistent: beside != within,
            has_explicit_curve: is_ec && !is_named,
            has_issuer: !issuer.is_empty(),
            has_subject: !subject.is_empty(),
            ..Self::default()
        };
        tbs.optional(tag::ISSUER_ID)?;
        tbs.optional(tag::SUBJECT_ID)?;
        if let Some(extensions) = tbs.optional(tag::EXTENSIONS)? {
            let mut list = Reader(extensions.content).enter(tag::SEQUENCE)?;
            form.has_extensions = !list.is_empty();
            while !list.is_empty() {
                form.extension(list.enter(tag::SEQUENCE)?)?;
            }
        }
        Ok(form)
    }

    fn extension(&mut self, mut fields: Reader<'a>) -> Result<(), NotDer> {
        let oid = fields.expect(tag::OID)?.content;
        let critical = fields.optional(tag::BOOLEAN)?;
        let value = fields.expect(tag::OCTET_STRING)?.content;
        let mut is_known = true;
        match oid {
            BASIC_CONSTRAINTS => {
                let mut constraints = Reader(value).enter(tag::SEQUENCE)?;
                constraints.optional(tag::BOOLEAN)?;
                self.constraints = true;
                let length = constraints.optional(tag::INTEGER)?;
                self.path_length = length.map(|length| number(length.content)).transpose()?;
            }
            KEY_USAGE => self.has_key_usage = true,
            NETSCAPE_TYPE => {
                let bits = Reader(value).expect(tag::BIT_STRING)?.content;
                let first = bits.get(1).copied().unwrap_or_default();
                self.netscape = Some(first);
            }
            ALTERNATIVE_NAMES => {
                self.names = Some(Reader(value).enter(tag::SEQUENCE)?.is_empty());
            }
            PROXY => self.is_proxy = true,
            POLICY_CONSTRAINTS => {
                let mut constraints = Reader(value).enter(tag::SEQUENCE)?;
                let explicit = constraints.optional(0x80)?;
                self.policy_after = explicit.map(|after| number(after.content)).transpose()?;
            }
            SUBJECT_KEY => {
                (self.has_subject_key, is_known) = (true, false);
            }
            AUTHORITY_KEY => {
                // The key's identifier, `[0]`, comes first.
                let first = Reader(value).enter(tag::SEQUENCE)?.next();
                self.has_authority_key = first.is_ok_and(|first| first.tag == 0x80);
                is_known = false;
            }
            oid if RESOURCES.contains(&oid) => self.has_resources = true,
            oid => is_known = KNOWN.contains(&oid),
        }
        if critical.is_some_and(|critical| critical.content != [0]) {
            self.has_unknown_critical |= !is_known;
            self.critical.push(oid);
        }
        Ok(())
    }

    /// The first rule that it breaks.
    fn broken(&self, link: &Link, place: Place) -> Option<Broken> {
        let rules = self.of_uses(link, place).into_iter();
        let rules = rules.chain(self.of_names(link));
        let mut rules = rules.chain(self.of_keys(link, place.is_last));
        let broken = rules.find(|(is_broken, ..)| *is_broken);
        broken.map(|(_, code, text)| (code, text))
    }

    /// What it may be used for.
    fn of_uses(&self, link: &Link, place: Place) -> [Rule; 10] {
        const PROXIES: &str = "proxy certificates not allowed, please set the appropriate flag";
        const LENGTH: &str = "Path length given without key usage keyCertSign";
        const SOFT: &str = "Basic Constraints of CA cert not marked critical";
        const ISSUES: &str = "Key usage keyCertSign invalid for non-CA cert";
        const CURVE: &str = "Certificate public key has explicit ECC parameters";
        const USAGE: &str = "CA cert does not include key usage extension";
        let content = &link.content;
        let is_authority = content.ca && content.may_issue != Some(false);
        let has_length = self.path_length.is_some();
        let is_soft = self.constraints && !self.is_critical(BASIC_CONSTRAINTS);
        let issues = content.may_issue == Some(true);
        [
            (
                self.has_unknown_critical || self.has_resources,
                34,
                "unhandled critical extension",
            ),
            (self.is_proxy, 40, PROXIES),
            (
                if place.is_leaf {
                    self.is_half_an_authority(issues)
                } else {
                    !is_authority
                },
                79,
                "invalid CA certificate",
            ),
            (self.has_explicit_curve, 94, CURVE),
            (
                has_length && !content.ca,
                80,
                "Path length invalid for non-CA cert",
            ),
            (has_length && content.may_issue == Some(false), 81, LENGTH),
            (content.ca && is_soft, 89, SOFT),
            (content.ca && !self.has_key_usage, 92, USAGE),
            (!content.ca && issues, 82, ISSUES),
            (
                place.is_client && self.netscape.is_some_and(|of_old| of_old & 0x80 == 0),
                26,
                "unsuitable certificate purpose",
            ),
        ]
    }

    /// Whether it lacks constraints and may issue by its key usage, or by its type of old.
    fn is_half_an_authority(&self, issues: bool) -> bool {
        let by_type = || self.netscape.is_some_and(|of_old| of_old & 7 != 0);
        !self.constraints && (issues || !self.has_key_usage && by_type())
    }

    /// Who it is about, and who issued it.
    fn of_names(&self, link: &Link) -> [Rule; 4] {
        const SOFT: &str = "Subject empty and Subject Alt Name extension not critical";
        let content = &link.content;
        let needs_subject = content.ca || content.may_sign_lists == Some(true);
        let has_names = self.names.is_some();
        let is_soft = has_names && !self.is_critical(ALTERNATIVE_NAMES);
        [
            (!self.has_issuer, 83, "Issuer name empty"),
            (
                !self.has_subject && (needs_subject || !has_names),
                84,
                "Subject name empty",
            ),
            (!self.has_subject && is_soft, 88, SOFT),
            (
                self.names == Some(true),
                87,
                "Empty Subject Alternative Name extension",
            ),
        ]
    }

    /// How it was signed, and with whose key.
    fn of_keys(&self, link: &Link, is_last: bool) -> [Rule; 4] {
        const DIFFERENT: &str = "cert info signature and signature algorithm mismatch";
        let has_issuers_key = self.has_authority_key || is_last;
        let has_own_key = self.has_subject_key || !link.content.ca;
        [
            (self.is_inconsistent, 78, DIFFERENT),
            (
                self.is_version_3 && !has_issuers_key,
                85,
                "Missing Authority Key Identifier",
            ),
            (
                self.is_version_3 && !has_own_key,
                86,
                "Missing Subject Key Identifier",
            ),
            (
                !self.is_version_3 && self.has_extensions,
                93,
                "Using cert extension requires at least X509v3",
            ),
        ]
    }

    fn is_critical(&self, oid: &[u8]) -> bool {
        self.critical.contains(&oid)
    }
}

/// A length that is not negative; one too long for a number limits nothing.
fn number(content: &[u8]) -> Result<u64, NotDer> {
    if content.first().is_none_or(|first| first & 0x80 != 0) {
        return Err(NotDer);
    }
    let mut digits = content.iter().skip_while(|digit| **digit == 0);
    let number = digits.try_fold(0_u64, |sum, digit| {
        Some(sum.checked_mul(256)?.saturating_add(u64::from(*digit)))
    });
    Ok(number.unwrap_or(u64::MAX))
}
