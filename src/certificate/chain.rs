//! The certificates that a peer sent, within bounds.

use sha2::{Digest, Sha256};

use super::content::Content;
use super::{Facts, Fingerprint};
use crate::clock::Timestamp;
use crate::tls::error::ErrorStack;
use crate::tls::nid::Nid;
use crate::tls::pkey::Id;
use crate::tls::ssl::SslRef;
use crate::tls::x509::{X509, X509Ref};

/// How many certificates may come with a client's own.
const MOST_INTERMEDIATES: usize = 10;
/// How many bytes one certificate may have.
const MOST_BYTES: usize = 16 * 1024;
/// How many bits a key may have, and an RSA key's public exponent: more would let a stranger buy
/// our time cheaply.
const MOST_KEY_BITS: u32 = 8192;
const MOST_EXPONENT_BITS: i32 = 64;

/// A client's certificate and what it sent along. Nothing of it is verified or even parsed by us
/// before [`super::Verifier`] asks, so that a known chain costs two hashes.
#[derive(Clone)]
pub struct Chain {
    leaf: Option<X509>,
    intermediates: Vec<X509>,
    fingerprint: Fingerprint,
    sent: Fingerprint,
    resumed: bool,
    excess: bool,
}

/// One certificate of a chain, read.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) x509: X509,
    pub(super) fingerprint: Fingerprint,
    pub(super) content: Content,
}

/// Why a chain is not even tried.
pub(super) struct Unfit {
    pub(super) depth: usize,
    pub(super) facts: Option<Facts>,
    pub(super) detail: String,
}

impl Chain {
    /// A client's certificate and those that came with it, in any order.
    #[must_use]
    pub fn new(leaf: &X509Ref, intermediates: impl IntoIterator<Item = X509>) -> Self {
        let leaf_der = leaf.to_der().unwrap_or_default();
        let mut chain = Self::empty(&leaf_der);
        chain.leaf = Some(leaf.to_owned());
        let given: Vec<_> = intermediates.into_iter().collect();
        let prints = given.iter().map(|x509| print(x509));
        chain.sent = all_of(prints);
        chain.take(given);
        chain
    }

    /// A chain out of DER, as a front forwards it. What cannot be read makes a chain that is
    /// rejected as invalid.
    #[must_use]
    pub fn from_der(leaf: &[u8], intermediates: &[Vec<u8>]) -> Self {
        let read = |der: &[u8]| {
            let x509 = X509::from_der(der).ok()?;
            // OpenSSL would ignore what follows the certificate.
            (x509.to_der().ok()? == der).then_some(x509)
        };
        let mut chain = Self::empty(leaf);
        chain.sent = all_of(intermediates.iter().map(|der| Fingerprint::of(der)));
        chain.leaf = read(leaf);
        let within = intermediates.iter().take(MOST_INTERMEDIATES);
        let read: Vec<_> = within.map_while(|der| read(der)).collect();
        let all_read = read.len() == intermediates.len();
        chain.take(read);
        if intermediates.len() > MOST_INTERMEDIATES {
            chain.excess = true;
        } else if !all_read {
            chain.leaf = None;
        }
        let _ = ErrorStack::get();
        chain
    }

    /// What the peer of a finished handshake sent; `None` when it sent no certificate. After a
    /// resumption only its own certificate may be known.
    #[must_use]
    pub fn from_ssl(ssl: &SslRef) -> Option<Self> {
        let leaf = ssl.peer_certificate()?;
        let sent = ssl.peer_cert_chain();
        let mut chain = Self::new(&leaf, sent.into_iter().flatten().map(ToOwned::to_owned));
        chain.resumed = ssl.session_reused() && chain.intermediates.is_empty();
        Some(chain)
    }

    /// What a session that is to be resumed keeps: of OpenSSL the client's certificate, of BoringSSL
    /// all that was sent.
    #[must_use]
    pub fn resumed(leaf: &X509Ref, sent: Vec<X509>) -> Self {
        let mut chain = Self::new(leaf, sent);
        chain.resumed = chain.intermediates.is_empty();
        chain
    }

    fn empty(leaf: &[u8]) -> Self {
        Self {
            leaf: None,
            intermediates: Vec::new(),
            fingerprint: Fingerprint::of(leaf),
            sent: all_of([].into_iter()),
            resumed: false,
            excess: false,
        }
    }

    fn take(&mut self, given: Vec<X509>) {
        self.excess = given.len() > MOST_INTERMEDIATES;
        // OpenSSL's client side counts the leaf among the others.
        let others = given.into_iter().take(MOST_INTERMEDIATES);
        self.intermediates = others
            .filter(|x509| print(x509) != self.fingerprint)
            .collect();
    }

    /// The SHA-256 of the client's certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The client's certificate, unless it cannot be read.
    #[must_use]
    pub fn leaf(&self) -> Option<&X509Ref> {
        self.leaf.as_deref()
    }

    /// How many certificates came with the client's own, as far as they were taken.
    #[must_use]
    pub const fn intermediates(&self) -> usize {
        self.intermediates.len()
    }

    /// Whether only the client's certificate is known, since the session was resumed.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The client's certificate and what came with it, in that order, each with what it says of
    /// itself as far as that can be read: to be shown.
    pub(super) fn shown(&self) -> impl Iterator<Item = (Fingerprint, Option<Facts>)> {
        let leaf = self.leaf.iter().map(|leaf| (self.fingerprint, leaf));
        let unread = self.leaf.is_none().then_some((self.fingerprint, None));
        let others = self.intermediates.iter().map(|other| (print(other), other));
        let read = leaf.chain(others);
        let read = read.map(|(print, x509)| (print, Facts::of(x509).ok()));
        unread.into_iter().chain(read)
    }

