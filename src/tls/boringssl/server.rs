//! Servers that we call, with BoringSSL: what OpenSSL demands of them at its level of security, and
//! BoringSSL of nobody.

use std::sync::Arc;

use pingora::upstreams::peer::PeerOptions;

use super::handshake::SIGNATURES;
use super::raw;
use crate::tls::error::ErrorStack;
use crate::tls::is_weak;
use crate::tls::ssl::{SslConnectorBuilder, SslRef, SslVerifyMode, SslVersion};
use crate::tls::x509::X509VerifyError;

/// What a chain that is too weak ends with; nothing else does here.
pub(super) const TOO_WEAK: X509VerifyError = X509VerifyError::CERT_REJECTED;
pub(super) const WORDS: &str = "a key or a signature of its chain is too weak";

/// Has a handshake with a server fail where it, or the server's chain, is too weak.
///
/// # Errors
///
/// When the library will not have it.
pub fn demand_strength(builder: &mut SslConnectorBuilder) -> Result<(), ErrorStack> {
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_verify_algorithm_prefs(&SIGNATURES)?;
    builder.set_verify_callback(SslVerifyMode::PEER, |good, context| {
        let chain = context.chain();
        let is_strong = chain.is_some_and(|chain| !chain.iter().any(is_weak));
        if good && !is_strong {
            context.set_error(Err(TOO_WEAK));
        }
        good && is_strong
    });
    Ok(())
}

/// The same where Pingora connects, which takes TLS 1.0 and SHA-1: nothing is sent to such a server,
/// nor read from it, once the handshake is done. `refused` is told why.
pub fn demand_strength_of_peer(
    options: &mut PeerOptions,
    refused: impl Fn(&'static str) + Send + Sync + 'static,
) {
    if let Some(authorities) = &options.ca {
        // In these a chain may end, so that the server does not send them.
        let strong = authorities.iter().filter(|x509| !is_weak(x509));
        options.ca = Some(Arc::new(strong.cloned().collect()));
    }
    options.upstream_tls_handshake_complete_hook = Some(Arc::new(move |ssl| {
        if let Some(why) = weakness(ssl) {
            raw::shut(ssl);
            refused(why);
        }
        None
    }));
}

/// What is too weak about a connection to a server, and its chain as it was sent.
fn weakness(ssl: &SslRef) -> Option<&'static str> {
    let version = ssl.version2();
    if !matches!(version, Some(SslVersion::TLS1_2 | SslVersion::TLS1_3)) {
        return Some("it speaks no TLS newer than 1.1");
    }
    let cipher = ssl.current_cipher();
    if cipher.is_none_or(|cipher| cipher.name().contains("DES")) {
        return Some("it encrypts with Triple DES");
    }
    let proof = ssl.peer_signature_algorithm();
    if proof.is_some_and(|proof| !SIGNATURES.contains(&proof)) {
        return Some("it proves to hold its key by a weak signature");
    }
    let Some(chain) = ssl.peer_cert_chain() else {
        return Some("it shows no certificate");
    };
    chain.iter().any(is_weak).then_some(WORDS)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::thread::scope;

    use super::*;
    use crate::tls::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod};

    /// How to speak TLS 1.2 with whoever knows the same secret, and shows no certificate.
    fn by_secret() -> SslContextBuilder {
        let mut context = SslContext::builder(SslMethod::tls()).unwrap();
        context.set_cipher_list("PSK").unwrap();
        context
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
        let secret = |room: &mut [u8]| {
            room[..16].fill(7);
            Ok(16)
        };
        context.set_psk_server_callback(move |_, _, room| secret(room));
        context.set_psk_client_callback(move |_, _, name, room| {
            name[0] = 0;
            secret(room)
        });
        context
    }

    #[test]
    fn a_server_that_shows_no_certificate_is_sent_nothing() {
        let (near, far) = UnixStream::pair().unwrap();
        let context = by_secret().build();
        let came = scope(|scope| {
            let serving = scope.spawn(|| {
                let mut stream = Ssl::new(&context).unwrap().accept(far).unwrap();
                let mut came = Vec::new();
                let _ = stream.read_to_end(&mut came);
                came
            });
            let mut stream = Ssl::new(&context).unwrap().connect(near).unwrap();
            assert!(stream.ssl().peer_certificate().is_none());
            stream.write_all(b"the control").unwrap();
            let mut options = PeerOptions::new();
            demand_strength_of_peer(&mut options, |why| {
                assert_eq!(why, "it shows no certificate");
            });
            options.upstream_tls_handshake_complete_hook.unwrap()(stream.ssl());
            stream.write_all(b"the request").unwrap_err();
            drop(stream);
            serving.join().unwrap()
        });
        assert_eq!(came, b"the control");
    }
}
