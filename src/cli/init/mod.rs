//! `keyferry init`: a folder with everything that the gateway needs to start.

mod write;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use http::Uri;
use serde::Serialize;

use self::write::Writer;
use super::development::{Purpose, Wish};
use super::{Failure, Globals, Out};
use crate::config::Config;

const TEMPLATE: &str = include_str!("keyferry.toml");
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Make a folder with a configuration, secrets and, where none is given, certificates for trying
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The certificate authorities of the clients (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "dev_ca")]
    ca: Option<PathBuf>,
    /// Make an authority and one client certificate for development
    #[arg(long, conflicts_with = "ca")]
    dev_ca: bool,
    /// The service behind the gateway, for instance `http://127.0.0.1:8080`
    #[arg(long, value_name = "URL")]
    backend: Uri,
    /// The authorities of the backend's certificate [default: the system's, for https]
    #[arg(long, value_name = "FILE")]
    backend_ca: Option<PathBuf>,
    /// The server's certificate, then its intermediates (PEM) [default: made for localhost]
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The key to the server's certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Where to put everything
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Overwrite the configuration and certificates that are there; secrets are kept even so
    #[arg(long)]
    force: bool,
}

/// What `--output json` prints.
#[derive(Serialize)]
struct Report {
    config: PathBuf,
    written: Vec<PathBuf>,
    kept: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let (address, tls) = backend(args)?;
    let mut writer = Writer::new(&args.dir, args.force)?;
    writer.refuse_to_overwrite(&made(args))?;
    let given = |path: &Option<PathBuf>, made: &str| match path {
        Some(path) => writer.reference(path),
        None => Ok(quoted(made)),
    };
    let text = TEMPLATE
        .replace("{certificate}", &given(&args.certificate, "server.pem")?)
        .replace("{key}", &given(&args.key, "server.key")?)
        .replace("{ca}", &given(&args.ca, "clients-ca.pem")?)
        .replace("{address}", &quoted(&address))
        .replace(
            "{tls}",
            &tls.map_or(Ok(String::new()), |ca| tls_line(&writer, &ca))?,
        );
    if args.dev_ca {
        make_clients(&mut writer)?;
    }
    if args.certificate.is_none() {
        let server = Wish::new("localhost", Purpose::Localhost).make(None)?;
        writer.file("server.pem", &server.certificate_pem()?)?;
        writer.private("server.key", &server.key_pem()?)?;
    }
    writer.secret("pepper.key")?;
    writer.secret("record.key")?;
    writer.secret("api.key")?;
    writer.folder("state")?;
    writer.file("keyferry.toml", text.as_bytes())?;
    let config = args.dir.join("keyferry.toml");
    // What was given may be wrong; that is found here, not at the first start.
    Config::load(&config, std::iter::empty())?;
    let (written, kept) = writer.finish();
    let text = told(args, &config, &written, &kept);
    let report = Report {
        config,
        written,
        kept,
    };
    out.show(&report, text)?;
    Ok(ExitCode::SUCCESS)
}

/// The files that are made and may be overwritten only by `--force`.
fn made(args: &Args) -> Vec<&'static str> {
    let mut files = vec!["keyferry.toml"];
    if args.certificate.is_none() {
        files.extend(["server.pem", "server.key"]);
    }
    if args.dev_ca {
        files.extend([
            "clients-ca.pem",
            "clients-ca.key",
            "client.pem",
            "client.key",
        ]);
    }
    files
}

fn make_clients(writer: &mut Writer) -> Result<(), Failure> {
    let ca = Wish::new("Keyferry development", Purpose::Authority).make(None)?;
    let client = Wish::new("development", Purpose::Client).make(Some(&ca))?;
    writer.file("clients-ca.pem", &ca.certificate_pem()?)?;
    writer.private("clients-ca.key", &ca.key_pem()?)?;
    writer.file("client.pem", &client.certificate_pem()?)?;
    writer.private("client.key", &client.key_pem()?)
}

/// Host and port of the backend, and for https the authorities of its certificate.
fn backend(args: &Args) -> Result<(String, Option<PathBuf>), Failure> {
    let url = &args.backend;
    let unusable = || {
        Failure::Usage(format!(
            "--backend {url}: write http://HOST:PORT or https://HOST:PORT, without a path"
        ))
    };
    let host = url
        .host()
        .filter(|host| !host.is_empty())
        .ok_or_else(unusable)?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(unusable());
    }
    let (port, tls) = match url.scheme_str() {
        Some("http") => (80, None),
        Some("https") => {
            let system = || PathBuf::from(SYSTEM_BUNDLE);
            (443, Some(args.backend_ca.clone().unwrap_or_else(system)))
        }
        _ => return Err(unusable()),
    };
    let port = url.port_u16().unwrap_or(port);
    Ok((format!("{host}:{port}"), tls))
}

fn tls_line(writer: &Writer, ca: &Path) -> Result<String, Failure> {
    Ok(format!("tls = {{ ca_file = {} }}\n", writer.reference(ca)?))
}

/// As TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn told(args: &Args, config: &Path, written: &[PathBuf], kept: &[PathBuf]) -> String {
    let mut lines: Vec<_> = written
        .iter()
        .map(|path| format!("written  {}", path.display()))
        .collect();
    let kept = kept
        .iter()
        .map(|path| format!("kept     {}", path.display()));
    lines.extend(kept);
    lines.push(format!("\nstart it:  keyferry run -c {}", config.display()));
    if args.dev_ca && args.certificate.is_none() {
        let file = |name: &str| args.dir.join(name).display().to_string();
        lines.push(format!(
            "call it:   curl --cacert {} --cert {} --key {} https://localhost:8443/",
            file("server.pem"),
            file("client.pem"),
            file("client.key")
        ));
    }
    lines.push(format!(
        "the backend checks signatures with the secret in {}",
        args.dir.join("api.key").display()
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
