//! Where a backend is now: its addresses, resolved anew from time to time.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use pingora::lb::Backend as Address;
use pingora::lb::discovery::ServiceDiscovery;
use pingora::{Error, ErrorType, Result};

/// The `host:port` pairs of a backend. A name stands for every address that it resolves to.
#[derive(Debug)]
pub(super) struct Names(pub(super) Vec<String>);

#[async_trait]
impl ServiceDiscovery for Names {
    /// Every address that can be resolved; an error when none can, so that the last ones stay.
    async fn discover(&self) -> Result<(BTreeSet<Address>, HashMap<u64, bool>)> {
        let mut found = BTreeSet::new();
        for name in &self.0 {
            match tokio::net::lookup_host(name).await {
                Ok(addresses) => {
                    for address in addresses {
                        found.insert(Address::new(&address.to_string())?);
                    }
                }
                Err(error) => tracing::warn!(%name, %error, "a backend's name cannot be resolved"),
            }
        }
        if found.is_empty() {
            return Error::e_explain(
                ErrorType::ConnectNoRoute,
                "no address of the backend can be resolved",
            );
        }
        Ok((found, HashMap::new()))
    }
}
