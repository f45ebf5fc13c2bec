//! Whose requests are only observed.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use super::{Builder, Built, all};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::credential::API_KEY;
use crate::policy::{Network, NotANetwork, Observing};

/// The widest networks that one may observe: `10.0.0.0/8` is the largest private one (RFC 1918),
/// and nobody's own network of IPv6 is wider.
const WIDEST: (u8, u8) = (8, 16);

impl Builder {
    pub(super) fn observe(&mut self, typed: Option<file::Observe>) -> Built<Option<Observing>> {
        let Some(typed) = typed else {
            return Ok(None);
        };
        let at = KeyPath::top("observe");
        let from = self.observed_networks(&at.key("from"), typed.from);
        let header = typed
            .identity_header
            .map(|name| self.observed_header(&at.key("identity_header"), &name));
        Ok(Some(Observing {
            from: from?,
            identity_header: header.transpose()?,
        }))
    }

    fn observed_networks(&mut self, at: &KeyPath, typed: Vec<String>) -> Built<Vec<Network>> {
        let write = r#"name the addresses of the existing gateway: from = ["10.0.0.5"]; or take [observe] away to enforce"#;
        let typed = self.some(at, typed, write)?;
        all(typed.iter().enumerate().map(|(index, text)| {
            let network: Network = text.parse().map_err(|error: NotANetwork| {
                let wrong = format!("{text:?} is not a network");
                self.problem_in(at, index, wrong, error.to_string())
            })?;
            let (v4, v6) = WIDEST;
            if network.is_wider_than(v4, v6) {
                let wrong = format!("{text:?} lets strangers tell the backend to be anybody");
                let write = format!(
                    "name the addresses that only the existing gateway uses; no network wider \
                     than /{v4} (IPv6: /{v6}) is taken"
                );
                return Err(self.problem_in(at, index, wrong, write));
            }
            Ok(network)
        }))
    }

    /// A header that says who calls. What stands in it is shown to the operator, so it may be none
    /// that carries a secret.
    fn observed_header(&mut self, at: &KeyPath, text: &str) -> Built<HeaderName> {
        let write = r#"name the header in which the existing gateway tells who calls, for instance "X-Client-Id""#;
        let Ok(name) = text.parse::<HeaderName>() else {
            return Err(self.problem(at, format!("{text:?} is not the name of a header"), write));
        };
        if [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, API_KEY].contains(&name) {
            let wrong = format!("{text:?} carries secrets, and its values are shown");
            return Err(self.problem(at, wrong, write));
        }
        Ok(name)
    }
}
