//! What the configuration says of the admin listener.

use std::net::SocketAddr;

use super::access::Token;

/// Where the operator's questions are answered, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A loopback address, unless everybody has to show who they are.
    pub address: SocketAddr,
    /// By which somebody shows that.
    pub tokens: Vec<Token>,
}
