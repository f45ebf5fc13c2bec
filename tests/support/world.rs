//! Authorities and certificates that most tests need: one authority for clients, one for servers.

use std::path::PathBuf;

use tempfile::TempDir;

use super::pki::{Issued, Spec, leaf, root, server};

/// The host that clients call.
pub(crate) const HOST: &str = "api.example.com";

/// A certificate in files, as programs want it.
pub(crate) struct Identity {
    /// The certificate and its intermediates in PEM, leaf first.
    pub(crate) chain: PathBuf,
    /// The private key in PEM.
    pub(crate) key: PathBuf,
    pub(crate) issued: Issued,
}

/// The authorities of a test and a folder for its files.
pub(crate) struct World {
    folder: TempDir,
    /// Signs the clients' certificates, and the gateway trusts it.
    pub(crate) clients: Issued,
    /// Signs the servers' certificates, and the clients trust it.
    pub(crate) servers: Issued,
    /// The gateway's own certificate, for [`HOST`].
    pub(crate) gateway: Identity,
    /// `servers` in a file.
    pub(crate) authority: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let servers = root("Servers Root").self_signed();
        let gateway = server(HOST).signed_by(&servers);
        let (chain, key) = gateway.write(folder.path(), "gateway");
        let (authority, _) = servers.write(folder.path(), "servers-root");
        Self {
            clients: root("Clients Root").self_signed(),
            servers,
            gateway: Identity {
                chain,
                key,
                issued: gateway,
            },
            authority,
            folder,
        }
    }

    /// A client with a P-256 certificate of the trusted authority.
    pub(crate) fn client(&self, name: &str) -> Identity {
        self.client_like(leaf(name))
    }

    /// A client with such a certificate, of the trusted authority.
    pub(crate) fn client_like(&self, spec: Spec) -> Identity {
        self.files(spec.signed_by(&self.clients))
    }

    /// Puts a certificate into files.
    pub(crate) fn files(&self, issued: Issued) -> Identity {
        let name = uuid::Uuid::now_v7().to_string();
        let (chain, key) = issued.write(self.folder.path(), &name);
        Identity { chain, key, issued }
    }

    /// A path for a file of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
