//! Proxies in front that forward the certificates of clients.

use std::sync::Arc;

use http::HeaderName;

use super::network::Trusted;
use super::{Builder, Built, all};
use crate::certificate::{Ca, Fingerprint, Trust, Verifier};
use crate::config::file::{self, FrontAsks, FrontFormat};
use crate::config::problem::KeyPath;
use crate::front::{Form, Format, Front, Fronts, Shows};
use crate::secret::SecretBytes;
use crate::sign::{Names, header};
use crate::tls::x509::X509;

const FRONT: Trusted = Trusted {
    write: r#"name the addresses that the front calls from: from = ["10.0.0.5"]"#,
    danger: "lets strangers try to be the front",
    owner: "the front uses",
};
const SHOWS: &str = r#"write certificate = { ca_file = "fronts-ca.pem", names = ["front.internal"] } or secret_files = ["front.secret"]"#;
const NGINX: &str = "X-SSL-Client-Cert";

impl Builder<'_> {
    /// The fronts, where clients' certificates are good by `cas`.
    pub(super) fn fronts(
        &mut self,
        typed: Vec<file::Front>,
        cas: &Built<Vec<Ca>>,
    ) -> Built<Arc<Fronts>> {
        let clients = cas.as_ref().map(Vec::as_slice).unwrap_or_default();
        let mut names = Vec::new();
        let fronts = all(typed.into_iter().enumerate().map(|(index, typed)| {
            let at = KeyPath::top("front").index(index);
            self.front(&at, typed, clients, &mut names)
        }))?;
        Ok(Arc::new(Fronts::new(fronts)))
    }

    fn front(
        &mut self,
        at: &KeyPath,
        typed: file::Front,
        clients: &[Ca],
        names: &mut Vec<String>,
    ) -> Built<Front> {
        let name = self.name(at, typed.name, names);
        let from = self.networks(&at.key("from"), typed.from, &FRONT);
        let format = self.front_format(at, typed.format, typed.header.as_deref());
        let shows = match (typed.certificate, typed.secret_files) {
            (Some(typed), None) => self.front_certificate(&at.key("certificate"), typed, clients),
            (None, Some(files)) => {
                let at = at.key("secret_files");
                let files = self.some(&at, files, SHOWS)?;
                let files = files.iter().enumerate();
                let secrets =
                    all(files.map(|(index, file)| self.front_secret(&at.index(index), file)));
                secrets.map(if typed.signed {
                    Shows::Signed
                } else {
                    Shows::Secret
                })
            }
            (None, None) => {
                Err(self.problem(at, "nothing shows that a request is this front's", SHOWS))
            }
            (Some(_), Some(_)) => Err(self.problem(
                &at.key("secret_files"),
                "a front shows a certificate or a secret, not either",
                "keep the one that the front shows",
            )),
        };
        let is_covered = !matches!(format, Ok(Format::ProxyV2))
            && !matches!(shows, Ok(Shows::Named(..) | Shows::Pinned(_)));
        if typed.signed && !is_covered {
            let wrong = "no secret signs a certificate of this front's";
            let write =
                "take it away; signed goes with secret_files, and with a format that is a header";
            self.problem(&at.key("signed"), wrong, write);
        }
        let client_address = typed
            .client_address_header
            .map(|name| self.address_header(&at.key("client_address_header"), &name))
            .transpose();
        let (may_claim, signed) = (typed.may_claim, typed.signed);
        let asks = typed
            .asks
            .map(|asks| self.front_asks(&at.key("asks"), asks, (may_claim, signed), &format));
        let asks = asks.transpose();
        Ok(Front {
            name: name?,
            from: from?,
            shows: shows?,
            format: format?,
            may_claim: typed.may_claim,
            client_address: client_address?,
            asks: asks?,
        })
    }

    /// What a front may be that asks: nothing else is done for it.
    fn front_asks(
        &mut self,
        at: &KeyPath,
        asks: FrontAsks,
        (may_claim, signed): (bool, bool),
        format: &Built<Format>,
    ) -> Built<Form> {
        let wrong = if may_claim {
            "a front that asks brings nobody who could claim a key; another front does"
        } else if signed {
            "what the front signs is not all that the answer is signed for"
        } else if matches!(format, Ok(Format::ProxyV2)) {
            "a PROXY header tells of a connection, and a front that asks has one for all its clients"
        } else {
            return Ok(match asks {
                FrontAsks::Original => Form::Original,
                FrontAsks::Forwarded => Form::Forwarded,
                FrontAsks::RequestLine => Form::RequestLine,
            });
        };
        let write = "take one of the two away";
        Err(self.problem(at, wrong, write))
    }

    fn front_format(
        &mut self,
        at: &KeyPath,
        typed: Option<FrontFormat>,
        header: Option<&str>,
    ) -> Built<Format> {
        let write = r#"write format = "rfc9440", "xfcc", "alb", "nginx", "traefik" or "proxy-v2""#;
        let format = self.required(&at.key("format"), typed, write)?;
        let at = at.key("header");
        let fixed = match format {
            FrontFormat::Nginx => {
                return self.certificate_header(&at, header.unwrap_or(NGINX));
            }
            FrontFormat::Rfc9440 => Format::Rfc9440,
            FrontFormat::Xfcc => Format::Xfcc,
            FrontFormat::Alb => Format::Alb,
            FrontFormat::Traefik => Format::Traefik,
            FrontFormat::ProxyV2 => Format::ProxyV2,
        };
        match header {
            None => Ok(fixed),
            Some(_) => Err(self.problem(
                &at,
                "the format has a header of its own",
                r#"take this away, or write format = "nginx""#,
            )),
        }
    }

    /// A header that nobody else's reaches a backend under: it is one of those that are stripped.
    fn certificate_header(&mut self, at: &KeyPath, text: &str) -> Built<Format> {
        let name = text.parse::<HeaderName>().ok();
        let fits = |name: &HeaderName| {
            let name = name.as_str();
            header::is_reserved(name, &Names::default())
                && !header::is_ambiguous(name)
                && name.contains("cert")
        };
        name.filter(fits).map(Format::Pem).ok_or_else(|| {
            let wrong = format!("{text:?} is not taken away from what clients send");
            let write = format!(
                "let the front use {NGINX:?}, or another name that begins with \"X-SSL-Client-\", \
                 \"SSL-Client-\" or \"X-Client-Cert\""
            );
            self.problem(at, wrong, write)
        })
    }

    fn address_header(&mut self, at: &KeyPath, text: &str) -> Built<HeaderName> {
        let name = text.parse::<HeaderName>().ok();
        let fits = |name: &HeaderName| header::is_misleading(name.as_str());
        name.filter(fits).ok_or_else(|| {
            let wrong = format!("{text:?} is not a header for addresses");
            self.problem(at, wrong, r#"write "X-Forwarded-For" or "X-Real-IP""#)
        })
    }

    fn front_secret(&mut self, at: &KeyPath, file: &std::path::Path) -> Built<SecretBytes> {
        let secret = self.secret(at, file)?;
        if secret.expose().iter().all(u8::is_ascii_graphic) {
            return Ok(secret);
        }
        let wrong = "the secret cannot stand in a header";
        Err(self.problem(at, wrong, "make it with: openssl rand -hex 32"))
    }

    fn front_certificate(
        &mut self,
        at: &KeyPath,
        typed: file::FrontCertificate,
        clients: &[Ca],
    ) -> Built<Shows> {
        let Some(path) = typed.ca_file else {
            let at = at.key("sha256");
            let write = "name the front's certificate by ca_file and names, or by its sha256";
            let prints = self.some(&at, typed.sha256, write)?;
            let prints = prints.iter().enumerate().map(|(index, text)| {
                let plain = text.replace(':', "").to_ascii_lowercase();
                plain.parse::<Fingerprint>().map_err(|_| {
                    let wrong = format!("{text:?} is not a SHA-256 fingerprint");
                    let write = "openssl x509 -noout -fingerprint -sha256 -in FILE prints it";
                    self.problem_in(&at, index, wrong, write.to_owned())
                })
            });
            return all(prints).map(Shows::Pinned);
        };
        if !typed.sha256.is_empty() {
            let wrong = "a front's certificate is named by ca_file and names, or by its sha256";
            self.problem(&at.key("sha256"), wrong, "keep one of the two");
        }
        let names = typed.names.into_iter().map(|name| {
            if name.contains("://") {
                format!("URI:{name}")
            } else {
                format!("DNS:{}", name.to_ascii_lowercase())
            }
        });
        let write =
            "name an alternative name of the front's certificate: a name of the DNS, or a URI";
        let names = self.some(&at.key("names"), names.collect(), write);
        let at = at.key("ca_file");
        let (pem, authorities) = self.certificates(&at, &path)?;
        self.not_clients(&at, &authorities, clients)?;
        let ca = Ca {
            name: "front".to_owned(),
            pem: pem.as_bytes().to_vec(),
            allow_missing_client_auth: false,
            allow_weak: false,
            max_depth: 4,
            ..Ca::default()
        };
        self.trust(&at, &path.display().to_string(), vec![ca.clone()])?;
        let trust = Trust::new(0, vec![ca]);
        let trust = trust.map_err(|error| self.problem(&at, error.to_string(), "use another file"));
        Ok(Shows::Named(Verifier::new(trust?), names?))
    }

    /// Whoever issues to clients must not issue to fronts: a client could be one.
    fn not_clients(&mut self, at: &KeyPath, authorities: &[X509], clients: &[Ca]) -> Built<()> {
        let clients = clients.iter().filter_map(|ca| {
            let read = X509::stack_from_pem(&ca.pem).ok()?;
            Some(read.into_iter().map(move |x509| (&ca.name, x509)))
        });
        let same = |(_, client): &(&String, X509)| {
            authorities.iter().any(|authority| {
                let (Ok(one), Ok(other)) = (authority.public_key(), client.public_key()) else {
                    return false;
                };
                one.public_eq(&other)
            })
        };
        let Some((name, _)) = clients.flatten().find(same) else {
            return Ok(());
        };
        let wrong = format!(
            "it holds an authority of the ca {name:?}, so that a client could be the front"
        );
        let write =
            "have the front's certificate issued by another authority, or name it by sha256";
        Err(self.problem(at, wrong, write))
    }
}
