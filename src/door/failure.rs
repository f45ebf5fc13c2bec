//! Handshakes that failed: why, in words for the operator.

use pingora::Error;

/// What OpenSSL said of a failed handshake. Pingora keeps only the text of its error, as the context
/// of its own.
pub(super) fn words(error: &Error) -> String {
    let context = error.context.as_ref();
    context.map_or_else(String::new, |context| context.as_str().to_owned())
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    NoSharedCipher,
    OldVersion,
    PlainHttp,
    NotTls,
    ClientDistrustsUs,
    BadSignature,
    ClientAlert,
    Closed,
    Deadline,
    Other,
}

/// The words of OpenSSL's reasons, and what they mean. The first that fits counts.
const REASONS: [(&str, Failure); 27] = [
    ("no shared cipher", Failure::NoSharedCipher),
    ("no suitable key share", Failure::NoSharedCipher),
    ("no suitable signature algorithm", Failure::NoSharedCipher),
    ("no shared signature algorithms", Failure::NoSharedCipher),
    ("no shared group", Failure::NoSharedCipher),
    ("unsupported protocol", Failure::OldVersion),
    ("version too low", Failure::OldVersion),
    ("inappropriate fallback", Failure::OldVersion),
    ("http request", Failure::PlainHttp),
    ("https proxy request", Failure::PlainHttp),
    ("wrong version number", Failure::NotTls),
    ("unknown protocol", Failure::NotTls),
    ("packet length too long", Failure::NotTls),
    ("bad record type", Failure::NotTls),
    ("alert unknown ca", Failure::ClientDistrustsUs),
    ("alert bad certificate", Failure::ClientDistrustsUs),
    ("alert certificate unknown", Failure::ClientDistrustsUs),
    ("alert certificate expired", Failure::ClientDistrustsUs),
    ("alert unsupported certificate", Failure::ClientDistrustsUs),
    ("bad signature", Failure::BadSignature),
    ("wrong signature", Failure::BadSignature),
    ("digest check failed", Failure::BadSignature),
    ("alert", Failure::ClientAlert),
    ("unexpected eof", Failure::Closed),
    ("session has been shut down", Failure::Closed),
    ("connection reset", Failure::Closed),
    ("broken pipe", Failure::Closed),
];

impl Failure {
    /// What OpenSSL's words mean.
    pub(super) fn of(words: &str) -> Self {
        let words = words.to_ascii_lowercase();
        REASONS
            .iter()
            .find(|(known, _)| words.contains(known))
            .map_or(Self::Other, |(_, failure)| *failure)
    }

    /// The label of the metric.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::NoSharedCipher => "no_shared_cipher",
            Self::OldVersion => "version_too_old",
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::ClientDistrustsUs => "server_certificate_distrusted",
            Self::BadSignature => "bad_signature",
            Self::ClientAlert => "client_alert",
            Self::Closed => "closed",
            Self::Deadline => "deadline",
            Self::Other => "other",
        }
    }

    /// What it means and what to do.
    const fn meaning(self) -> &'static str {
        match self {
            Self::NoSharedCipher => {
                "client and gateway have no cipher suite, group or signature algorithm in common; the client's TLS library is very old or narrowly configured: update or widen it"
            }
            Self::OldVersion => {
                "the client offers only TLS versions older than listener.minimum_tls; update the client's TLS library"
            }
            Self::PlainHttp => {
                "the client spoke plain HTTP to the TLS port; its URL must begin with https://"
            }
            Self::NotTls => {
                "what came is not TLS; something else than an HTTPS client, or a proxy in front that sends a PROXY header, talks to this port"
            }
            Self::ClientDistrustsUs => {
                "the client does not trust the gateway's own certificate; give the client the CA that issued it, or renew it"
            }
            Self::BadSignature => {
                "the client could not prove that it holds the key of its certificate; its certificate and key files do not belong together"
            }
            Self::ClientAlert => {
                "the client broke the handshake off with an alert; its own log says why"
            }
            Self::Closed => {
                "the client closed the connection in the middle of the handshake; often a port scan, a health check without TLS, or a client that saw the certificate request and had none to send"
            }
            Self::Deadline => {
                "the client did not finish the handshake within listener.handshake_timeout; a slow network, or an attack that holds connections open"
            }
            Self::Other => "the handshake failed in an unusual way",
        }
    }

    /// One line for the operator, with OpenSSL's own words where there are any.
    pub(super) fn log(self, peer: &str, words: &str) {
        tracing::info!(
            peer,
            reason = self.reason(),
            meaning = self.meaning(),
            openssl = Some(words).filter(|words| !words.is_empty()),
            "TLS handshake failed"
        );
    }
}
