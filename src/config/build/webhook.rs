//! Who is told what happens.

use std::net::IpAddr;
use std::path::Path;

use super::{Builder, Built, all, text};
use crate::config::Webhook;
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::config::settings::{Address, BackendTls};
use crate::socket::is_this_machine;
use crate::webhook::{Kind, Secret};

/// Whom everybody trusts, where nobody else is named.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
const EXAMPLE: &str = r#"write for instance url = "https://hooks.example.com/keyferry""#;

impl Builder<'_> {
    pub(super) fn webhooks(&mut self, typed: Vec<file::Webhook>) -> Built<Vec<Webhook>> {
        let mut names = Vec::new();
        all(typed.into_iter().enumerate().map(|(index, typed)| {
            let at = KeyPath::top("webhook").index(index);
            self.webhook(&at, typed, &mut names)
        }))
    }

    fn webhook(
        &mut self,
        at: &KeyPath,
        typed: file::Webhook,
        names: &mut Vec<String>,
    ) -> Built<Webhook> {
        let name = self.name(at, typed.name, names);
        let url = self.webhook_url(at, typed.url, typed.plain_http);
        let tls = match &url {
            Ok((true, address, _)) => self.webhook_tls(at, typed.tls.as_ref(), address).map(Some),
            Ok((false, ..)) if typed.tls.is_some() => {
                let write = "write an https URL, or take tls away";
                Err(self.problem(&at.key("tls"), "the URL speaks no TLS", write))
            }
            _ => Ok(None),
        };
        let write = r#"write secret_file = "…"; docs/WEBHOOKS.md says how to make one"#;
        let key = at.key("secret_file");
        let secret = self
            .required(&key, typed.secret_file, write)
            .and_then(|file| self.webhook_secret(&key, &file));
        let former = typed
            .former_secret_file
            .map(|file| self.webhook_secret(&at.key("former_secret_file"), &file));
        let events = if typed.events.is_empty() {
            Kind::ALL.to_vec()
        } else {
            typed.events
        };
        for (index, kind) in events.iter().enumerate() {
            if *kind == Kind::Test {
                let wrong = "a test is sent when the operator asks for it".to_owned();
                let write = "take it away: keyferry webhook test sends one".to_owned();
                self.problem_in(&at.key("events"), index, wrong, write);
            }
        }
        let (_, address, path) = url?;
        Ok(Webhook {
            name: name?,
            address,
            path,
            tls: tls?,
            timeout: typed.timeout.as_duration(),
            secrets: std::iter::once(secret?)
                .chain(former.transpose()?)
                .collect(),
            events,
        })
    }

    /// Whether it speaks TLS, where it is, and what is asked for there.
    fn webhook_url(
        &mut self,
        at: &KeyPath,
        typed: Option<String>,
        plain_http: bool,
    ) -> Built<(bool, Address, String)> {
        let at = at.key("url");
        let url = self.required(&at, typed, EXAMPLE)?;
        // What is wrong with it is told without it: there may be a token in it.
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(self.problem(&at, "it is no URL", EXAMPLE));
        };
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (is_tls, address) = match scheme {
            "https" => (true, text::address_or(host, 443)),
            "http" => (false, text::address_or(host, 80)),
            _ => return Err(self.problem(&at, "it begins neither with https nor http", EXAMPLE)),
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        let Some(address) = address.filter(|_| is_plain) else {
            let wrong = "its host, port or path is none, or there is a user or a fragment in it";
            return Err(self.problem(&at, wrong, EXAMPLE));
        };
        if !is_tls && !plain_http && !is_this_machine(address.host()) {
            let wrong = "whoever is on the way could read what it is told";
            let write = "write an https URL, or plain_http = true where nobody else is on the way";
            return Err(self.problem(&at, wrong, write));
        }
        Ok((is_tls, address, path))
    }

    fn webhook_tls(
        &mut self,
        at: &KeyPath,
        typed: Option<&file::ClientTls>,
        address: &Address,
    ) -> Built<BackendTls> {
        if let Some(typed) = typed {
            let addresses = Ok(vec![address.clone()]);
            return self.backend_tls(&at.key("tls"), typed, &addresses);
        }
        let (ca, _) = self.certificates(&at.key("url"), Path::new(SYSTEM))?;
        if address.host().parse::<IpAddr>().is_ok() {
            let write = r#"write tls = { ca_file = "…", server_name = "…" }"#;
            return Err(self.problem(&at.key("url"), "no authority names an IP address", write));
        }
        Ok(BackendTls {
            ca,
            server_name: address.host().to_owned(),
            certificate: None,
        })
    }

    fn webhook_secret(&mut self, at: &KeyPath, file: &Path) -> Built<Secret> {
        let text = self.secret(at, file)?;
        Secret::read(&text).map_err(|error| {
            let path = self.resolve(file);
            let write = format!(
                "make it with: echo \"whsec_$(openssl rand -base64 32)\" > {}",
                path.display()
            );
            self.problem(at, error.to_string(), write)
        })
    }
}
