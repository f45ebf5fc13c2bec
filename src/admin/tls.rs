//! TLS of the admin listener: with a certificate of its own, and where that is meant, for those alone who
//! show one of an authority that is trusted for this and nothing else.

use crate::secret::SecretBytes;
use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::ssl::{
    AlpnError, SslAcceptor, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
    select_next_proto,
};
use crate::tls::stack::Stack;
use crate::tls::x509::store::X509StoreBuilder;
use crate::tls::x509::{X509, X509Name};

/// What is spoken here.
const HTTP1: &[u8] = b"\x08http/1.1";

/// What the configuration says of it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Its certificate, leaf first, in PEM.
    pub chain_pem: Vec<u8>,
    /// The key of that, in PEM.
    pub key_pem: SecretBytes,
    /// Whoever asks shows a certificate of one of these authorities beside the token; in PEM.
    pub client_ca_pem: Option<Vec<u8>>,
}

/// TLS cannot be spoken so.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The library refuses a certificate, a key or a setting.
    #[error("the admin listener's TLS cannot be set up: {0}")]
    Library(#[from] ErrorStack),
    /// There is no certificate.
    #[error("the admin listener has no certificate in admin.tls.certificate_file")]
    NoCertificate,
}

impl Tls {
    /// How hands are shaken by it. Nothing is resumed: whoever may ask shows that anew each time.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn acceptor(&self) -> Result<SslAcceptor, TlsError> {
        let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
        context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        context.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::NO_TICKET);
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_alpn_select_callback(|_, offered| {
            select_next_proto(HTTP1, offered).ok_or(AlpnError::NOACK)
        });
        let mut chain = X509::stack_from_pem(&self.chain_pem)?.into_iter();
        let leaf = chain.next().ok_or(TlsError::NoCertificate)?;
        context.set_certificate(&leaf)?;
        for intermediate in chain {
            context.add_extra_chain_cert(intermediate)?;
        }
        let key = PKey::private_key_from_pem(self.key_pem.expose())?;
        context.set_private_key(&key)?;
        context.check_private_key()?;
        if let Some(pem) = &self.client_ca_pem {
            let (mut trusted, mut names) = (X509StoreBuilder::new()?, Stack::new()?);
            for authority in X509::stack_from_pem(pem)? {
                names.push(X509Name::from_der(&authority.subject_name().to_der()?)?)?;
                trusted.add_cert(authority)?;
            }
            context.set_cert_store(trusted.build());
            context.set_client_ca_list(names);
            context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        Ok(context.build())
    }
}
