//! Handshakes that failed: why, in words for the operator.

use pingora::Error;

use crate::tls;

/// What the TLS library said of a failed handshake. Pingora keeps only the text of its error, as the
/// context of its own.
pub(super) fn words(error: &Error) -> String {
    let context = error.context.as_ref();
    let words = context.map_or("", |context| context.as_str());
    let own = words.strip_prefix("TLS accept() failed: ");
    tls::words(own.unwrap_or(words))
}

/// Why a handshake did not complete. The words of [`Failure::as_str`] are labels of a metric and
/// stand in docs/TROUBLESHOOTING.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No cipher suite, group or signature algorithm in common.
    NoSharedCipher,
    /// The client's newest version is older than our oldest.
    VersionTooOld,
    /// HTTP without TLS.
    PlainHttp,
    /// A header of the PROXY protocol, which is not expected here.
    ProxyHeader,
    /// No header of the PROXY protocol, which is expected here.
    ProxyHeaderMissing,
    /// A header of it that is broken, or a second one.
    ProxyHeaderMalformed,
    /// Where such headers are expected, a connection from an address that may send none.
    ProxyUnlisted,
    /// Something else than TLS.
    NotTls,
    /// A `ClientHello` that is too long, or whose server name can be read in two ways.
    HelloUnclear,
    /// A certificate that is not good, where such a one ends the handshake.
    CertificateRejected,
    /// The client does not trust our certificate.
    ServerDistrusted,
    /// For the client, our certificate has expired.
    ServerExpired,
    /// The client did not prove to hold the key of its certificate.
    BadSignature,
    /// The client broke it off with another alert.
    ClientAlert,
    /// The connection ended before a whole `ClientHello` had come.
    ClosedBeforeHello,
    /// The connection ended after it.
    ClosedAfterHello,
    /// The time was up before a whole `ClientHello` had come.
    TimeoutBeforeHello,
    /// The time was up after it.
    TimeoutAfterHello,
    /// Anything else.
    Other,
}

/// The words of the TLS libraries' reasons, and what they mean. The first that fits counts.
const REASONS: [(&str, Failure); 32] = [
    ("no shared cipher", Failure::NoSharedCipher),
    ("no suitable key share", Failure::NoSharedCipher),
    ("no suitable signature algorithm", Failure::NoSharedCipher),
    ("no shared signature algorithms", Failure::NoSharedCipher),
    ("no shared group", Failure::NoSharedCipher),
    ("no common signature algorithms", Failure::NoSharedCipher),
    ("wrong curve", Failure::NoSharedCipher),
    ("unsupported protocol", Failure::VersionTooOld),
    ("version too low", Failure::VersionTooOld),
    ("inappropriate fallback", Failure::VersionTooOld),
    ("http request", Failure::PlainHttp),
    ("https proxy request", Failure::PlainHttp),
    ("wrong version number", Failure::NotTls),
    ("unknown protocol", Failure::NotTls),
    ("packet length too long", Failure::NotTls),
    ("encrypted length too long", Failure::NotTls),
    ("bad record type", Failure::NotTls),
    ("alert certificate expired", Failure::ServerExpired),
    ("alert unknown ca", Failure::ServerDistrusted),
    ("alert bad certificate", Failure::ServerDistrusted),
    ("alert certificate unknown", Failure::ServerDistrusted),
    ("alert unsupported certificate", Failure::ServerDistrusted),
    ("excessive message size", Failure::HelloUnclear),
    ("bad signature", Failure::BadSignature),
    ("wrong signature", Failure::BadSignature),
    ("digest check failed", Failure::BadSignature),
    ("alert", Failure::ClientAlert),
    // An alert in the clear where BoringSSL expects a sealed one: too short to be opened.
    ("bad packet length", Failure::ClientAlert),
    ("unexpected eof", Failure::ClosedBeforeHello),
    ("session has been shut down", Failure::ClosedBeforeHello),
    ("connection reset", Failure::ClosedBeforeHello),
    ("broken pipe", Failure::ClosedBeforeHello),
];

