//! The names of the identity headers.

use http::HeaderName;

use super::{Builder, Built, all};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::config::settings::Headers;
use crate::sign::{Names, header};

impl Builder<'_> {
    pub(super) fn headers(&mut self, typed: &file::Headers) -> Built<Headers> {
        let mut taken = Vec::new();
        let mut name = |key: &str, text: &str| self.header_name(key, text, &mut taken);
        let key_id = name("key_id", &typed.key_id);
        let client_id = name("client_id", &typed.client_id);
        let key_scopes = name("key_scopes", &typed.key_scopes);
        let request_id = name("request_id", &typed.request_id);
        let own = Names {
            key_id: key_id?,
            client_id: client_id?,
            key_scopes: key_scopes?,
            request_id: request_id?,
            reserved: Vec::new(),
        };
        let (at, mut reserved) = (KeyPath::top("headers").key("reserved"), Vec::new());
        all(typed.reserved.iter().enumerate().map(|(index, text)| {
            let at = at.index(index);
            let name = self.caller_name(&at, text, &own)?;
            self.first(&at, name, text, &mut reserved)
        }))?;
        Ok(Headers {
            names: Names { reserved, ..own },
            keep_ambiguous: typed.keep_ambiguous,
        })
    }

    /// A name that no other header has, and that cannot be one that HTTP or the gateway needs.
    fn header_name(
        &mut self,
        key: &str,
        text: &str,
        taken: &mut Vec<HeaderName>,
    ) -> Built<HeaderName> {
        let at = KeyPath::top("headers").key(key);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let own = text
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("x-"));
        let parsed = text.parse::<HeaderName>().ok();
        let Some(name) = parsed.filter(|_| own && text.len() > 2 && text.bytes().all(plain)) else {
            let write = "write \"X-\" and letters, digits and hyphens, for instance \"X-Key-Id\"";
            return Err(self.problem(&at, format!("{text:?} cannot be used"), write));
        };
        if taken.contains(&name) {
            let wrong = format!("{text:?} is the name of another of these headers");
            return Err(self.problem(&at, wrong, "give each header a name of its own"));
        }
        if name == crate::credential::API_KEY || header::is_misleading(name.as_str()) {
            let wrong = format!("{text:?} has another meaning to the gateway");
            return Err(self.problem(&at, wrong, "choose another name"));
        }
        taken.push(name.clone());
        Ok(name)
    }
}
