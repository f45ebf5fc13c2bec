//! What the handshake proved, for as long as the connection lasts.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use pingora::protocols::tls::SslDigest;

use super::Line;
use crate::certificate::{Chain, Examined, Explanation, Lineage, Verdict, Verified, Verifier};
use crate::clock::Timestamp;
use crate::credential::PresentedCertificate;
use crate::policy::ClientCertificates;
use crate::tls::ssl::{SslCipherRef, SslRef};

/// A connection that passed the door. It remembers which certificate was proven, and what was
/// thought of it last; every request asks again.
pub struct Connection {
    certificate: Option<Proven>,
    policy: ClientCertificates,
    resumed: bool,
    tls: Tls,
    line: Arc<Line>,
}

/// How a connection speaks TLS.
#[derive(Clone, Copy, Debug)]
pub struct Tls {
    /// The version, as OpenSSL writes it: `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as IANA writes it.
    pub cipher: &'static str,
}

struct Proven {
    chain: Chain,
    verdict: ArcSwap<Verdict>,
    /// Kept once somebody asked: anybody may, as often as they like.
    examined: ArcSwapOption<Examined>,
}

impl Connection {
    /// What `ssl` proved in its handshake under `policy`, or in the full one that it resumes.
    pub(super) fn of(
        ssl: &SslRef,
        policy: ClientCertificates,
        verifier: &Verifier,
        line: Arc<Line>,
        now: Timestamp,
    ) -> Self {
        let resumed = ssl.session_reused();
        let certificate = Chain::from_ssl(ssl).map(|chain| Proven {
            verdict: ArcSwap::new(verifier.verify(&chain, now)),
            examined: ArcSwapOption::empty(),
            chain,
        });
        let cipher = ssl.current_cipher();
        Self {
            certificate,
            policy,
            resumed,
            tls: Tls {
                version: ssl.version_str(),
                cipher: cipher
                    .and_then(SslCipherRef::standard_name)
                    .unwrap_or_default(),
            },
            line,
        }
    }

    /// The connection itself, to be watched over and closed.
    #[must_use]
    pub const fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Whether a certificate was shown under another policy than `own`, that of a request's host.
    #[must_use]
    pub fn is_misdirected(&self, own: ClientCertificates) -> bool {
        self.certificate.is_some() && self.policy != own
    }

    /// Whether nothing may be told of a certificate but the code of what is wrong with it.
    #[must_use]
    pub fn is_terse(&self) -> bool {
        self.policy != ClientCertificates::Explain
    }

    /// Whether it resumed an earlier session, so that nothing was proven anew.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// How it speaks TLS.
    #[must_use]
    pub const fn tls(&self) -> Tls {
        self.tls
    }

    /// Everything about the certificate that came on it, in words, with the verdict of any request
    /// on it; `None` without a certificate.
    #[must_use]
    pub fn explain(
        &self,
        verifier: &Verifier,
        lineage: Lineage,
        now: Timestamp,
    ) -> Option<Explanation> {
        let proven = self.certificate.as_ref()?;
        let verdict = self.verdict(verifier, now)?;
        let known = proven.examined.load_full();
        let known = known.filter(|examined| examined.is_of(&verdict));
        let examined = known.unwrap_or_else(|| {
            let examined = Arc::new(verifier.examine(verdict, &proven.chain, now));
            proven.examined.store(Some(Arc::clone(&examined)));
            examined
        });
        Some(verifier.explain_examined(&proven.chain, &examined, lineage, now))
    }

    /// What a request on this connection presents at `now`, by the trust of now.
    #[must_use]
    pub fn certificate(&self, verifier: &Verifier, now: Timestamp) -> PresentedCertificate {
        let Some(verdict) = self.verdict(verifier, now) else {
            return PresentedCertificate::Absent;
        };
        match (verdict.at(now), verdict.lapsed(now)) {
            (Ok(good), _) => PresentedCertificate::Verified(good),
            (Err(_), Some(lapsed)) => PresentedCertificate::Lapsed(Box::new(lapsed)),
            (Err(rejected), None) => PresentedCertificate::Rejected(Box::new(rejected)),
        }
    }

    /// The certificate, when it is good.
    #[must_use]
    pub fn verified(&self, verifier: &Verifier, now: Timestamp) -> Option<Verified> {
        self.verdict(verifier, now)?.at(now).ok()
    }

    fn verdict(&self, verifier: &Verifier, now: Timestamp) -> Option<Arc<Verdict>> {
        let proven = self.certificate.as_ref()?;
        let last = proven.verdict.load();
        let current = verifier.current(&last, &proven.chain, now);
        if !Arc::ptr_eq(&last, &current) {
            proven.verdict.store(Arc::clone(&current));
        }
        Some(current)
    }
}

/// The connection that a TLS stream with this digest is.
pub(super) fn line(digest: Option<&SslDigest>) -> Option<Arc<Line>> {
    let connection = digest?.extension.get::<Connection>()?;
    Some(Arc::clone(connection.line()))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self
            .certificate
            .as_ref()
            .map(|proven| proven.chain.fingerprint());
        f.debug_struct("Connection")
            .field("certificate", &certificate)
            .field("policy", &self.policy)
            .field("resumed", &self.resumed)
            .field("tls", &self.tls)
            .field("line", &self.line)
            .finish()
    }
}