    /// What tells apart two sets of accompanying certificates, with all that was not taken.
    pub(super) const fn sent(&self) -> &Fingerprint {
        &self.sent
    }

    /// Reads all certificates, the client's first, and refuses what is out of bounds before
    /// anything is computed with its keys.
    pub(super) fn read(&self) -> Result<(Link, Vec<Link>), Box<Unfit>> {
        let Some(leaf) = &self.leaf else {
            return Err(Unfit::new(
                "A certificate that you sent cannot be read. Send certificates in DER, exactly as \
                 they were issued.",
            ));
        };
        let leaf = Link::read(leaf)?;
        let of_leaf = |mut unfit: Box<Unfit>, depth| {
            unfit.depth = depth;
            unfit.facts = Some(leaf.content.facts.clone());
            unfit
        };
        if self.excess {
            let unfit = Unfit::new(format!(
                "You sent more than {MOST_INTERMEDIATES} certificates beside your own. Send only \
                 the intermediates between your certificate and the authority."
            ));
            return Err(of_leaf(unfit, 0));
        }
        let intermediates = self.intermediates.iter().enumerate();
        let intermediates = intermediates
            .map(|(i, x509)| Link::read(x509).map_err(|unfit| of_leaf(unfit, i.saturating_add(1))))
            .collect::<Result<_, _>>()?;
        Ok((leaf, intermediates))
    }
}

fn print(x509: &X509Ref) -> Fingerprint {
    Fingerprint::of(&x509.to_der().unwrap_or_default())
}

/// One fingerprint for all of them, in their order. As each has the same length, so it tells their
/// number too.
fn all_of(prints: impl Iterator<Item = Fingerprint>) -> Fingerprint {
    let mut all = Sha256::new();
    prints.for_each(|print| all.update(print.as_bytes()));
    Fingerprint::from_bytes(all.finalize().into())
}

impl Unfit {
    fn new(detail: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            depth: 0,
            facts: None,
            detail: detail.into(),
        })
    }
}

impl Link {
    /// Whether it is valid at this moment.
    fn is_valid(&self, now: Timestamp) -> bool {
        let facts = &self.content.facts;
        facts.not_before <= now && now < facts.not_after
    }

    /// Whether it counts as an issuer, which one that is not valid now does not when another one
    /// of the same name and key is: OpenSSL picks the valid one only while it looks at the time.
    pub(super) fn counts<'a>(
        &self,
        all: impl IntoIterator<Item = &'a Self>,
        now: Timestamp,
    ) -> bool {
        let same = |other: &Self| {
            other.content.subject == self.content.subject
                && other.content.facts.spki == self.content.facts.spki
        };
        self.is_valid(now)
            || !all
                .into_iter()
                .any(|other| same(other) && other.is_valid(now))
    }

    /// Reads one certificate within the bounds.
    pub(super) fn read(x509: &X509) -> Result<Self, Box<Unfit>> {
        let der = x509.to_der().unwrap_or_default();
        if der.len() > MOST_BYTES {
            return Err(Unfit::new(format!(
                "A certificate has {} bytes, more than the {MOST_BYTES} that are \
                 accepted. Have it issued with fewer names and extensions.",
                der.len()
            )));
        }
        let content = Content::read(&der).map_err(|_| {
            Unfit::new("A certificate is not encoded as RFC 5280 demands. Have it issued again.")
        })?;
        if let Err(fault) = key_within_bounds(x509) {
            let mut unfit = Unfit::new(format!(
                "The certificate '{}' {fault}.",
                content.facts.subject
            ));
            unfit.facts = Some(content.facts);
            return Err(unfit);
        }
        Ok(Self {
            x509: x509.clone(),
            fingerprint: Fingerprint::of(&der),
            content,
        })
    }
}

fn key_within_bounds(x509: &X509Ref) -> Result<(), &'static str> {
    let key = x509.public_key();
    let _ = ErrorStack::get();
    let Ok(key) = key else {
        return Err("has a key of an unknown kind; use RSA or ECDSA");
    };
    if ![Id::RSA, Id::RSA_PSS, Id::EC, Id::ED25519, Id::ED448].contains(&key.id()) {
        return Err("has a key of a kind that is not accepted; use RSA or ECDSA");
    }
    if key.bits() > MOST_KEY_BITS {
        return Err("has a key of more than 8192 bits; use a smaller one");
    }
    if let Ok(rsa) = key.rsa()
        && rsa.e().num_bits() > MOST_EXPONENT_BITS
    {
        return Err("has an RSA key with an outsized exponent; use 65537");
    }
    // Other curves have no fast arithmetic in OpenSSL: a signature costs a hundred times as much.
    let known = [
        Some(Nid::X9_62_PRIME256V1),
        Some(Nid::SECP384R1),
        Some(Nid::SECP521R1),
    ];
    if let Ok(ec) = key.ec_key()
        && !known.contains(&ec.group().curve_name())
    {
        return Err("has a key on a curve that is not accepted; use P-256, P-384 or P-521");
    }
    let _ = ErrorStack::get();
    Ok(())
}
