//! The store in Redis: where it is, and who asks.

use std::path::PathBuf;

use super::{Builder, Built, text};
use crate::config::file;
use crate::config::period::Period;
use crate::config::problem::KeyPath;
use crate::config::settings;
use crate::store::redis::{Address, Login, Sentinels, Settings, Shape, Tls};

/// What a URL of Redis says.
struct Url {
    with_tls: bool,
    user: Option<String>,
    address: Address,
    database: u16,
}

/// What addresses may look like.
const EXAMPLES: [&str; 2] = ["10.0.0.1:6379", "redis-0.redis:6379"];
const SENTINELS: [&str; 2] = ["10.0.0.1:26379", "sentinel-0.redis:26379"];

impl Builder<'_> {
    pub(super) fn redis(&mut self, at: &KeyPath, typed: file::Store) -> Built<Settings> {
        let tls = typed.tls.as_ref();
        let tls = tls.map(|typed| self.redis_tls(&at.key("tls"), typed));
        let url = typed.url.as_deref();
        let url = url.map(|url| self.redis_url(&at.key("url"), url, typed.tls.is_some()));
        let url = url.transpose();
        if typed.user.is_some() && url.as_ref().is_ok_and(Option::is_some) {
            let write = "write it into the URL: redis://USER@HOST:PORT/DATABASE";
            self.problem(&at.key("user"), "does not go with url", write);
        }
        let user = match &url {
            Ok(Some(url)) => url.user.clone(),
            _ => typed.user,
        };
        let login = self.login(&at.key("password_file"), user, typed.password_file);
        let tls = tls.transpose();
        let (shape, database) = match (url?, typed.sentinel, typed.cluster) {
            (Some(url), None, None) => (Ok(Shape::Single(url.address)), url.database),
            (None, Some(sentinel), None) => {
                let database = sentinel.database;
                let tls = tls.as_ref().ok().and_then(Option::as_ref);
                (self.sentinels(&at.key("sentinel"), sentinel, tls), database)
            }
            (None, None, Some(cluster)) => {
                let at = at.key("cluster").key("addresses");
                let nodes = self.nodes(&at, cluster.addresses, EXAMPLES);
                (nodes.map(Shape::Cluster), 0)
            }
            (None, None, None) => {
                let write = r#"write url = "redis://127.0.0.1:6379/0", or a table [store.sentinel] or [store.cluster]"#;
                return Err(self.problem(&at.key("url"), "missing", write));
            }
            _ => {
                let wrong = "url, sentinel and cluster do not go together";
                return Err(self.problem(at, wrong, "leave one of them"));
            }
        };
        let or = |typed: Option<Period>, usual| typed.map_or(usual, Period::as_duration);
        Ok(Settings {
            login: login?,
            database,
            tls: tls?,
            connect_timeout: or(typed.connect_timeout, Settings::CONNECT_TIMEOUT),
            response_timeout: or(typed.response_timeout, Settings::RESPONSE_TIMEOUT),
            ..Settings::new(shape?)
        })
    }

    fn sentinels(
        &mut self,
        at: &KeyPath,
        typed: file::Sentinel,
        tls: Option<&Tls>,
    ) -> Built<Shape> {
        let addresses = self.nodes(&at.key("addresses"), typed.addresses, SENTINELS);
        let write = r#"write master = "…", as in the sentinels' own "sentinel monitor""#;
        let master = self.required(&at.key("master"), typed.master, write);
        let login = self.login(&at.key("password_file"), typed.user, typed.password_file);
        Ok(Shape::Sentinel(Sentinels {
            addresses: addresses?,
            master: master?,
            login: login?,
            tls: tls.filter(|_| typed.tls).cloned(),
        }))
    }

    fn nodes(
        &mut self,
        at: &KeyPath,
        typed: Vec<String>,
        examples: [&str; 2],
    ) -> Built<Vec<Address>> {
        let addresses = self.addresses(at, typed, examples)?;
        Ok(addresses.iter().map(node).collect())
    }

    /// A user without a password is a mistake: Redis has none that needs none and is safe.
    fn login(&mut self, at: &KeyPath, user: Option<String>, file: Option<PathBuf>) -> Built<Login> {
        let password = match file {
            Some(path) => Some(self.password(at, &path)?),
            None if user.is_some() => {
                let write = "name a file with the user's password";
                return Err(self.problem(at, "missing", write));
            }
            None => None,
        };
        Ok(Login { user, password })
    }

    fn redis_tls(&mut self, at: &KeyPath, typed: &file::ClientTls) -> Built<Tls> {
        let files = self.client_tls(at, typed);
        let name = typed.server_name.as_deref();
        let name = name.map(|name| self.server_name(&at.key("server_name"), name));
        let (ca, own) = files?;
        let own = own.as_ref().map(|own| (own.chain.as_bytes(), &own.key));
        Tls::new(ca.as_bytes(), own, name.transpose()?).map_err(|error| {
            let wrong = format!("cannot be used: {error}");
            self.problem(at, wrong, "name other certificates")
        })
    }

    /// A URL without a password. What could hold one is never shown.
    fn redis_url(&mut self, at: &KeyPath, url: &str, has_tls: bool) -> Built<Url> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let user = rest.rsplit_once('@').map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) || url.contains("password=") {
            let wrong = "there is a password in it, and this file is no place for one";
            let write =
                "take it out, put it into a file of its own, and name that in password_file";
            return Err(self.problem(at, wrong, write));
        }
        let Some(url) = read(url) else {
            let write =
                r#"write "redis://HOST:PORT/DATABASE" or "redis://USER@HOST:PORT/DATABASE""#;
            return Err(self.problem(at, "is not the URL of a Redis server", write));
        };
        let (wrong, write) = match (url.with_tls, has_tls) {
            (true, false) => (
                "asks for TLS, and whom to trust is missing",
                r#"write a table [store.tls] with ca_file = "…""#,
            ),
            (false, true) => (
                "asks for plain text, and there is a table [store.tls]",
                "write rediss://, or take the table away",
            ),
            _ => return Ok(url),
        };
        Err(self.problem(at, wrong, write))
    }
}

fn node(address: &settings::Address) -> Address {
    Address {
        host: address.host().to_owned(),
        port: address.port(),
    }
}

fn read(url: &str) -> Option<Url> {
    let (scheme, rest) = url.split_once("://")?;
    let with_tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return None,
    };
    let (user, server) = match rest.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (None, rest),
    };
    let (address, database) = server.split_once('/').unwrap_or((server, ""));
    let with_port = format!("{address}:6379");
    let address = text::address(address).or_else(|| text::address(&with_port))?;
    let database = if database.is_empty() { "0" } else { database };
    user.is_none_or(is_user).then_some(Url {
        with_tls,
        user: user.map(str::to_owned),
        address: node(&address),
        database: database.parse().ok()?,
    })
}

/// A user's name that needs no escaping in a URL.
fn is_user(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}
