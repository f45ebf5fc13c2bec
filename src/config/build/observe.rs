//! Whose requests are only observed.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use super::network::Trusted;
use super::{Builder, Built};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::credential::API_KEY;
use crate::policy::Observing;

const EXISTING_GATEWAY: Trusted = Trusted {
    write: r#"name the addresses of the existing gateway: from = ["10.0.0.5"]; or take [observe] away to enforce"#,
    danger: "lets strangers tell the backend to be anybody",
    owner: "the existing gateway uses",
};

impl Builder<'_> {
    pub(super) fn observe(&mut self, typed: Option<file::Observe>) -> Built<Option<Observing>> {
        let Some(typed) = typed else {
            return Ok(None);
        };
        let at = KeyPath::top("observe");
        let from = self.networks(&at.key("from"), typed.from, &EXISTING_GATEWAY);
        let header = typed
            .identity_header
            .map(|name| self.observed_header(&at.key("identity_header"), &name));
        Ok(Some(Observing {
            from: from?,
            identity_header: header.transpose()?,
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
