//! How the door shakes hands, of a configuration, and as time goes on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::clock;
use crate::config::{self, Config};
use crate::door::{self, Terms};

/// How often it is looked whether a period of sessions is over, or the names of who is trusted, have become
/// others.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// As `config` says.
pub(super) fn settings(config: &Config) -> door::Settings {
    let listener = &config.listener;
    let certificate = |certificate: &config::ServerCertificate| door::ServerCertificate {
        chain_pem: certificate.chain.as_bytes().to_vec(),
        key_pem: certificate.key.clone(),
    };
    door::Settings {
        names: listener.names.clone(),
        ca_names: listener.ca_names,
        handshake_timeout: listener.handshake_timeout,
        balancers: listener.balancers.clone(),
        fronts: Arc::clone(&config.fronts),
        minimum_tls: listener.minimum_tls,
        http2: listener.http2,
        certificates: listener.certificates.iter().map(certificate).collect(),
        resumption: listener.resumption.clone(),
    }
}

/// Goes by whom the verifier trusts now, and by the period of sessions that it is now.
pub(super) fn refresh(terms: &Terms) {
    if let Err(error) = terms.refresh(clock::now()) {
        tracing::error!(%error, "handshakes go on with the sessions and the names of authorities that they had");
    }
}

/// Makes the terms anew when their time has come.
pub(super) struct KeepTerms(pub(super) Arc<Terms>);

#[async_trait]
impl BackgroundService for KeepTerms {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut again = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                _ = again.tick() => refresh(&self.0),
                _ = shutdown.changed() => break,
            }
        }
    }
}
