//! `keyferry verify`: before one backend, lets through what came through the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::ArgGroup;
use http::header::HeaderName;

use super::Failure;
use crate::config::{Period, Shutdown};
use crate::masquerade::may_be_called;
use crate::server::verify::{self, Keys, Place, Settings, Then};
use crate::sign::Names;
use crate::upstream::{self, Protocol};
use crate::verify::{Form, OpenPaths};
use crate::{server, telemetry};

/// Before one backend, let through what came through the gateway, and nothing else
///
/// A small proxy in front of a backend that does not check signatures, as a sidecar. It reads requests as
/// strictly as the gateway, verifies their signature, takes it off, and passes them on. With `--answer` it
/// passes nothing on, and tells a proxy that asks it whether to. It reads no configuration file. SIGTERM
/// ends it when what is under way is done. See docs/VERIFY.md.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("then").required(true).args(["backend", "answer"]))]
#[command(group = ArgGroup::new("keys").required(true).multiple(true).args(["secret", "secrets", "public_key", "jwks"]))]
pub(super) struct Args {
    /// Where requests come: an address, or unix:PATH (repeatable)
    #[arg(long, required = true, value_name = "IP:PORT")]
    listen: Vec<Place>,
    /// Where requests go that are good; speaks HTTP/1.1
    #[arg(long, value_name = "HOST:PORT", value_parser = backend)]
    backend: Option<String>,
    /// Pass nothing on, and answer a proxy that asks in this form, on an address that only it reaches
    #[arg(long, value_enum, value_name = "FORM")]
    answer: Option<Form>,
    /// A secret that the gateway signs with, and its key id: [[backend]] signing (repeatable)
    #[arg(long, value_name = "KEY_ID=FILE", value_parser = secret)]
    secret: Vec<(String, PathBuf)>,
    /// A folder in which every file is such a secret, and its name the key id (repeatable)
    #[arg(long, value_name = "FOLDER")]
    secrets: Vec<PathBuf>,
    /// The public key to what the gateway signs with by ed25519, in PEM, and its key id (repeatable)
    #[arg(long, value_name = "KEY_ID=FILE", value_parser = public_key)]
    public_key: Vec<(String, PathBuf)>,
    /// A JWK set with such keys, as the gateway publishes it (repeatable)
    #[arg(long, value_name = "FILE")]
    jwks: Vec<PathBuf>,
    /// A path, and all below it, that needs no signature as long as it claims no identity (repeatable)
    #[arg(long, value_name = "PATH", value_parser = path)]
    open: Vec<String>,
    /// Where /metrics, /livez and /readyz are told [default: nowhere]
    #[arg(long, value_name = "IP:PORT")]
    telemetry: Option<SocketAddr>,
    /// How many signatures are remembered, so that none is believed twice; 0: none
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    remember: usize,
    /// How many connections there may be at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    connections: u32,
    /// What a header is called, when `[headers]` of the gateway says so: key_id=X-Acme-Key (repeatable)
    #[arg(long, value_name = "WHICH=NAME", value_parser = renamed)]
    header: Vec<(Which, HeaderName)>,
    /// A header of an old proxy that the backend still reads, as the gateway's [[backend]] masquerade
    /// sends it: kept where the signature is good, though no signature covers it (repeatable)
    #[arg(long, value_name = "NAME", value_parser = kept, conflicts_with = "answer")]
    keep_header: Vec<HeaderName>,
    /// How long connecting to the backend may take
    #[arg(long, value_name = "TIME", default_value = "2s")]
    connect_timeout: Period,
    /// How long the backend may be silent
    #[arg(long, value_name = "TIME", default_value = "60s")]
    read_timeout: Period,
    /// How long connections are still taken once it is told to end [default: not at all]
    #[arg(long, value_name = "TIME")]
    lame_duck: Option<Period>,
    /// How long what is under way may still take then
    #[arg(long, value_name = "TIME", default_value = "20s")]
    drain_timeout: Period,
    /// What is logged: error, warn, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

/// A header that the gateway can give another name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Which {
    KeyId,
    ClientId,
    KeyScopes,
    RequestId,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    telemetry::start_log(&args.log).map_err(|error| Failure::Usage(error.to_string()))?;
    let then = match (args.backend, args.answer) {
        (Some(address), _) => Then::Pass(Box::new(upstream::Settings {
            name: "backend".to_owned(),
            addresses: vec![address],
            protocol: Protocol::Http1,
            tls: None,
            connect_timeout: args.connect_timeout.as_duration(),
            read_timeout: args.read_timeout.as_duration(),
            health_check: None,
        })),
        (None, Some(form)) => Then::Answer(form),
        (None, None) => return Err(Failure::Usage("give --backend or --answer".to_owned())),
    };
    let names = names(args.header);
    // Whatever the gateway's own are called here.
    if !{ args.keep_header.iter() }.all(|name| may_be_called(name, &names)) {
        return Err(Failure::Usage(format!("--keep-header: {NOT_KEPT}")));
    }
    let settings = Settings {
        listen: args.listen,
        telemetry: args.telemetry,
        then,
        keys: Keys {
            secrets: args.secret,
            folders: args.secrets,
            public_keys: args.public_key,
            key_sets: args.jwks,
        },
        names,
        open: OpenPaths::new(args.open),
        keep: args.keep_header,
        remember: args.remember,
        connections: args.connections,
        shutdown: Shutdown {
            lame_duck: args.lame_duck.map_or(Duration::ZERO, Period::as_duration),
            drain_timeout: args.drain_timeout.as_duration(),
            upgrade_socket: None,
        },
    };
    verify::run(&settings).map_err(|error| match error {
        server::StartError::Keys(error) => Failure::Data(error.to_string()),
        other => Failure::Unavailable(other.into()),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn names(given: impl IntoIterator<Item = (Which, HeaderName)>) -> Names {
    let mut names = Names::default();
    for (which, name) in given {
        match which {
            Which::KeyId => names.key_id = name,
            Which::ClientId => names.client_id = name,
            Which::KeyScopes => names.key_scopes = name,
            Which::RequestId => names.request_id = name,
        }
    }
    names
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("name the socket: unix:/run/keyferry/verify.sock".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => { text.parse() }
                .map(Self::Tcp)
                .map_err(|_| "expected IP:PORT, such as 0.0.0.0:8081, or unix:PATH".to_owned()),
        }
    }
}

fn backend(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':');
    let is_one = parts.is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let wrong = || "expected HOST:PORT, such as 127.0.0.1:8080; the backend speaks plain HTTP/1.1";
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| wrong().to_owned())
}

