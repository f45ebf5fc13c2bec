//! A gateway that a front asks, and the questions of that front.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::{Table, Value};

use super::backend::Recorded;
use super::curl::{Answer, Curl};
use super::gateway::{Builder, Gateway};
use super::pki::{Issued, leaf, root};
use super::world::{HOST, Identity, World};

/// Where the gateway is asked.
pub(crate) const ASK: &str = "/.well-known/keyferry/authenticate";
/// By what the front that asks is known, and the one that brings the clients' own calls.
const NAMES: [(&str, &str); 2] = [("ask", "ask.internal"), ("edge", "edge.internal")];

/// The certificates of the fronts.
pub(crate) struct Fronts {
    pub(crate) authority: Issued,
    pub(crate) ask: Identity,
    pub(crate) edge: Identity,
}

impl Fronts {
    pub(crate) fn new(world: &World) -> Self {
        let authority = root("Fronts Root").self_signed();
        let [ask, edge] = NAMES.map(|(name, alternative)| {
            world.files(leaf(name).names(&[alternative]).signed_by(&authority))
        });
        Self {
            authority,
            ask,
            edge,
        }
    }

    /// A gateway with both: they forward certificates in `format`, and one asks in `form`.
    pub(crate) fn gateway<'a>(&self, world: &'a World, format: &str, form: &str) -> Builder<'a> {
        let builder = Gateway::builder(world).file("fronts.pem", self.authority.pem());
        NAMES.into_iter().fold(builder, |builder, (name, own)| {
            let mut certificate = Table::new();
            certificate.insert("ca_file".to_owned(), "fronts.pem".into());
            certificate.insert("names".to_owned(), vec![own].into());
            let mut front = Table::new();
            front.insert("name".to_owned(), name.into());
            front.insert("from".to_owned(), vec!["127.0.0.1"].into());
            front.insert("format".to_owned(), format.into());
            front.insert("certificate".to_owned(), Value::Table(certificate));
            let address = "X-Forwarded-For".into();
            front.insert("client_address_header".to_owned(), address);
            if name == "ask" {
                front.insert("asks".to_owned(), form.into());
            }
            builder.push("front", front)
        })
    }
}

/// A request that a front asks about.
#[derive(Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    /// Header lines, as they stand.
    pub(crate) headers: Vec<String>,
}

impl<'a> Asked<'a> {
    pub(crate) fn get(target: &'a str) -> Self {
        Self {
            method: "GET",
            target,
            headers: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, line: impl Into<String>) -> Self {
        self.headers.push(line.into());
        self
    }

    /// With a certificate that is forwarded as RFC 9440 has it.
    pub(crate) fn certificate(self, client: &Identity) -> Self {
        let der = client.issued.x509.to_der().expect("a certificate");
        self.with(format!("Client-Cert: :{}:", STANDARD.encode(der)))
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.with(format!("X-API-Key: {key}"))
    }

    /// The question of the form `original`, not yet by anybody.
    pub(crate) fn question(&self, gateway: &Gateway) -> Curl {
        let told = [
            format!("X-Original-Method: {}", self.method),
            format!("X-Original-URI: {}", self.target),
        ];
        let host = format!("Host: {HOST}");
        let lines = self.headers.iter().chain(&told).chain([&host]);
        lines.fold(gateway.curl(ASK), |ask, line| ask.header(line))
    }

    /// What the backend gets of a proxy that heeds the answer.
    pub(crate) fn passed_on(&self, answer: &Answer) -> Recorded {
        let told = answer.headers.iter();
        let told = told.filter(|(name, _)| {
            [
                "x-key-id",
                "x-client-id",
                "x-key-scopes",
                "signature",
                "signature-input",
            ]
            .contains(&name.to_ascii_lowercase().as_str())
        });
        let host = ("Host".to_owned(), HOST.to_owned());
        Recorded {
            method: self.method.to_owned(),
            target: self.target.to_owned(),
            headers: told.cloned().chain([host]).collect(),
            trailers: Vec::new(),
            body_bytes: 0,
            body_sha256: String::new(),
            body: String::new(),
            head: Vec::new(),
            connection: 1,
            peer: None,
        }
    }
}
