//! Kong: the consumers of an export of decK.
//!
//! A consumer with a key gets a new one; one with `mtls_auth_credentials` is known by a name in its
//! certificate.

use super::document::Node;
use super::{Entry, Found, Mark, Sink, Told, Why};
use crate::client::Tags;

/// Reads an export.
pub(super) fn read(document: &Node, sink: Sink<'_>) {
    for consumer in document.list("consumers") {
        read_consumer(consumer, sink);
    }
    document.each_map(&mut |map| {
        let name = map.text_of("name").unwrap_or_default();
        let Some(config) = map.get("config").filter(|_| name.ends_with("-auth")) else {
            return;
        };
        if let Some(anonymous) = config.get("anonymous")
            && anonymous.text().is_some_and(|text| !text.is_empty())
        {
            sink(anonymous.line(), Why::Fallback.into());
        }
        if config.is_true("skip_consumer_lookup") {
            sink(map.line(), Why::Authority.into());
        }
    });
}

fn read_consumer(consumer: &Node, sink: Sink<'_>) {
    let names = ["username", "custom_id"];
    let mut names = names
        .into_iter()
        .filter_map(|name| consumer.name_of(name).transpose());
    let called = match names.next() {
        Some(Ok(called)) => called,
        Some(Err(why)) => return sink(consumer.line(), why.into()),
        None => return sink(consumer.line(), Why::Nameless.into()),
    };
    let tags = consumer.list("tags").iter().filter_map(Node::text);
    // Words that are no tags here do not hinder the client.
    let tags: Tags = tags.filter_map(|tag| tag.parse().ok()).collect();
    let entry = |mark| Entry {
        tags: tags.clone(),
        ..Entry::new(Some(called), mark)
    };
    let certificates = consumer.list("mtls_auth_credentials");
    for certificate in certificates {
        let subject = certificate.name_of("subject_name");
        let mark = subject
            .and_then(|subject| Mark::described(Told::CommonName, subject.unwrap_or_default()));
        sink(certificate.line(), mark.map(entry).into());
    }
    if certificates.is_empty() {
        let is_known = consumer
            .pairs()
            .any(|(name, node)| name.ends_with("_credentials") && !node.items().is_empty());
        let mark = if is_known { Mark::Key } else { Mark::Nothing };
        sink(consumer.line(), Found::from(entry(mark)));
    }
}

#[cfg(test)]
mod tests {
    use crate::import::Format::Kong;
    use crate::import::tests::found;

    #[test]
    fn consumers_are_clients_and_a_fallback_is_refused() {
        let text = "_format_version: \"3.0\"\nconsumers:\n- username: acme\n  keyauth_credentials:\n  - key: k1\n\
                    - custom_id: bravo\n  mtls_auth_credentials:\n  - subject_name: b.example.com\n  - subject_name: '*.b'\n\
                    - username: 17\n  tags: [mobile, Not A Tag]\n- tags: [x]\n\
                    plugins:\n- name: key-auth\n  config:\n    anonymous: guest\n\
                    - name: mtls-auth\n  config:\n    skip_consumer_lookup: true\n    anonymous: null\n";
        let expected = [
            "3 acme: key",
            "8 bravo: CommonName b.example.com",
            "9 !pattern",
            "10 17: nothing",
            "12 !nameless",
            "16 !fallback",
            "17 !authority",
        ];
        assert_eq!(found(Kong, text), expected);
    }

    #[test]
    fn c11_names_that_are_no_text_do_not_become_one() {
        for (name, expected) in [
            ("31", "2 31: nothing"),
            ("'0x1F'", "2 0x1F: nothing"),
            ("\"yes\"", "2 yes: nothing"),
            ("031", "2 031: nothing"),
            ("0x1F", "2 !syntax"),
            ("0o37", "2 !syntax"),
            ("+31", "2 !syntax"),
            ("-31", "2 !syntax"),
            ("31.0", "2 !syntax"),
            ("true", "2 !syntax"),
            ("[a]", "2 !syntax"),
            ("null", "2 b: nothing"),
        ] {
            // What stands before it counts in bytes.
            let text = format!("\u{feff}consumers: # ä\n- {{username: {name}, custom_id: b}}\n");
            assert_eq!(found(Kong, &text), [expected], "{name}");
        }
        let alias = "a: &a 31\nconsumers:\n- username: *a\n---\nconsumers: [{username: 32}]\n";
        assert_eq!(found(Kong, alias), ["3 31: nothing", "5 32: nothing"]);
    }
}
