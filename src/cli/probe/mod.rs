//! `keyferry probe`: what does a backend believe that did not come through the gateway?

mod attack;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use http::Uri;
use http::header::HeaderName;
use serde::Serialize;

use super::verify::{Which, names, private_key, public_key, renamed, secret};
use super::{Failure, Out};
use crate::server::verify::{signing_key, verifying_key};
use crate::sign::{Algorithm, Confused, SigningKey, VerifyingKey};
use crate::upstream::probe::{self, Question};
use crate::upstream::{Protocol, Settings, Tls, Verdict};
use attack::{Attack, Target};

/// How long a name may take to resolve, and a connection to be there.
const CONNECTING: Duration = Duration::from_secs(5);

/// Attack a backend of your own as the outside would, and say what it believed
///
/// Name a path that needs an identity. Only GET is sent, in the name of a client that there is not.
/// Without --secret or --private-key it tries what strangers can, with --public-key also those who know it;
/// with one of the others, also what somebody can who reads along behind the gateway. Ends with status 0
/// only when all of it was refused, with 401 or 403.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backend, and a path there that needs an identity, as `http://127.0.0.1:8080/v1/orders`
    #[arg(value_name = "URL", value_parser = url)]
    url: Uri,
    /// The secret that the gateway signs with for this backend, and its key id
    #[arg(long, value_name = "KEY_ID=FILE", value_parser = secret)]
    secret: Option<(String, PathBuf)>,
    /// The same where it signs by ed25519: its private key in PEM
    #[arg(long, value_name = "KEY_ID=FILE", value_parser = private_key, conflicts_with = "secret")]
    private_key: Option<(String, PathBuf)>,
    /// What everybody may know there: its public key in PEM
    #[arg(long, value_name = "KEY_ID=FILE", value_parser = public_key, conflicts_with_all = ["secret", "private_key"])]
    public_key: Option<(String, PathBuf)>,
    /// The host that clients ask for [default: the URL's]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// For https: the authorities that the backend's certificate must lead to, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What is believed on purpose, such as `replayed` where nobody reads along (repeatable)
    #[arg(long, value_name = "ATTACK")]
    except: Vec<String>,
    /// What a header is called, when `[headers]` of the gateway says so: key_id=X-Acme-Key (repeatable)
    #[arg(long, value_name = "WHICH=NAME", value_parser = renamed)]
    header: Vec<(Which, HeaderName)>,
}

