//! ingress-nginx: the annotations `auth-tls-…` of Ingresses.
//!
//! Most name an authority and no client; `auth-tls-match-cn` names clients where it is no real pattern.

use super::document::Node;
use super::{Entry, Mark, Sink, Told, Why};

const PREFIX: &str = "nginx.ingress.kubernetes.io/auth-tls-";

/// Reads a manifest, or a list of them.
pub(super) fn read(document: &Node, sink: Sink<'_>) {
    if document
        .text_of("kind")
        .is_some_and(|kind| kind.ends_with("List"))
    {
        for item in document.list("items") {
            read(item, sink);
        }
    } else if document.text_of("kind") == Some("Ingress")
        && let Some(annotations) = document
            .get("metadata")
            .and_then(|meta| meta.get("annotations"))
    {
        ingress(annotations, sink);
    }
}

fn ingress(annotations: &Node, sink: Sink<'_>) {
    let annotation = |name: &str| annotations.get(&format!("{PREFIX}{name}"));
    if let Some(verify) = annotation("verify-client") {
        match verify.text() {
            Some("off") => return,
            Some("optional_no_ca") => return sink(verify.line(), Why::Unverified.into()),
            Some("optional") => sink(verify.line(), Why::Anonymous.into()),
            _ => {}
        }
    }
    let Some(secret) = annotation("secret") else {
        return;
    };
    let Some(names) = annotation("match-cn") else {
        return sink(secret.line(), Why::Authority.into());
    };
    let line = names.line();
    match names.text().and_then(common_names) {
        Some(names) => {
            for name in names {
                let mark = Mark::described(Told::CommonName, name);
                sink(line, mark.map(|mark| Entry::new(None, mark)).into());
            }
        }
        None => sink(line, Why::Pattern.into()),
    }
}

/// The names that a pattern lists which begins with `CN=` and has no other sign of one than
/// alternatives in brackets: `CN=(acme|bravo)`.
fn common_names(pattern: &str) -> Option<Vec<&str>> {
    let names = pattern.strip_prefix('^').unwrap_or(pattern);
    let names = names.strip_suffix('$').unwrap_or(names);
    let names = names.strip_prefix("CN=")?;
    let listed = names
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let names: Vec<_> = match listed {
        Some(listed) => listed.split('|').collect(),
        None => vec![names],
    };
    // A dot is in many a name, and means itself to whoever wrote it.
    let is_plain =
        |name: &&str| !name.is_empty() && !name.contains(|c| r"\^$*+?()[]{}|,=/".contains(c));
    names.iter().all(is_plain).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Format;
    use crate::import::tests::found;

    #[test]
    fn names_are_read_out_of_a_pattern_that_lists_them() {
        for (pattern, names) in [
            ("CN=acme", vec!["acme"]),
            ("^CN=device-7.example.com$", vec!["device-7.example.com"]),
            ("CN=(acme|bravo corp)", vec!["acme", "bravo corp"]),
        ] {
            assert_eq!(common_names(pattern), Some(names), "{pattern}");
        }
        for pattern in [
            "CN=.*",
            "CN=acme.+",
            "acme",
            "CN=",
            "CN=()",
            "CN=acme,O=x",
            r"CN=a\.b",
            "CN=a|CN=b",
        ] {
            assert_eq!(common_names(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn c11_an_ingress_that_names_no_client_is_refused() {
        let ingress = |annotations: &str| {
            format!(
                "---\nkind: Ingress\nmetadata:\n  name: api\n  annotations:\n{annotations}spec: {{}}\n"
            )
        };
        let line = |name: &str, value: &str| format!("    {PREFIX}{name}: {value}\n");
        let secret = line("secret", "default/ca");
        for (annotations, expected) in [
            (secret.clone(), vec!["6 !authority"]),
            (
                [&*secret, &line("match-cn", "\"CN=(a|b)\"")].concat(),
                vec!["7 ?: CommonName a", "7 ?: CommonName b"],
            ),
            (
                [&*secret, &line("match-cn", "CN=.*")].concat(),
                vec!["7 !pattern"],
            ),
            (
                line("verify-client", "optional_no_ca"),
                vec!["6 !unverified"],
            ),
            (
                [
                    &*line("verify-client", "optional"),
                    &*secret,
                    &line("match-cn", "CN=a"),
                ]
                .concat(),
                vec!["6 !anonymous", "8 ?: CommonName a"],
            ),
            (
                [&*line("verify-client", "\"off\""), &*secret].concat(),
                vec![],
            ),
        ] {
            assert_eq!(
                found(Format::IngressNginx, &ingress(&annotations)),
                expected
            );
        }
        let list = "{\"kind\": \"List\", \"items\": [{\"kind\": \"Service\"}]}";
        assert_eq!(found(Format::IngressNginx, list), [""; 0]);
    }
}
