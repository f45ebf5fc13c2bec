//! The services behind the gateway.

use std::net::IpAddr;
use std::path::Path;

use super::{Builder, Built, all, signing, text};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::config::settings::{Address, Backend, BackendTls, HealthCheck, Pem, ServerCertificate};
use crate::policy::Accept;
use crate::sign::Names;

impl Builder<'_> {
    pub(super) fn backends(
        &mut self,
        typed: Vec<file::Backend>,
        routes: &[file::Route],
        own: Option<&Names>,
    ) -> Built<Vec<Backend>> {
        let at = KeyPath::top("backend");
        let write = "write a table [[backend]] with name and addresses";
        let typed = self.some(&at, typed, write)?;
        let (mut names, mut keys) = (Vec::new(), signing::Known::default());
        all(typed.into_iter().enumerate().map(|(index, typed)| {
            let at = at.index(index);
            let signed = typed
                .name
                .as_ref()
                .and_then(|name| signing_route(name, routes));
            let signing = self.signing(&at.key("signing"), typed.signing, signed, &mut keys);
            let name = self.name(&at, typed.name, &mut names);
            let addresses = self.addresses(
                &at.key("addresses"),
                typed.addresses,
                ["127.0.0.1:8080", "orders.svc:80"],
            );
            let tls = typed
                .tls
                .map(|tls| self.backend_tls(&at.key("tls"), &tls, &addresses));
            let health_check = typed
                .health_check
                .map(|check| self.health_check(&at.key("health_check"), check));
            let (signing, also_published) = signing?;
            let masquerade =
                self.masquerade(&at.key("masquerade"), &typed.masquerade, (own, signed));
            Ok(Backend {
                name: name?,
                addresses: addresses?,
                protocol: typed.protocol,
                connect_timeout: typed.connect_timeout.as_duration(),
                read_timeout: typed.read_timeout.as_duration(),
                signing,
                also_published,
                tls: tls.transpose()?,
                health_check: health_check.transpose()?,
                masquerade: masquerade?,
            })
        }))
    }

    /// Hosts and ports; `examples` are two that could stand there.
    pub(super) fn addresses(
        &mut self,
        at: &KeyPath,
        typed: Vec<String>,
        examples: [&str; 2],
    ) -> Built<Vec<Address>> {
        let [one, other] = examples;
        let typed = self.some(at, typed, &format!("write addresses = [\"{one}\"]"))?;
        all(typed.iter().enumerate().map(|(index, typed)| {
            text::address(typed).ok_or_else(|| {
                let wrong = format!("{typed:?} is not a host and a port");
                let write = text::likely_address(typed).map_or_else(
                    || format!("write for instance \"{one}\" or \"{other}\""),
                    |likely| format!("write \"{likely}\""),
                );
                self.problem_in(at, index, wrong, write)
            })
        }))
    }

    pub(super) fn backend_tls(
        &mut self,
        at: &KeyPath,
        typed: &file::ClientTls,
        addresses: &Built<Vec<Address>>,
    ) -> Built<BackendTls> {
        let files = self.client_tls(at, typed);
        let at = at.key("server_name");
        let server_name = match &typed.server_name {
            Some(name) => self.server_name(&at, name),
            None => self.common_host(&at, addresses),
        };
        let (ca, certificate) = files?;
        Ok(BackendTls {
            ca,
            server_name: server_name?,
            certificate,
        })
    }

    /// Whom to trust, and the gateway's own certificate.
    pub(super) fn client_tls(
        &mut self,
        at: &KeyPath,
        typed: &file::ClientTls,
    ) -> Built<(Pem, Option<ServerCertificate>)> {
        let write = r#"name the authorities that are trusted; for public ones "/etc/ssl/certs/ca-certificates.crt""#;
        let ca = self
            .required(&at.key("ca_file"), typed.ca_file.as_deref(), write)
            .and_then(|path| self.certificates(&at.key("ca_file"), path));
        let own: (Option<&Path>, Option<&Path>) =
            (typed.certificate_file.as_deref(), typed.key_file.as_deref());
        let certificate = match own {
            (None, None) => Ok(None),
            (certificate, key) => {
                let certificate = (&at.key("certificate_file"), certificate);
                self.pair(certificate, (&at.key("key_file"), key)).map(Some)
            }
        };
        Ok((ca?.0, certificate?))
    }

    fn common_host(&mut self, at: &KeyPath, addresses: &Built<Vec<Address>>) -> Built<String> {
        let mut hosts: Vec<_> = match addresses {
            Ok(addresses) => addresses.iter().map(Address::host).collect(),
            Err(noted) => return Err(*noted),
        };
        hosts.dedup();
        let name = match hosts.as_slice() {
            [host] if host.parse::<IpAddr>().is_err() => Some((*host).to_owned()),
            _ => None,
        };
        let write = r#"write server_name = "…", the name in the backend's certificate"#;
        self.required(at, name, write)
    }

    /// The name of a server that stands in its certificate.
    pub(super) fn server_name(&mut self, at: &KeyPath, name: &str) -> Built<String> {
        if !text::is_host(name) || name.parse::<IpAddr>().is_ok() {
            let wrong = format!("{name:?} is not a host name");
            return Err(self.problem(at, wrong, "write the name in the server's certificate"));
        }
        Ok(name.to_ascii_lowercase())
    }

    fn health_check(&mut self, at: &KeyPath, typed: file::HealthCheck) -> Built<HealthCheck> {
        if let Some(path) = typed.path.as_ref().filter(|path| !text::is_path(path)) {
            let wrong = format!("{path:?} is not a path");
            return Err(self.problem(&at.key("path"), wrong, r#"write for instance "/healthz""#));
        }
        Ok(HealthCheck {
            path: typed.path,
            interval: typed.interval.as_duration(),
        })
    }
}

/// A route that brings identities to the backend `name`.
fn signing_route<'a>(name: &str, routes: &'a [file::Route]) -> Option<&'a str> {
    let route = routes.iter().find(|route| {
        let accepts = route.accept.is_some_and(|accept| accept != Accept::None);
        accepts && route.backend.as_deref() == Some(name)
    });
    route.map(|route| route.name.as_deref().unwrap_or_default())
}
