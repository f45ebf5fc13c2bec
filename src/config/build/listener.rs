//! Where clients connect, and whose certificates they may present.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::network::Trusted;
use super::{Builder, Built, all};
use crate::certificate::{Ca, Trust};
use crate::config::file::{self, Exception, File};
use crate::config::problem::KeyPath;
use crate::config::settings::{ListFiles, Listener, SelfService};
use crate::policy::{ByName, ClientCertificates, NamePattern, NotAName, ServerNames};

/// Longer chains are not found in practice, and every certificate costs a signature to check.
const DEEPEST: u8 = 16;

const BALANCERS: Trusted = Trusted {
    write: r#"name the addresses of the balancers: proxy_protocol_from = ["10.0.0.5"]; or take it away when none sends PROXY headers"#,
    danger: "lets strangers name any address as theirs",
    owner: "the balancers use",
};

impl Builder<'_> {
    pub(super) fn listener(&mut self, typed: Option<file::Listener>) -> Built<Listener> {
        let at = KeyPath::top("listener");
        let typed = self.required(&at, typed, "write a table [listener]")?;
        let address = {
            let write = r#"write address = "0.0.0.0:8443""#;
            let at = at.key("address");
            let address = self.required(&at, typed.address, write);
            address.and_then(|address| self.socket(&at, &address))
        };
        let write =
            r#"write client_certificates = "optional", or "off" when only keys are accepted"#;
        let names = self.server_names(&at.key("server_name"), &typed.server_name);
        let other = self.required(
            &at.key("client_certificates"),
            typed.client_certificates,
            write,
        );
        let resumption = self.resumption(
            &at,
            (typed.sessions, typed.session_bytes),
            typed.ticket_key_file.as_deref(),
        );
        let balancers = typed
            .proxy_protocol_from
            .map(|from| self.networks(&at.key("proxy_protocol_from"), from, &BALANCERS))
            .transpose();
        let at = at.key("certificate");
        let write = "write a table [[listener.certificate]] with certificate_file and key_file";
        let certificates = self.some(&at, typed.certificate, write).and_then(|list| {
            all(list.into_iter().enumerate().map(|(index, typed)| {
                let at = at.index(index);
                self.pair(
                    (
                        &at.key("certificate_file"),
                        typed.certificate_file.as_deref(),
                    ),
                    (&at.key("key_file"), typed.key_file.as_deref()),
                )
            }))
        });
        Ok(Listener {
            address: address?,
            names: ServerNames::new(other?, names?),
            ca_names: typed.ca_names,
            handshake_timeout: typed.handshake_timeout.as_duration(),
            balancers: balancers?,
            minimum_tls: typed.minimum_tls,
            http2: typed.http2,
            certificates: certificates?,
            resumption: resumption?,
        })
    }

    fn server_names(
        &mut self,
        at: &KeyPath,
        typed: &[file::ServerName],
    ) -> Built<ByName<ClientCertificates>> {
        let mut seen = Vec::new();
        let all_of = |(index, typed): (usize, &file::ServerName)| {
            let at = at.index(index);
            let write = r#"write names = ["api.example.com"]"#;
            let names = self.some(&at.key("names"), typed.names.clone(), write);
            let write = r#"write client_certificates = "explain", "terse", "reject-connection" or "never-ask""#;
            let at_policy = at.key("client_certificates");
            let policy = self.required(&at_policy, typed.client_certificates, write);
            let names =
                names.and_then(|names| self.patterns(&at.key("names"), &names, &mut seen))?;
            let policy = policy?;
            Ok(names.into_iter().map(move |name| (name, policy)))
        };
        Ok(all(typed.iter().enumerate().map(all_of))?
            .into_iter()
            .flatten()
            .collect())
    }

    fn patterns(
        &mut self,
        at: &KeyPath,
        names: &[String],
        seen: &mut Vec<NamePattern>,
    ) -> Built<Vec<NamePattern>> {
        all(names.iter().enumerate().map(|(index, text)| {
            let name: NamePattern = text.parse().map_err(|error: NotAName| {
                let wrong = format!("{text:?} is not a server name");
                self.problem_in(at, index, wrong, error.to_string())
            })?;
            if seen.contains(&name) {
                let wrong = format!("{text:?} is listed already");
                let write = "list each name once".to_owned();
                return Err(self.problem_in(at, index, wrong, write));
            }
            seen.push(name.clone());
            Ok(name)
        }))
    }

    pub(super) fn cas(&mut self, file: &File) -> Built<Vec<Ca>> {
        let at = KeyPath::top("ca");
        if file.listener.as_ref().is_some_and(asks_somewhere) && file.ca.is_empty() {
            let write = r#"write a table [[ca]] with name and file, or listener.client_certificates = "off""#;
            self.required(&at, None, write)?;
        }
        let mut seen = Vec::new();
        let cas = all(file.ca.iter().enumerate().map(|(index, typed)| {
            let at = at.index(index);
            let name = self.name(&at, typed.name.clone(), &mut seen);
            if typed.max_depth > DEEPEST {
                let wrong = format!("{} is too deep", typed.max_depth);
                self.problem(&at.key("max_depth"), wrong, format!("use 0 to {DEEPEST}"));
            }
            let at = at.key("file");
            let write = "name the PEM file with the authority's certificates";
            let path = self.required(&at, typed.file.as_deref(), write)?;
            let ca = Ca {
                name: name.as_ref().map_or_else(|_| String::new(), Clone::clone),
                pem: self.contents(&at, path)?,
                allow_missing_client_auth: typed.allow.contains(&Exception::MissingClientAuth),
                allow_weak: typed.allow.contains(&Exception::Weak),
                max_depth: typed.max_depth.into(),
                ..Ca::default()
            };
            self.trust(&at, &path.display().to_string(), vec![ca.clone()])?;
            name.map(|_| ca)
        }))?;
        // Each is good by itself; together they must not name one certificate twice.
        self.trust(&at, "the list", cas.clone())?;
        Ok(cas)
    }

    /// Where the lists of each authority are, in their order. They are read by
    /// [`crate::config::Lists`].
    pub(super) fn lists(&mut self, file: &File) -> Built<Vec<Option<ListFiles>>> {
        let typed = file.ca.iter().enumerate();
        all(typed.map(|(index, ca)| {
            let Some(typed) = &ca.crl else {
                return Ok(None);
            };
            let at = KeyPath::top("ca").index(index).key("crl");
            if typed.files.is_empty() && typed.folders.is_empty() {
                let write = r#"write files = ["….crl"] or folders = ["…"]"#;
                return Err(self.problem(&at, "names neither files nor folders", write));
            }
            let resolved =
                |paths: &[PathBuf]| paths.iter().map(|path| self.resolve(path)).collect();
            Ok(Some(ListFiles {
                files: resolved(&typed.files),
                folders: resolved(&typed.folders),
                when_unknown: typed.when_unknown,
                at,
            }))
        }))
    }

    /// Notes what the verifier of certificates will not take.
    pub(super) fn trust(&mut self, at: &KeyPath, what: &str, cas: Vec<Ca>) -> Built<()> {
        let Err(error) = Trust::new(0, cas) else {
            return Ok(());
        };
        let mut noted = Ok(());
        for problem in &error.problems {
            // It begins with the name of the authority, which the key tells here.
            let text = problem
                .split_once("\": ")
                .map_or(problem.as_str(), |(_, text)| text);
            let (wrong, write) = text
                .split_once("; ")
                .unwrap_or((text, "name the authority that issued it instead"));
            noted = Err(self.problem(at, format!("{what}: {wrong}"), write));
        }
        noted
    }

    pub(super) fn self_service(&mut self, typed: &file::SelfService) -> Built<SelfService> {
        let at = KeyPath::top("self_service");
        let is_folder =
            super::text::is_path(&typed.path) && typed.path.len() >= 3 && typed.path.ends_with('/');
        let path = if is_folder {
            Ok(typed.path.clone())
        } else {
            let wrong = format!("{:?} is not a folder of paths", typed.path);
            let write = r#"begin and end it with "/", for instance "/.well-known/keyferry/""#;
            Err(self.problem(&at.key("path"), wrong, write))
        };
        let per_credential = self.at_least_one(&at.key("per_credential"), typed.per_credential);
        let per_address = self.at_least_one(&at.key("per_address"), typed.per_address);
        Ok(SelfService {
            path: path?,
            retry_window: typed.retry_window.as_duration(),
            expired_grace: typed.expired_grace.map(crate::config::Period::as_duration),
            per_credential: per_credential?,
            per_address: per_address?,
        })
    }

    pub(super) fn socket(&mut self, at: &KeyPath, text: &str) -> Built<SocketAddr> {
        text.parse().map_err(|_| {
            let wrong = format!("{text:?} is not an IP address and port");
            let write = match super::text::address(&text.replace("*:", "0.0.0.0:")) {
                Some(named) if named.host() == "localhost" => {
                    format!("write \"127.0.0.1:{}\"", named.port())
                }
                Some(named) if text.starts_with('*') => format!("write \"{named}\""),
                _ => r#"write for instance "0.0.0.0:8443" or "[::]:8443""#.to_owned(),
            };
            self.problem(at, wrong, write)
        })
    }
}

/// Whether clients are asked for certificates at some server name, as far as it can be told.
pub(super) fn asks_somewhere(listener: &file::Listener) -> bool {
    let named = listener
        .server_name
        .iter()
        .map(|name| name.client_certificates);
    let mut all = [listener.client_certificates].into_iter().chain(named);
    all.any(|policy| policy.is_some_and(ClientCertificates::asks))
}
