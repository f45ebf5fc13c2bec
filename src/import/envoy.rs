//! Envoy: the clients of the filter `api_key_auth`, wherever in a configuration it stands.
//!
//! Their keys are not taken over: here they are random, with a checksum, and stored as digests.

use super::document::Node;
use super::{Entry, Mark, Sink, Why};

/// Reads a configuration.
pub(super) fn read(document: &Node, sink: Sink<'_>) {
    document.each_map(&mut |map| {
        let kind = map.text_of("@type").unwrap_or_default();
        if kind.ends_with("api_key_auth.v3.ApiKeyAuth")
            || kind.ends_with("api_key_auth.v3.ApiKeyAuthPerRoute")
        {
            for credential in map.list("credentials") {
                let client = credential.name_of("client");
                let client = client.and_then(|client| client.ok_or(Why::Nameless));
                let entry = client.map(|client| Entry::new(Some(client), Mark::Key));
                sink(credential.line(), entry.into());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::import::Format::Envoy;
    use crate::import::tests::found;

    #[test]
    fn the_clients_of_the_filter_are_read_wherever_it_stands() {
        let text = "static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - typed_config:\n\
                    \x20         http_filters:\n          - name: auth\n            typed_config:\n\
                    \x20             \"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth\n\
                    \x20             credentials:\n              - {key: one, client: acme}\n              - key: two\n\
                    \x20             - key: three\n                client: Bravo\n";
        let expected = ["11 acme: key", "12 !nameless", "13 Bravo: key"];
        assert_eq!(found(Envoy, text), expected);
        assert_eq!(found(Envoy, "a: [1, 2"), ["1 !file"]);
    }
}
