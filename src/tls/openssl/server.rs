//! Servers that we call, with OpenSSL: its level of security demands all there is.

use pingora::upstreams::peer::PeerOptions;

use crate::tls::error::ErrorStack;
use crate::tls::ssl::{SslConnectorBuilder, SslVersion};

/// Has a handshake with a server fail where it, or the server's chain, is too weak.
///
/// # Errors
///
/// When the library will not have it.
pub fn demand_strength(builder: &mut SslConnectorBuilder) -> Result<(), ErrorStack> {
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))
}

/// The same where Pingora connects: nothing is left to do.
pub fn demand_strength_of_peer(
    _: &mut PeerOptions,
    _: impl Fn(&'static str) + Send + Sync + 'static,
) {
}