/// What came of one attack.
#[derive(Serialize)]
struct Tried {
    attack: &'static str,
    verdict: Verdict,
    /// None when nobody answered.
    status: Option<u16>,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<ExitCode, Failure> {
    let target = args.target()?;
    let settings = args.settings()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tried = runtime.block_on(async {
        let address = resolve(&settings).await?;
        try_all(&target, &settings, address).await
    });
    runtime.shutdown_background();
    let tried = tried?;
    let is_good = |one: &&Tried| one.attack == Attack::Good.row().0;
    let is_excepted = |one: &Tried| args.except.iter().any(|name| name == one.attack);
    let control = tried.iter().find(is_good);
    // What tells nothing is not taken for safe.
    let is_refused = |one: &Tried| one.verdict == Verdict::Refused;
    let attacks = tried.iter().filter(|one| !is_good(one));
    let is_safe = { attacks }.all(|one| is_refused(one) || is_excepted(one));
    let is_lost = control.is_some_and(|control| control.verdict != Verdict::Believed);
    out.show(&tried, text(&tried))?;
    if is_lost {
        let why = "the good request was not believed, so the others tell nothing: see that path, host and key are right";
        return Err(Failure::Refused(why.to_owned()));
    }
    if control.is_none() {
        out.note("Tried as a stranger; with --secret or --private-key KEY_ID=FILE also as one who reads along.");
    }
    Ok(ExitCode::from(u8::from(!is_safe)))
}

/// One after the other; what takes a secret, only when there is one and the backend believes it.
async fn try_all(
    target: &Target<'_>,
    settings: &Settings,
    address: SocketAddr,
) -> Result<Vec<Tried>, Failure> {
    let mut all = Vec::new();
    let mut attacks = Attack::OF_STRANGERS.to_vec();
    if target.key.is_some() {
        attacks.insert(0, Attack::Good);
        attacks.extend(Attack::OF_READERS);
    }
    if let Some(key) = &target.checks
        && key.public().is_some()
    {
        attacks.extend(Confused::ALL.map(Attack::Public));
    }
    for attack in attacks {
        let headers = attack.headers(target);
        let Some(headers) = headers.map_err(|error| Failure::Usage(error.to_string()))? else {
            continue;
        };
        let url = match target.query {
            Some(query) => format!("{}?{query}", target.path),
            None => target.path.to_owned(),
        };
        let question = Question {
            agent: "keyferry-probe",
            host: target.host,
            target: &url,
        };
        if attack == Attack::Replayed {
            // Whether it is believed the first time, the control tells.
            let _first = probe::get(settings, address, question, headers.clone()).await;
        }
        let answer = probe::get(settings, address, question, headers).await;
        let (name, what) = attack.row();
        let status = answer.as_ref().ok().map(|answer| answer.status);
        all.push(Tried {
            attack: name,
            verdict: status.map_or(Verdict::Unclear, Verdict::of),
            status,
            what,
            error: answer.err().map(|error| error.to_string()),
        });
    }
    Ok(all)
}

fn text(tried: &[Tried]) -> String {
    let rows = tried.iter().map(|one| {
        let status = one.status.map(|status| status.to_string());
        let told = status.or_else(|| one.error.clone()).unwrap_or_default();
        [
            one.attack.to_owned(),
            one.verdict.as_str().to_owned(),
            told,
            one.what.to_owned(),
        ]
    });
    crate::operation::table::table(["ATTACK", "VERDICT", "ANSWER", "WHAT"], rows)
}

impl Args {
    fn target(&self) -> Result<Target<'_>, Failure> {
        let authority = self.url.authority().map(http::uri::Authority::as_str);
        let key = self.key()?;
        Ok(Target {
            host: self.host.as_deref().or(authority).unwrap_or_default(),
            path: self.url.path(),
            query: self.url.query(),
            names: names(self.header.iter().cloned()),
            checks: match &key {
                Some(key) => Some(key.verifying()),
                None => self.public()?,
            },
            key,
        })
    }

    fn key(&self) -> Result<Option<SigningKey>, Failure> {
        let secret = { self.secret.iter() }.map(|named| (named, Algorithm::HmacSha256));
        let private = { self.private_key.iter() }.map(|named| (named, Algorithm::Ed25519));
        let read = secret.chain(private).next();
        read.map(|((key_id, file), algorithm)| signing_key(key_id, file, algorithm))
            .transpose()
            .map_err(|error| Failure::Data(error.to_string()))
    }

    fn public(&self) -> Result<Option<VerifyingKey>, Failure> {
        let read = self.public_key.as_ref();
        read.map(|(key_id, file)| verifying_key(key_id, file))
            .transpose()
            .map_err(|error| Failure::Data(error.to_string()))
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let is_tls = self.url.scheme_str() == Some("https");
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match (&self.ca, is_tls) {
            (_, false) => None,
            (None, true) => {
                let why = "name the authorities that https needs with --ca; public ones are in /etc/ssl/certs/ca-certificates.crt";
                return Err(Failure::Usage(why.to_owned()));
            }
            (Some(file), true) => Some(Tls {
                ca_pem: std::fs::read(file)
                    .map_err(|error| Failure::Data(format!("{}: {error}", file.display())))?,
                server_name: host.to_owned(),
                identity: None,
            }),
        };
        Ok(Settings {
            name: "probed".to_owned(),
            addresses: vec![format!("{host}:{port}")],
            protocol: Protocol::Http1,
            tls,
            connect_timeout: CONNECTING,
            read_timeout: CONNECTING,
            health_check: None,
        })
    }
}

async fn resolve(settings: &Settings) -> Result<SocketAddr, Failure> {
    let name = settings.addresses.first().map_or("", String::as_str);
    let resolving = tokio::time::timeout(CONNECTING, tokio::net::lookup_host(name));
    let found = resolving.await.ok().and_then(Result::ok);
    let first = found.and_then(|mut addresses| addresses.next());
    first.ok_or_else(|| Failure::Unavailable(anyhow!("{name} cannot be resolved")))
}

fn url(text: &str) -> Result<Uri, String> {
    let wrong = || "expected http://HOST:PORT/PATH or https://…".to_owned();
    let url: Uri = text.parse().map_err(|_| wrong())?;
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some() => Ok(url),
        _ => Err(wrong()),
    }
}
