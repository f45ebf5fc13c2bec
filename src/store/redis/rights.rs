//! Which commands a user of Redis may give.
//!
//! Redis looks for leave before anything else of a command, so each is given in a way that does
//! nothing: it names a key that nobody has, on which it does nothing, or lacks an argument.

use redis::Cmd;

use super::dial::NOBODYS;

/// What is needed of a server: the command, and how to give it for nothing. `KEY` is a key of ours.
const SERVER: [(&str, &str); 16] = [
    ("eval", "EVAL return(1) 0"),
    (
        "evalsha",
        "EVALSHA 0000000000000000000000000000000000000000 0",
    ),
    ("get", "GET KEY"),
    ("mget", "MGET KEY"),
    ("set", "SET KEY 0 XX"),
    ("hget", "HGET KEY field"),
    ("hset", "HSET KEY field 0 lacking"),
    ("hscan", "HSCAN KEY 0"),
    ("zadd", "ZADD KEY XX 0 member"),
    ("zrangebylex", "ZRANGEBYLEX KEY [a (a"),
    ("expire", "EXPIRE KEY 1"),
    ("xadd", "XADD KEY NOMKSTREAM 1-0 field 0"),
    ("xread", "XREAD COUNT 1 STREAMS KEY 0"),
    ("role", "ROLE"),
    ("time", "TIME"),
    ("wait", "WAIT 0 1"),
];

/// What is needed of the nodes of a cluster in addition.
const NODE: [(&str, &str); 2] = [("asking", "ASKING"), ("cluster|slots", "CLUSTER SLOTS")];

/// Each command that is needed, as it is named in rules, and how to give it for nothing.
pub(super) fn needed(is_cluster: bool) -> impl Iterator<Item = (&'static str, Cmd)> {
    let node = NODE.iter().filter(move |_| is_cluster);
    SERVER.iter().chain(node).map(|(name, words)| {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            command.arg(if word == "KEY" { NOBODYS } else { word });
        }
        (*name, command)
    })
}

/// Of no harm: another database needs the first, and Redis 6.2 tells `+eval +evalsha` as the second.
const HARMLESS: [(&str, &str); 2] = [("select", ""), ("@scripting", "")];

/// The commands that these rules allow and nobody here needs, `+@all` for everything.
pub(super) fn unneeded(rules: &str) -> Vec<String> {
    let is_needed = |rule: &str| {
        let mut known = SERVER.iter().chain(&NODE).chain(&HARMLESS);
        rule.strip_prefix('+')
            .is_none_or(|command| known.any(|(name, _)| *name == command))
    };
    let allowed = rules.split_whitespace();
    allowed
        .filter(|rule| !is_needed(rule))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_is_what_the_page_asks_for() {
        let page = include_str!("../../../docs/STORE.md");
        let user = "ACL SETUSER keyferry ";
        let mut rules = page.lines().filter_map(|line| line.strip_prefix(user));
        let mut commands = || {
            let rules = rules.next().unwrap().split(' ');
            let commands = rules.filter_map(|rule| rule.strip_prefix('+'));
            commands.collect::<Vec<_>>()
        };
        let named = |of: &[(&'static str, _)]| of.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(commands(), named(&SERVER));
        assert_eq!(commands(), named(&NODE));
    }

    #[test]
    fn what_nobody_needs_is_told() {
        let all: Vec<_> = needed(true).map(|(name, _)| format!("+{name}")).collect();
        let all = all.join(" ");
        assert_eq!(unneeded(&format!("-@all {all} +select")), [""; 0]);
        assert_eq!(unneeded("+@all"), ["+@all"]);
        assert_eq!(
            unneeded("-@all +get +flushall +config|get"),
            ["+flushall", "+config|get"]
        );
    }
}
