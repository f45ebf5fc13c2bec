//! Commands that a gateway elsewhere does, by its admin API.
//!
//! No configuration and no store is needed then: an address and a token are.

mod operate;
mod send;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;

use super::Failure;
pub(super) use operate::{letters, operate};

use crate::secret::{Secret, TOO_OPEN};
use crate::socket::is_this_machine;
use crate::upstream::{Protocol, Settings, Tls};

/// How long a connection may take to be there.
const CONNECTING: Duration = Duration::from_secs(5);
/// No list of authorities and no token is longer.
const LONGEST: u64 = 4 << 20;

/// Where the gateway is, and how it is asked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "By the admin API of a gateway (docs/API.md)")]
pub(super) struct Args {
    /// Have the gateway at this URL do it, as <https://gateway.example.com:9443> [default: `$KEYFERRY_SERVER`;
    /// without it, it is done here]
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    server: Option<String>,
    /// The file that holds the token [default: `$KEYFERRY_TOKEN_FILE`]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    token_file: Option<PathBuf>,
    /// The authorities that the gateway's certificate must lead to, in PEM [default: `$KEYFERRY_SERVER_CA`,
    /// or those of the system]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    server_ca: Option<PathBuf>,
    /// The name that is in the gateway's certificate [default: `$KEYFERRY_SERVER_NAME`, or the host of the
    /// URL]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    server_name: Option<String>,
    /// Your own certificate, where the gateway demands one, in PEM [default: `$KEYFERRY_SERVER_CERTIFICATE`]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    server_certificate: Option<PathBuf>,
    /// Its private key, in PEM [default: `$KEYFERRY_SERVER_KEY`]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    server_key: Option<PathBuf>,
}

/// A gateway that can be asked.
#[derive(Debug)]
pub(super) struct Server {
    /// As it is told.
    url: String,
    /// Host and port, as in `Host`.
    authority: Authority,
    settings: Settings,
    token: Option<Secret<String>>,
}

impl Args {
    /// The gateway that is to do it, if one is. A configuration that `is_named` counts before the
    /// environment.
    pub(super) fn server(&self, is_named: bool) -> Result<Option<Server>, Failure> {
        match &self.server {
            Some(_) if is_named => Err(Failure::Usage(
                "--server and --config exclude each other: a command works here or there"
                    .to_owned(),
            )),
            Some(url) => self.at(url).map(Some),
            None if is_named => Ok(None),
            None => variable("KEYFERRY_SERVER")
                .map(|url| self.at(&url))
                .transpose(),
        }
    }

    /// Whether a gateway was named for this command, and not in the environment for all.
    pub(super) const fn is_given(&self) -> bool {
        self.server.is_some()
    }

    fn at(&self, text: &str) -> Result<Server, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("{text:?} {why}"));
        let url = text.trim_end_matches('/').parse::<Uri>();
        let url = url.map_err(|_| wrong("is no URL"))?;
        let is_https = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("is no URL; write https://HOST:PORT")),
        };
        let authority = url.authority().filter(|it| !it.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("is no URL; write https://HOST:PORT"))?;
        if url.path() != "/" || url.query().is_some() {
            return Err(wrong("has a path; write https://HOST:PORT and no more"));
        }
        let host = authority.host().trim_matches(['[', ']']);
        if !is_https && !is_this_machine(host) {
            return Err(wrong(
                "would send the token in the clear; use https, or reach the gateway by a loopback address",
            ));
        }
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let address = format!("{}:{port}", authority.host());
        let tls = is_https.then(|| self.tls(host)).transpose()?;
        Ok(Server {
            url: text.to_owned(),
            authority: authority.clone(),
            settings: Settings {
                name: text.to_owned(),
                addresses: vec![address],
                protocol: Protocol::Http1,
                tls,
                connect_timeout: CONNECTING,
                // The whole of it has its time.
                read_timeout: send::LONGEST_WAIT,
                health_check: None,
            },
            token: self.token()?,
        })
    }

    fn tls(&self, host: &str) -> Result<Tls, Failure> {
        let named = |given: &Option<PathBuf>, name| {
            given.clone().or_else(|| variable(name).map(Into::into))
        };
        let authorities = named(&self.server_ca, "KEYFERRY_SERVER_CA");
        let authorities = authorities.or_else(|| openssl_probe::probe().cert_file);
        let authorities = authorities.ok_or_else(|| {
            Failure::Usage(
                "this system has no list of authorities; name those of the gateway: --server-ca FILE"
                    .to_owned(),
            )
        })?;
        let certificate = named(&self.server_certificate, "KEYFERRY_SERVER_CERTIFICATE");
        let key = named(&self.server_key, "KEYFERRY_SERVER_KEY");
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                Some((read(&certificate)?, Secret::new(private(&key)?)))
            }
            (None, None) => None,
            _ => {
                let both = "--server-certificate and --server-key belong together";
                return Err(Failure::Usage(both.to_owned()));
            }
        };
        let name = self.server_name.clone();
        let name = name.or_else(|| variable("KEYFERRY_SERVER_NAME"));
        Ok(Tls {
            ca_pem: read(&authorities)?,
            server_name: name.unwrap_or_else(|| host.to_owned()),
            identity,
        })
    }

    fn token(&self) -> Result<Option<Secret<String>>, Failure> {
        let file = self.token_file.clone();
        let file = file.or_else(|| variable("KEYFERRY_TOKEN_FILE").map(Into::into));
        let Some(file) = file else { return Ok(None) };
        let text = String::from_utf8(private(&file)?).map(Secret::new);
        let text = text.map_err(|_| Failure::Data(format!("{} is not text", file.display())))?;
        Ok(Some(Secret::new(text.expose().trim_end().to_owned())))
    }
}

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(value.to_string_lossy().into_owned())
}

/// The contents of a file that only its owner, and its group for reading, may touch.
fn private(path: &Path) -> Result<Vec<u8>, Failure> {
    let mode = fs::metadata(path).map(|file| file.permissions().mode() & 0o777);
    let mode = mode.map_err(|error| unreadable(path, &error))?;
    if mode & TOO_OPEN != 0 {
        let path = path.display();
        let why = format!("{path} is open to others (mode {mode:04o}); chmod 600 {path}");
        return Err(Failure::Data(why));
    }
    read(path)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut contents = Vec::new();
    let file = fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut contents));
    file.map_err(|error| unreadable(path, &error))?;
    Ok(contents)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let path = crate::secret::shown(path);
    Failure::Usage(format!("{path} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_goes_over_the_network_in_the_clear() {
        let args = |url: &str| Args {
            server: Some(url.to_owned()),
            token_file: None,
            server_ca: None,
            server_name: None,
            server_certificate: None,
            server_key: None,
        };
        let at = |url: &str| args(url).server(false).map(|server| server.unwrap().url);
        for url in [
            "http://127.0.0.1:9443",
            "http://localhost:9443/",
            "http://[::1]:9443",
        ] {
            assert_eq!(at(url).ok().as_deref(), Some(url));
        }
        for url in [
            "http://gateway.example.com:9443",
            "http://192.0.2.1",
            "http://0.0.0.0:9443",
            "http://localhost.example.com",
            "http://user@localhost",
            "http://localhost/v1",
            "ftp://localhost",
            "localhost:9443",
            "",
        ] {
            assert!(matches!(at(url), Err(Failure::Usage(_))), "{url}");
        }
        let both = args("http://localhost").server(true);
        assert!(matches!(both, Err(Failure::Usage(_))));
    }
}
