//! What a client told of itself in a handshake that then failed.
//!
//! OpenSSL's callbacks know nothing of the connection that they are called for, and after a failure
//! its state is gone. So the notes lie with the task that drives the handshake.

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::connection::Through;
use super::failure::Failure;
use super::hello::normal;
use crate::text::escaped;
use crate::tls::Hello;
use crate::tls::ssl::SslVersion;

/// How many cipher suites are noted; a `ClientHello` has room for thousands.
const CIPHERS: usize = 32;
/// How long a name may be (RFC 1035 section 2.3.4); a `ClientHello` has room for more.
const NAME: usize = 255;

tokio::task_local! {
    static NOTES: Arc<Notes>;
}

/// The notes of one handshake.
#[derive(Debug, Default)]
pub(super) struct Notes {
    hello: OnceLock<(Option<SslVersion>, Vec<u8>)>,
    /// The name by which the acceptor was chosen.
    server_name: OnceLock<Option<String>>,
    caller: OnceLock<SocketAddr>,
    through: OnceLock<Arc<Through>>,
    refused: OnceLock<(Failure, String)>,
}

/// What is known of a client whose handshake failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Offer {
    /// The name that it asked for (SNI, RFC 6066 section 3), escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The newest version of TLS that it offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Cow<'static, str>>,
    /// The first of its cipher suites, by their numbers in IANA's registry of TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ciphers: Vec<String>,
}

impl Notes {
    /// Drives `handshake`, whose callbacks write into these notes.
    pub(super) fn during<F: Future>(
        self: &Arc<Self>,
        handshake: F,
    ) -> impl Future<Output = F::Output> {
        NOTES.scope(Arc::clone(self), handshake)
    }

    /// The client asks for this server name.
    pub(super) fn note_server_name(&self, name: Option<&str>) {
        self.server_name.get_or_init(|| name.map(str::to_owned));
    }

    /// Why a callback refused the handshake, and in which words.
    pub(super) fn refused(&self) -> Option<(Failure, String)> {
        self.refused.get().cloned()
    }

    /// The balancer in front says that it is `caller` who calls.
    pub(super) fn note_caller(&self, caller: SocketAddr) {
        self.caller.get_or_init(|| caller);
    }

    /// It came through this balancer.
    pub(super) fn note_through(&self, through: Through) {
        self.through.get_or_init(|| Arc::new(through));
    }

    /// The address of the balancer that it came through.
    pub(super) fn balancer(&self) -> Option<IpAddr> {
        self.through.get().map(|through| through.address)
    }

    /// Who calls, when a balancer in front said so.
    pub(super) fn caller(&self) -> Option<SocketAddr> {
        self.caller.get().copied()
    }

    /// Whether a whole `ClientHello` came.
    pub(super) fn heard_hello(&self) -> bool {
        self.hello.get().is_some()
    }

    /// What the client offered.
    pub(super) fn offer(&self) -> Offer {
        let (version, ciphers) = match self.hello.get() {
            Some((version, ciphers)) => (*version, ciphers.as_slice()),
            None => (None, &[][..]),
        };
        let number = |pair: &[u8]| format!("0x{}", hex::encode_upper(pair));
        Offer {
            server_name: self
                .server_name
                .get()
                .cloned()
                .flatten()
                .map(|name| escaped(&name, NAME)),
            tls: version.map(|version| {
                Cow::Borrowed(match version {
                    SslVersion::TLS1 => "1.0",
                    SslVersion::TLS1_1 => "1.1",
                    // Later versions are offered in an extension (RFC 8446 section 4.1.2).
                    SslVersion::TLS1_2 | SslVersion::TLS1_3 => "1.2 or later",
                    SslVersion::SSL3 => "SSL 3.0",
                    _ => "unknown",
                })
            }),
            ciphers: ciphers.chunks_exact(2).map(number).collect(),
        }
    }
}

/// A whole `ClientHello` came.
pub(super) fn note_hello(Hello { version, ciphers }: Hello<'_>) {
    // Outside a handshake of ours there is nobody to tell.
    let _ = NOTES.try_with(|notes| {
        notes.hello.get_or_init(|| {
            let length = ciphers.len().min(CIPHERS.saturating_mul(2));
            let first = ciphers.get(..length).unwrap_or_default();
            (version, first.to_vec())
        });
    });
}

/// The balancer that the connection came through whose handshake is driven.
pub(super) fn through() -> Option<Arc<Through>> {
    NOTES.try_with(|notes| notes.through.get().cloned()).ok()?
}

/// Whether OpenSSL reads the same server name as was read before it was asked.
pub(super) fn is_noted(name: Option<&str>) -> bool {
    let noted = NOTES.try_with(|notes| notes.server_name.get().cloned());
    noted.is_ok_and(|noted| noted.flatten() == name.and_then(normal))
}

/// A callback refuses the handshake.
pub(super) fn note_refused(failure: Failure, words: impl FnOnce() -> String) {
    let _ = NOTES.try_with(|notes| {
        notes.refused.get_or_init(|| (failure, words()));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_is_noted_escaped_and_cut() {
        let noted = |name: &str| {
            let notes = Notes::default();
            notes.note_server_name(Some(name));
            notes.offer().server_name.unwrap()
        };
        assert_eq!(noted("api.example.com"), "api.example.com");
        assert_eq!(
            noted("a\u{85}\u{9b}2j\u{202e}\u{2028}\u{200b}\n"),
            r"a\u{85}\u{9b}2j\u{202e}\u{2028}\u{200b}\n"
        );
        assert_eq!(noted(&"a".repeat(10_000)).len(), NAME);
    }

    #[tokio::test]
    async fn r11_a_name_that_openssl_reads_otherwise_is_noticed() {
        for (before, by_openssl, is_same) in [
            (Some("a.example"), Some("A.example."), true),
            (None, None, true),
            (None, Some("."), true),
            (Some("a.example"), Some("b.example"), false),
            (Some("a.example"), None, false),
            (None, Some("a.example"), false),
        ] {
            let notes = Arc::new(Notes::default());
            notes.note_server_name(before);
            let found = notes.during(async { is_noted(by_openssl) }).await;
            assert_eq!(found, is_same, "{before:?} {by_openssl:?}");
        }
        assert!(!is_noted(None), "outside a handshake");
    }
}
