//! The headers of an old proxy that a backend still gets.

use std::sync::Arc;

use http::HeaderName;

use super::{Builder, Built, all};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::masquerade::{Header, Masquerade, Value, may_be_called};
use crate::sign::{Names, header};

const AS_BEFORE: &str = "use the name that the old proxy's configuration has";

impl Builder<'_> {
    /// `own` are the gateway's own headers, when they can be read; `signed` is the route that brings
    /// identities to the backend.
    pub(super) fn masquerade(
        &mut self,
        at: &KeyPath,
        typed: &[file::MasqueradeHeader],
        (own, signed): (Option<&Names>, Option<&str>),
    ) -> Built<Arc<Masquerade>> {
        if !typed.is_empty() && signed.is_none() {
            let wrong = "no route leads identities here, so none of these headers is ever sent";
            let write =
                "take it away, or give a route of this backend another accept than \"none\"";
            return Err(self.problem(at, wrong, write));
        }
        let mut names = Vec::new();
        let headers = all(typed.iter().enumerate().map(|(index, typed)| {
            let at = at.index(index);
            let (name_at, value_at) = (at.key("header"), at.key("value"));
            let write = r#"write header = "X-SSL-Client-S-DN""#;
            let name = self.required(&name_at, typed.header.as_deref(), write);
            let name = name.and_then(|name| self.told_name(&name_at, name, own, &mut names));
            let write = r#"write value = "$ssl_client_s_dn""#;
            let value = self.required(&value_at, typed.value.as_deref(), write);
            let value = value.and_then(|text| {
                text.parse::<Value>().map_err(|fault| {
                    let wrong = format!("{text:?} is no value of an old proxy");
                    self.problem(&value_at, wrong, fault.to_string())
                })
            });
            Ok(Header::new(name?, value?))
        }))?;
        Ok(Arc::new(Masquerade::new(headers)))
    }

    /// A name under which nothing of what clients send reaches a backend, also when this backend is told
    /// nothing any more.
    fn told_name<'a>(
        &mut self,
        at: &KeyPath,
        text: &'a str,
        own: Option<&Names>,
        names: &mut Vec<HeaderName>,
    ) -> Built<&'a str> {
        let Some(own) = own else {
            return Ok(text); // What is wrong with them is told.
        };
        let name = self.caller_name(at, text, own)?;
        if !header::is_reserved(text, own) {
            let wrong = format!("{text:?} is not taken away from what clients send");
            let write = "add it to headers.reserved, and leave it there until no backend reads it";
            return Err(self.problem(at, wrong, write));
        }
        self.first(at, name, text, names)?;
        Ok(text)
    }

    /// The name of a header that says who calls, and nothing else.
    pub(super) fn caller_name(
        &mut self,
        at: &KeyPath,
        text: &str,
        own: &Names,
    ) -> Built<HeaderName> {
        let Ok(name) = text.parse::<HeaderName>() else {
            let write = "use letters, digits, hyphens and underscores";
            return Err(self.problem(at, format!("{text:?} cannot be used"), write));
        };
        if may_be_called(&name, own) {
            return Ok(name);
        }
        let wrong = format!("{text:?} says something else than who calls");
        Err(self.problem(at, wrong, AS_BEFORE))
    }

    /// Takes in a name that none of `names` folds to.
    pub(super) fn first(
        &mut self,
        at: &KeyPath,
        name: HeaderName,
        text: &str,
        names: &mut Vec<HeaderName>,
    ) -> Built<()> {
        if names
            .iter()
            .any(|other| header::folds_to(text, other.as_str()))
        {
            let wrong = format!("{text:?} is the name of another of these headers");
            return Err(self.problem(at, wrong, "name each header once"));
        }
        names.push(name);
        Ok(())
    }
}
