//! The part of a URL after the question mark: names and values, each name once.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads `a=1&b=2`; what is wrong with it otherwise.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| format!("the value of {name} is not UTF-8"))?;
            let before = values.insert(name.to_owned(), value.into_owned());
            if before.is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(Self(values))
    }

    /// Nothing was asked for; what is wrong otherwise.
    pub(super) fn none(&self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(other) => Err(format!("there is no {other} here; take it away")),
            None => Ok(()),
        }
    }

    /// What was asked for by these names, in their order; what is wrong when there are others.
    pub(super) fn only<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<&str>; N], String> {
        match self.0.keys().find(|name| !names.contains(&name.as_str())) {
            Some(other) => Err(format!("there is no {other}; use {}", names.join(" or "))),
            None => Ok(names.map(|name| self.0.get(name).map(String::as_str))),
        }
    }
}