impl Failure {
    /// Every one there is.
    pub const ALL: [Self; 19] = [
        Self::NoSharedCipher,
        Self::VersionTooOld,
        Self::PlainHttp,
        Self::ProxyHeader,
        Self::ProxyHeaderMissing,
        Self::ProxyHeaderMalformed,
        Self::ProxyUnlisted,
        Self::NotTls,
        Self::HelloUnclear,
        Self::CertificateRejected,
        Self::ServerDistrusted,
        Self::ServerExpired,
        Self::BadSignature,
        Self::ClientAlert,
        Self::ClosedBeforeHello,
        Self::ClosedAfterHello,
        Self::TimeoutBeforeHello,
        Self::TimeoutAfterHello,
        Self::Other,
    ];

    /// What the library's words mean.
    pub(super) fn of(words: &str) -> Self {
        let words = words.to_ascii_lowercase();
        REASONS
            .iter()
            .find(|(known, _)| words.contains(known))
            .map_or(Self::Other, |(_, failure)| *failure)
    }

    /// The same, once the `ClientHello` is there.
    pub(super) const fn after_hello(self) -> Self {
        match self {
            Self::ClosedBeforeHello => Self::ClosedAfterHello,
            Self::TimeoutBeforeHello => Self::TimeoutAfterHello,
            other => other,
        }
    }

