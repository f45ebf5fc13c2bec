//! APISIX: its consumers, from the admin API or a standalone file.

use super::document::Node;
use super::{Entry, Mark, Sink, Why};

/// Reads what the admin API lists (`list`, each with a `value`), one consumer of it, or a standalone
/// file (`consumers`).
pub(super) fn read(document: &Node, sink: Sink<'_>) {
    let lists = ["consumers", "list"]
        .into_iter()
        .filter_map(|name| document.get(name));
    let consumers = lists.flat_map(|list| list.items().iter());
    let one = document.get("value").is_some() || document.get("username").is_some();
    for consumer in consumers.chain(one.then_some(document)) {
        let consumer = consumer.get("value").unwrap_or(consumer);
        let username = match consumer.name_of("username") {
            Ok(Some(username)) => username,
            not => {
                let why = not.err().unwrap_or(Why::Nameless);
                sink(consumer.line(), why.into());
                continue;
            }
        };
        let plugins = consumer.get("plugins");
        let has_key =
            plugins.is_some_and(|plugins| plugins.pairs().any(|(name, _)| name.ends_with("-auth")));
        let mark = if has_key { Mark::Key } else { Mark::Nothing };
        let description = consumer.text_of("desc").map(Box::from);
        let entry = Entry {
            description,
            ..Entry::new(Some(username), mark)
        };
        sink(consumer.line(), entry.into());
    }
    document.each_map(&mut |map| {
        if let Some(anonymous) = map.get("anonymous_consumer") {
            sink(anonymous.line(), Why::Fallback.into());
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::import::Format::Apisix;
    use crate::import::tests::found;

    #[test]
    fn consumers_are_read_from_the_api_and_from_a_file() {
        let listed = "{\"total\": 1, \"list\": [\n{\"key\": \"/apisix/consumers/jack\", \"value\": {\n\
                      \"username\": \"jack\", \"plugins\": {\"key-auth\": {\"key\": \"secret\"}}}}]}";
        assert_eq!(found(Apisix, listed), ["2 jack: key"]);
        let file = "consumers:\n  - username: jack\n  - plugins: {}\nroutes:\n  - plugins:\n      key-auth:\n\
                    \x20       anonymous_consumer: guest\n#END\n";
        let expected = ["2 jack: nothing", "3 !nameless", "7 !fallback"];
        assert_eq!(found(Apisix, file), expected);
    }
}
