//! Routes: by host, then by the longest path prefix.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::certificate::CaIndex;
use crate::key::Scope;

/// Where requests for a host and a path go, and who may send them.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, for logs and metrics.
    pub name: String,
    /// The hosts that it serves.
    pub host: HostPattern,
    /// The start of the paths that it serves; always begins with `/`.
    pub path: String,
    /// The place of its backend among the backends.
    pub backend: usize,
    /// Which credentials it accepts.
    pub accept: Accept,
    /// The scopes that a key must have, all of them.
    pub scopes: Vec<Scope>,
    /// The authorities whose certificates it accepts; empty for all that are trusted.
    pub cas: Vec<CaIndex>,
}

/// Which credentials a route accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// Only a certificate, alone or beside a key.
    Certificate,
    /// Only a key, alone or beside a certificate.
    Key,
    /// Either, or both of the same client.
    Either,
    /// Anybody; credentials are not looked at.
    None,
}

impl Accept {
    /// What is left of it: whoever is not `asked` for a certificate has nothing but a key to show.
    #[must_use]
    pub const fn when(self, asked: bool) -> Self {
        match self {
            Self::Either if !asked => Self::Key,
            accept => accept,
        }
    }
}

/// The hosts that a route serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one, in lower case.
    Exact(String),
    /// Every host.
    Any,
}

/// The text is neither a host name nor `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use a host name without port, or \"*\" for every host")]
pub struct NotAHost;

impl std::str::FromStr for HostPattern {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let v6 = |text: &str| text.starts_with('[') && text.ends_with(']');
        match text {
            "*" => Ok(Self::Any),
            "" => Err(NotAHost),
            _ if text.bytes().all(fits) || v6(text) => {
                Ok(Self::Exact(text.trim_end_matches('.').to_ascii_lowercase()))
            }
            _ => Err(NotAHost),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Route {
    fn serves_path(&self, path: &str) -> bool {
        is_below(path, &self.path)
    }
}

/// Whether `path` is `beginning` or below it: "/v1/x" is below "/v1", and "/v10" is not.
#[must_use]
pub fn is_below(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning)
        .is_some_and(|rest| rest.is_empty() || beginning.ends_with('/') || rest.starts_with('/'))
}

/// All routes, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Routes(Vec<Arc<Route>>);

impl Routes {
    /// Orders `routes`: a named host before `*`, a longer path before a shorter one.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
        routes.sort_by_key(|route| {
            (
                route.host == HostPattern::Any,
                std::cmp::Reverse(route.path.len()),
            )
        });
        Self(routes)
    }

    /// The route of a request for `host` (lower case, without port) and `path`.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| {
            let here = match &route.host {
                HostPattern::Exact(name) => name == host,
                HostPattern::Any => true,
            };
            here && route.serves_path(path)
        })
    }

    /// The routes that requests for `host` can take: its own, and those of every host unless its
    /// own leave no path to them.
    pub fn serving<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Arc<Route>> {
        let is_own = move |route: &&Arc<Route>| match &route.host {
            HostPattern::Exact(name) => name == host,
            HostPattern::Any => false,
        };
        let is_whole = self.0.iter().filter(is_own).any(|route| route.path == "/");
        let others = move |route: &&Arc<Route>| !is_whole && route.host == HostPattern::Any;
        self.0
            .iter()
            .filter(move |route| is_own(route) || others(route))
    }

    /// Every route.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(&str, &str)]) -> Routes {
        let route = |(host, path): &(&str, &str)| Route {
            name: format!("{host}{path}"),
            host: host.parse().unwrap(),
            path: (*path).to_owned(),
            backend: 0,
            accept: Accept::Either,
            scopes: Vec::new(),
            cas: Vec::new(),
        };
        Routes::new(list.iter().map(route).collect())
    }

    #[test]
    fn the_named_host_and_the_longest_prefix_win() {
        let routes = routes(&[
            ("*", "/"),
            ("*", "/v1"),
            ("a.example", "/"),
            ("a.example", "/v1/x/"),
        ]);
        let find = |host, path| routes.find(host, path).map(|route| route.name.as_str());
        assert_eq!(find("b.example", "/v1/y"), Some("*/v1"));
        assert_eq!(find("a.example", "/v1/y"), Some("a.example/"));
        assert_eq!(find("a.example", "/v1/x/z"), Some("a.example/v1/x/"));
        assert_eq!(find("b.example", "/v10"), Some("*/"));
    }

    #[test]
    fn a_host_is_served_by_its_own_routes_and_by_others_on_paths_that_it_leaves() {
        let routes = routes(&[
            ("*", "/"),
            ("a.example", "/"),
            ("a.example", "/v1"),
            ("b.example", "/v1"),
        ]);
        let serving = |host| routes.serving(host).map(|route| route.name.as_str());
        let serving = |host| serving(host).collect::<Vec<_>>();
        assert_eq!(serving("a.example"), ["a.example/v1", "a.example/"]);
        assert_eq!(serving("b.example"), ["b.example/v1", "*/"]);
        assert_eq!(serving("c.example"), ["*/"]);
    }

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        let routes = routes(&[("*", "/admin")]);
        assert!(routes.find("h", "/admin").is_some() && routes.find("h", "/admin/x").is_some());
        assert!(routes.find("h", "/administrator").is_none() && routes.find("h", "/").is_none());
    }
}