    /// The label of the metric, and the reason in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSharedCipher => "no_shared_cipher",
            Self::VersionTooOld => "version_too_old",
            Self::PlainHttp => "plain_http",
            Self::ProxyHeader => "proxy_header",
            Self::ProxyHeaderMissing => "proxy_header_missing",
            Self::ProxyHeaderMalformed => "proxy_header_malformed",
            Self::ProxyUnlisted => "proxy_unlisted",
            Self::NotTls => "not_tls",
            Self::HelloUnclear => "hello_unclear",
            Self::CertificateRejected => "client_certificate_rejected",
            Self::ServerDistrusted => "server_certificate_distrusted",
            Self::ServerExpired => "server_certificate_expired",
            Self::BadSignature => "bad_signature",
            Self::ClientAlert => "client_alert",
            Self::ClosedBeforeHello => "closed_before_hello",
            Self::ClosedAfterHello => "closed_after_hello",
            Self::TimeoutBeforeHello => "timeout_before_hello",
            Self::TimeoutAfterHello => "timeout_after_hello",
            Self::Other => "other",
        }
    }

    /// The failure of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|failure| failure.as_str() == name)
    }

    /// What it means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NoSharedCipher => {
                "client and gateway have no cipher suite, group or signature algorithm in common"
            }
            Self::VersionTooOld => {
                "the client offers only versions of TLS older than listener.minimum_tls"
            }
            Self::PlainHttp => "the client spoke plain HTTP to the TLS port",
            Self::ProxyHeader => {
                "a proxy in front sends a PROXY header before the TLS handshake, which is not \
                 expected here"
            }
            Self::ProxyHeaderMissing => {
                "the connection does not begin with a PROXY header, which \
                 listener.proxy_protocol_from asks of every connection"
            }
            Self::ProxyHeaderMalformed => {
                "the PROXY header is broken, of a kind that does not fit, or followed by a second one"
            }
            Self::ProxyUnlisted => {
                "the connection comes from an address that listener.proxy_protocol_from does not name"
            }
            Self::NotTls => "what came is not TLS",
            Self::HelloUnclear => {
                "the ClientHello is longer than any, or written so that its server name could be \
                 read in two ways"
            }
            Self::CertificateRejected => {
                "the client's certificate is not good, and its server name has client_certificates \
                 = \"reject-connection\""
            }
            Self::ServerDistrusted => "the client does not trust the gateway's own certificate",
            Self::ServerExpired => "for the client, the gateway's own certificate has expired",
            Self::BadSignature => {
                "the client did not prove to hold the private key of the certificate that it sent"
            }
            Self::ClientAlert => "the client broke the handshake off with an alert",
            Self::ClosedBeforeHello => {
                "the connection ended before a whole ClientHello had come: often a health check or \
                 a port scan"
            }
            Self::ClosedAfterHello => {
                "the client left without a word when it had seen the gateway's certificate or its \
                 request for one"
            }
            Self::TimeoutBeforeHello => {
                "no whole ClientHello came within listener.handshake_timeout"
            }
            Self::TimeoutAfterHello => {
                "the client began, and did not finish the handshake within \
                 listener.handshake_timeout: its certificate, the proof of it or its last message \
                 is missing"
            }
            Self::Other => "the handshake failed in an unusual way",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NoSharedCipher => {
                "update the client's TLS library, or widen what it is configured to offer"
            }
            Self::VersionTooOld => {
                "update the client's TLS library; one from 2012 or later speaks TLS 1.2"
            }
            Self::PlainHttp => "begin the client's URL with https://",
            Self::ProxyHeader => {
                "turn the PROXY protocol off at the proxy, or name its address in \
                 listener.proxy_protocol_from"
            }
            Self::ProxyHeaderMissing => {
                "turn the PROXY protocol on at the balancer (v1 or v2), also for its health checks"
            }
            Self::ProxyHeaderMalformed => {
                "look at how the balancer is set up: one header, v1 or v2, for TCP over IPv4 or IPv6"
            }
            Self::ProxyUnlisted => {
                "if it is a balancer, name its address in listener.proxy_protocol_from; otherwise \
                 somebody calls past the balancer"
            }
            Self::HelloUnclear => {
                "nothing, unless a client complains: no known library writes one like this"
            }
            Self::CertificateRejected => {
                "look the code up in docs/PROBLEMS.md; to have the client told all of it, set \
                 client_certificates = \"explain\" for the name"
            }
            Self::NotTls => "find out what else than an HTTPS client talks to this port",
            Self::ServerDistrusted => {
                "give the client the CA that issued the gateway's certificate, and the gateway \
                 every intermediate of it; see that the client calls a name that is in it"
            }
            Self::ServerExpired => {
                "renew the gateway's certificate and start again; if it is valid, set the client's \
                 clock"
            }
            Self::BadSignature => {
                "give the client the key that belongs to its certificate; if nobody runs this \
                 client, somebody tries a certificate without its key"
            }
            Self::ClientAlert => "look into the client's own log, and at OpenSSL's words here",
            Self::ClosedBeforeHello => {
                "nothing, unless a client complains; health checks are better sent to /livez"
            }
            Self::ClosedAfterHello => {
                "look into the client's own log: it may not trust our certificate, or want none of \
                 its own to be asked for"
            }
            Self::TimeoutBeforeHello => {
                "look for a slow network, or for somebody who holds connections open"
            }
            Self::TimeoutAfterHello => {
                "look for a client that waits for its user, a smart card or a key in hardware; or a \
                 network that loses large packets"
            }
            Self::Other => "look at OpenSSL's words",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_name_of_its_own_and_is_found_by_it() {
        for failure in Failure::ALL {
            assert_eq!(Failure::named(failure.as_str()), Some(failure));
        }
        assert_eq!(Failure::named("unheard_of"), None);
    }

    #[test]
    fn the_alerts_about_our_certificate_are_told_apart() {
        for (words, failure) in [
            ("tlsv1 alert unknown ca", Failure::ServerDistrusted),
            ("ssl/tls alert certificate expired", Failure::ServerExpired),
            ("ssl/tls alert handshake failure", Failure::ClientAlert),
            ("something new", Failure::Other),
        ] {
            assert_eq!(Failure::of(words), failure, "{words}");
        }
    }

    #[test]
    fn the_reasons_of_both_libraries_are_known() {
        for (words, failure) in [
            (
                "error:0A0000C1:SSL routines::no shared cipher",
                Failure::NoSharedCipher,
            ),
            ("no common signature algorithms", Failure::NoSharedCipher),
            (
                "error:0A000102:SSL routines::unsupported protocol",
                Failure::VersionTooOld,
            ),
            ("unsupported protocol", Failure::VersionTooOld),
            ("wrong version number", Failure::NotTls),
            ("encrypted length too long", Failure::NotTls),
            ("tlsv1 alert unknown ca", Failure::ServerDistrusted),
            ("sslv3 alert certificate expired", Failure::ServerExpired),
            ("unexpected EOF", Failure::ClosedBeforeHello),
        ] {
            assert_eq!(Failure::of(words), failure, "{words}");
        }
    }

    #[test]
    fn an_end_is_told_by_its_flight() {
        let ended = Failure::of("unexpected eof while reading");
        assert_eq!(ended, Failure::ClosedBeforeHello);
        assert_eq!(ended.after_hello(), Failure::ClosedAfterHello);
        assert_eq!(Failure::BadSignature.after_hello(), Failure::BadSignature);
    }
}