pub(super) fn secret(text: &str) -> Result<(String, PathBuf), String> {
    named_file(text).ok_or_else(|| "expected KEY_ID=FILE, such as orders-2026-11=orders.key".into())
}

pub(super) fn public_key(text: &str) -> Result<(String, PathBuf), String> {
    let wrong = || "expected KEY_ID=FILE, such as orders-2026-11=orders.public.pem".into();
    named_file(text).ok_or_else(wrong)
}

pub(super) fn private_key(text: &str) -> Result<(String, PathBuf), String> {
    let wrong = || "expected KEY_ID=FILE, such as orders-2026-11=orders.private.pem".into();
    named_file(text).ok_or_else(wrong)
}

fn named_file(text: &str) -> Option<(String, PathBuf)> {
    let (key_id, file) = text.split_once('=')?;
    let is_whole = !key_id.is_empty() && !file.is_empty();
    is_whole.then(|| (key_id.to_owned(), file.into()))
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.contains(['?', '%', '*']) {
        Ok(text.to_owned())
    } else {
        Err("expected the beginning of a path, such as /healthz, without ?, % and *".to_owned())
    }
}

const NOT_KEPT: &str = "expected the name of a header with a certificate or a part of one";

fn kept(text: &str) -> Result<HeaderName, String> {
    let name = text.parse::<HeaderName>().ok();
    let may = |name: &HeaderName| may_be_called(name, &Names::default());
    name.filter(may).ok_or_else(|| NOT_KEPT.to_owned())
}

pub(super) fn renamed(text: &str) -> Result<(Which, HeaderName), String> {
    let wrong =
        || "expected WHICH=NAME, with key_id, client_id, key_scopes or request_id".to_owned();
    let (which, name) = text.split_once('=').ok_or_else(wrong)?;
    let which = clap::ValueEnum::from_str(which, false).map_err(|_| wrong())?;
    Ok((which, name.parse().map_err(|_| wrong())?))
}
