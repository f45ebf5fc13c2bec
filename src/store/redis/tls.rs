//! TLS with Redis: only the configured authorities are trusted, and the name is always checked.

use std::fmt;
use std::pin::Pin;

use tokio::net::TcpStream;

use super::settings::Address;
use crate::secret::SecretBytes;
use crate::tls;
use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::ssl::{SslConnector, SslMethod};
use crate::tls::tokio_ssl::SslStream;
use crate::tls::x509::X509;
use crate::tls::x509::store::X509StoreBuilder;

/// How to speak TLS with a server.
#[derive(Clone)]
pub struct Tls {
    connector: SslConnector,
    server_name: Option<String>,
}

impl Tls {
    /// TLS with servers whose certificates lead to one of `ca_pem` and name `server_name`, or
    /// without one the host that is asked. `identity` is our own certificate, its intermediates
    /// after it, and its key.
    ///
    /// # Errors
    ///
    /// When one of the certificates or the key cannot be used.
    pub fn new(
        ca_pem: &[u8],
        identity: Option<(&[u8], &SecretBytes)>,
        server_name: Option<String>,
    ) -> Result<Self, ErrorStack> {
        let mut trusted = X509StoreBuilder::new()?;
        for authority in X509::stack_from_pem(ca_pem)? {
            trusted.add_cert(authority)?;
        }
        let mut builder = SslConnector::builder(SslMethod::tls())?;
        // In the place of the system's own authorities.
        builder.set_cert_store(trusted.build());
        tls::demand_strength(&mut builder)?;
        if let Some((chain, key)) = identity {
            let mut chain = X509::stack_from_pem(chain)?.into_iter();
            if let Some(leaf) = chain.next() {
                builder.set_certificate(&leaf)?;
            }
            for intermediate in chain {
                builder.add_extra_chain_cert(intermediate)?;
            }
            // Without a callback OpenSSL asks for a passphrase on the terminal.
            let key = PKey::private_key_from_pem_callback(key.expose(), |_| Ok(0))?;
            builder.set_private_key(&key)?;
        }
        Ok(Self {
            connector: builder.build(),
            server_name,
        })
    }

    /// Makes the handshake with the server at `address`.
    pub(super) async fn greet(
        &self,
        stream: TcpStream,
        address: &Address,
    ) -> Result<SslStream<TcpStream>, String> {
        let name = self.server_name.as_ref().unwrap_or(&address.host);
        let ssl = self
            .connector
            .configure()
            .and_then(|one| one.into_ssl(name));
        let stream = ssl.and_then(|ssl| SslStream::new(ssl, stream));
        let mut stream = stream.map_err(|error| error.to_string())?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            return Err(match tls::distrust(stream.ssl()) {
                None => error.to_string(),
                Some(why) => format!(
                    "its certificate is not accepted ({why}); check store.tls.ca_file and \
                     store.tls.server_name, here {name:?}"
                ),
            });
        }
        Ok(stream)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
