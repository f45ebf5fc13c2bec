//! Where clients call the API, as letters say it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::policy::{HostPattern, Route};

/// The beginning of the URLs of the API: `https://`, the host, and the port if it is another one. No
/// slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Api(String);

/// The text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write https:// and the host, and a port if it is another one, as https://api.example.com")]
pub(crate) struct NotAnApi;

impl Api {
    /// The one host that `routes` name; none when they name none, or several.
    pub(crate) fn of(routes: &[Route]) -> Option<Self> {
        let hosts = routes.iter().filter_map(|route| match &route.host {
            HostPattern::Exact(host) => Some(host),
            HostPattern::Any => None,
        });
        let hosts: BTreeSet<_> = hosts.collect();
        let mut hosts = hosts.into_iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => format!("https://{host}").parse().ok(),
            _ => None,
        }
    }
}

impl FromStr for Api {
    type Err = NotAnApi;

    fn from_str(text: &str) -> Result<Self, NotAnApi> {
        let uri: Uri = text.parse().map_err(|_| NotAnApi)?;
        let authority = uri.authority().ok_or(NotAnApi)?.as_str();
        // It stands in commands that people copy.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        let has_port = authority
            .rsplit_once(']')
            .map_or(authority, |(_, rest)| rest);
        if uri.scheme_str() == Some("https")
            && authority.bytes().all(fits)
            && !authority.starts_with('-')
            && (uri.port_u16().is_some() || !has_port.contains(':'))
            && uri.path() == "/"
            && uri.query().is_none()
            && !text.contains('#')
        {
            Ok(Self(format!("https://{authority}")))
        } else {
            Err(NotAnApi)
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Accept;

    #[test]
    fn an_api_is_a_host_that_a_command_can_hold() {
        for (text, api) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://api.example.com/", "https://api.example.com"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(text.parse::<Api>().unwrap().to_string(), api);
        }
        for bad in [
            "",
            "https://a:99999",
            "https://[::1]:99999",
            "https://a:",
            "https://-a",
            "api.example.com",
            "http://api.example.com",
            "https://",
            "https://a/b",
            "https://a/?b",
            "https://a/#b",
            "https://u@a",
            "https://a;b",
            "https://a b",
            "https://$(a)",
        ] {
            assert_eq!(bad.parse::<Api>(), Err(NotAnApi), "{bad:?}");
        }
    }

    #[test]
    fn the_one_host_of_the_routes_is_where_the_api_is() {
        let api = |hosts: &[&str]| {
            let routes = hosts.iter().map(|host| Route {
                name: "route".to_owned(),
                host: host.parse().unwrap(),
                path: "/".to_owned(),
                backend: 0,
                accept: Accept::Either,
                scopes: Vec::new(),
                cas: Vec::new(),
            });
            Api::of(&routes.collect::<Vec<_>>()).map(|api| api.to_string())
        };
        let one = Some("https://api.example.com".to_owned());
        assert_eq!(api(&["api.example.com", "*", "api.example.com"]), one);
        assert_eq!(api(&["*"]), None);
        assert_eq!(api(&["a.example", "b.example"]), None);
    }
}
