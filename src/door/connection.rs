//! What the handshake proved, for as long as the connection lasts.

use std::net::IpAddr;
use std::sync::Arc;

use pingora::protocols::tls::SslDigest;

use super::{Line, notes};
use crate::certificate::{Chain, Explanation, Lineage, Verified, Verifier};
use crate::clock::Timestamp;
use crate::credential::{Assurance, PresentedCertificate, Sent};
use crate::policy::ClientCertificates;
use crate::tls::ssl::{SslCipherRef, SslRef};

/// A connection that passed the door. It remembers which certificate was proven, and what was
/// thought of it last; every request asks again.
#[derive(Clone, Debug)]
pub struct Connection {
    certificate: Option<Arc<Sent>>,
    assurance: Assurance,
    policy: ClientCertificates,
    resumed: bool,
    tls: Tls,
    line: Arc<Line>,
    through: Option<Arc<Through>>,
}

/// How a connection speaks TLS.
#[derive(Clone, Copy, Debug)]
pub struct Tls {
    /// The version, as OpenSSL writes it: `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as IANA writes it.
    pub cipher: &'static str,
}

/// The balancer that a connection came through, by its header of the PROXY protocol.
#[derive(Clone, Debug)]
pub struct Through {
    /// Its own address.
    pub address: IpAddr,
    /// The certificate that, by its word, its client proved to it just now: DER, not looked at yet.
    pub certificate: Option<Vec<u8>>,
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
        let certificate = Chain::from_ssl(ssl).map(|chain| Sent::new(chain, verifier, now));
        let cipher = ssl.current_cipher();
        Self {
            certificate: certificate.map(Arc::new),
            assurance: Assurance::Proven,
            policy,
            resumed: ssl.session_reused(),
            tls: Tls {
                version: ssl.version_str(),
                cipher: cipher
                    .and_then(SslCipherRef::standard_name)
                    .unwrap_or_default(),
            },
            line,
            through: notes::through(),
        }
    }

    /// The connection of a front, as one request of the front's client sees it: with the client's
    /// `certificate`, if the front forwarded one, and never with the front's own. It goes by the
    /// `policy` of the request's host: the name of the connection is between the front and us.
    #[must_use]
    pub fn forwarding(
        &self,
        certificate: Option<Arc<Sent>>,
        may_claim: bool,
        policy: ClientCertificates,
    ) -> Self {
        Self {
            certificate,
            assurance: Assurance::Asserted { may_claim },
            policy,
            resumed: false,
            ..self.clone()
        }
    }

    /// The same for a request to a host of this `policy`, where the front that brought it asked at
    /// another.
    #[must_use]
    pub fn under(&self, policy: ClientCertificates) -> Self {
        Self {
            policy,
            ..self.clone()
        }
    }

    /// The same without its certificate.
    #[must_use]
    pub fn without_certificate(&self) -> Self {
        Self {
            certificate: None,
            ..self.clone()
        }
    }

    /// The certificate that came on it, whatever is thought of it.
    #[must_use]
    pub fn sent(&self) -> Option<&Sent> {
        self.certificate.as_deref()
    }

    /// The same, to be kept for longer than the connection.
    #[must_use]
    pub const fn shared(&self) -> Option<&Arc<Sent>> {
        self.certificate.as_ref()
    }

    /// The balancer that it came through, when it told so.
    #[must_use]
    pub fn through(&self) -> Option<&Through> {
        self.through.as_deref()
    }

    /// The connection itself, to be watched over and closed.
    #[must_use]
    pub const fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// How it is known that its certificate is its client's.
    #[must_use]
    pub const fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// Whether a certificate was shown under another policy than `own`, that of a request's host. What
    /// a front forwards was shown to the front.
    #[must_use]
    pub fn is_misdirected(&self, own: ClientCertificates) -> bool {
        self.assurance == Assurance::Proven && self.certificate.is_some() && self.policy != own
    }

    /// Whether a certificate came where none is asked for but a front's: then it is no client's.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.certificate.is_some() && !self.policy.asks()
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
        Some(self.sent()?.explain(verifier, lineage, now))
    }

    /// What a request on this connection presents at `now`, by the trust of now.
    #[must_use]
    pub fn certificate(&self, verifier: &Verifier, now: Timestamp) -> PresentedCertificate {
        match self.sent() {
            Some(sent) => sent.presented(verifier, self.assurance, now),
            None => PresentedCertificate::Absent,
        }
    }

    /// The certificate, when it is good.
    #[must_use]
    pub fn verified(&self, verifier: &Verifier, now: Timestamp) -> Option<Verified> {
        self.sent()?.verified(verifier, now)
    }
}

/// The connection that a TLS stream with this digest is.
pub(super) fn line(digest: Option<&SslDigest>) -> Option<Arc<Line>> {
    let connection = digest?.extension.get::<Connection>()?;
    Some(Arc::clone(connection.line()))
}
