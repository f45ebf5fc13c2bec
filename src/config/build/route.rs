//! Which requests go to which backend, and what they must present.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::listener::asks_somewhere;
use super::{Builder, Built, Noted, all, text};
use crate::certificate::CaIndex;
use crate::config::file::{self, File};
use crate::config::problem::{KeyPath, Place};
use crate::config::typed::one_of;
use crate::key::{NotAScope, Scope};
use crate::policy::{Accept, HostPattern, Route};

impl Builder<'_> {
    pub(super) fn routes(&mut self, file: &File) -> Built<Vec<Route>> {
        let at = KeyPath::top("route");
        let write = "write a table [[route]] with name, backend and accept";
        self.some(&at, file.route.iter().collect(), write)?;
        let mut names = Vec::new();
        let mut places = BTreeMap::new();
        all(file.route.iter().enumerate().map(|(index, typed)| {
            let at = at.index(index);
            let name = self.name(&at, typed.name.clone(), &mut names);
            let host = self.host(&at.key("host"), &typed.host);
            let path = self.path(&at.key("path"), &typed.path, &file.self_service.path);
            self.once(&at, typed, &mut places);
            let backend = self.backend(&at.key("backend"), typed, file);
            let cas = self.route_cas(&at.key("cas"), typed, file);
            let scopes = self.scopes(&at.key("scopes"), typed);
            let accept = self.accept(&at.key("accept"), typed, file);
            Ok(Route {
                name: name?,
                host: host?,
                path: path?,
                backend: backend?,
                accept: accept?,
                scopes: scopes?,
                cas: cas?,
            })
        }))
    }

    fn host(&mut self, at: &KeyPath, host: &str) -> Built<HostPattern> {
        if host == "*" {
            return Ok(HostPattern::Any);
        }
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let is_ipv6 = bracketed.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
        let lower = host.to_ascii_lowercase();
        if lower == host && (is_ipv6 || text::is_host(host)) {
            return Ok(HostPattern::Exact(lower));
        }
        let likely = text::address(&lower).map_or(lower, |address| address.host().to_owned());
        let write = if text::is_host(&likely) {
            format!("write {likely:?}")
        } else {
            r#"write the host exactly, in lower case and without a port, or "*" for any"#.to_owned()
        };
        Err(self.problem(at, format!("{host:?} is not a host"), write))
    }

    fn path(&mut self, at: &KeyPath, path: &str, reserved: &str) -> Built<String> {
        if !text::is_path(path) {
            let wrong = format!("{path:?} is not the beginning of a path");
            let write = r#"begin it with "/", without query, escapes, empty or dot segments"#;
            return Err(self.problem(at, wrong, write));
        }
        if path.starts_with(reserved) {
            let wrong = format!("{path:?} lies under self_service.path and is never reached");
            return Err(self.problem(at, wrong, "use another path here or there"));
        }
        Ok(path.to_owned())
    }

    /// No two routes for the same host and path: which of them wins would be an accident.
    fn once<'a>(
        &mut self,
        at: &KeyPath,
        typed: &'a file::Route,
        places: &mut BTreeMap<(&'a str, &'a str), Place>,
    ) {
        let target = (typed.host.as_str(), typed.path.as_str());
        match places.get(&target) {
            Some(earlier) => {
                let wrong = format!(
                    "host {:?} and path {:?} are routed at {earlier} already",
                    target.0, target.1
                );
                self.problem(at, wrong, "change one of them or take it away");
            }
            None => {
                places.insert(target, self.place(at));
            }
        }
    }

    fn backend(&mut self, at: &KeyPath, typed: &file::Route, file: &File) -> Built<usize> {
        let name = self.required(at, typed.backend.as_deref(), r#"write backend = "…""#)?;
        let known: Vec<_> = file.backend.iter().map(|b| b.name.as_deref()).collect();
        self.named(at, None, name, &known, "backend")
    }

    fn route_cas(&mut self, at: &KeyPath, typed: &file::Route, file: &File) -> Built<Vec<CaIndex>> {
        if !typed.cas.is_empty() && matches!(typed.accept, Some(Accept::Key | Accept::None)) {
            let wrong = "no certificate is accepted on this route";
            let write = r#"take it away, or write accept = "certificate" or "either""#;
            self.problem(at, wrong, write);
        }
        let known: Vec<_> = file.ca.iter().map(|ca| ca.name.as_deref()).collect();
        all(typed.cas.iter().enumerate().map(|(index, name)| {
            let place = self.named(at, Some(index), name, &known, "ca")?;
            let index = u16::try_from(place);
            index
                .map(CaIndex)
                .map_err(|_| self.problem(at, "there are too many", "keep fewer"))
        }))
    }

    /// The place of `name` among the `known`.
    fn named(
        &mut self,
        at: &KeyPath,
        index: Option<usize>,
        name: &str,
        known: &[Option<&str>],
        what: &str,
    ) -> Built<usize> {
        if let Some(place) = known.iter().position(|known| *known == Some(name)) {
            return Ok(place);
        }
        // Where a name could not be read, that was noted, and it may be the one that is meant.
        if known.contains(&None) || self.document.is_pruned(&KeyPath::top(what)) {
            return Err(Noted(()));
        }
        let wrong = format!("there is no {what} {name:?}");
        let mut names: Vec<_> = known.iter().flatten().map(|n| format!("{n:?}")).collect();
        names.dedup();
        let write = if names.is_empty() {
            format!("write a table [[{what}]] with that name")
        } else {
            let names = one_of(&names);
            format!("use {names}, or write a table [[{what}]] with that name")
        };
        Err(match index {
            Some(index) => self.problem_in(at, index, wrong, write),
            None => self.problem(at, wrong, write),
        })
    }

    fn scopes(&mut self, at: &KeyPath, typed: &file::Route) -> Built<Vec<Scope>> {
        if !typed.scopes.is_empty() && typed.accept == Some(Accept::None) {
            let wrong = "nothing is asked for on this route";
            self.problem(at, wrong, r#"take it away, or write accept = "key""#);
        }
        all(typed.scopes.iter().enumerate().map(|(index, scope)| {
            scope.parse().map_err(|fault: NotAScope| {
                let wrong = format!("{scope:?} is not a scope");
                self.problem_in(at, index, wrong, fault.to_string())
            })
        }))
    }

    fn accept(&mut self, at: &KeyPath, typed: &file::Route, file: &File) -> Built<Accept> {
        let write = r#"write accept = "certificate", "key", "either" or "none""#;
        let accept = self.required(at, typed.accept, write)?;
        let listener = file.listener.as_ref();
        let is_off = |listener: &file::Listener| {
            listener.client_certificates.is_some() && !asks_somewhere(listener)
        };
        if accept == Accept::Certificate && listener.is_some_and(is_off) {
            let wrong = r#"no client can present a certificate while listener.client_certificates is "off""#;
            self.problem(at, wrong, r#"write "key" here, or "optional" there"#);
        }
        Ok(accept)
    }
}
