//! What the configuration says of the admin listener.

use std::net::SocketAddr;

use super::access::Token;
use super::tls::Tls;

/// Where the operator's questions are answered, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A loopback address, unless there is TLS and somebody with a token.
    pub address: SocketAddr,
    /// By which somebody shows that.
    pub tokens: Vec<Token>,
    /// Without it, HTTP is spoken in the clear.
    pub tls: Option<Tls>,
}
