//! Whether Redis keeps what it is given: over a restart, when memory is full, and in a failover.

use std::collections::BTreeMap;

use super::super::finding::{Check, Finding};
use super::told;
use crate::store::redis::{Server, Told};

/// Parts of a hundred of maxmemory.
const NEARLY_FULL: u64 = 75;
const FULL: u64 = 90;

type Lines = BTreeMap<String, String>;

pub(super) fn judge(server: &Server) -> Vec<Finding> {
    let checks = [
        Check::RedisPersistence,
        Check::RedisLastSave,
        Check::RedisEvictionPolicy,
        Check::RedisMemory,
    ];
    let info = match &server.info {
        Ok(info) => info,
        hidden => {
            let hidden = checks.map(|check| told(check, hidden).err());
            return hidden.into_iter().flatten().collect();
        }
    };
    vec![
        persistence(info, server.settings.as_ref().ok()),
        last_save(info),
        eviction(info),
        memory(info),
    ]
}

fn line<'a>(lines: &'a Lines, name: &str) -> &'a str {
    lines.get(name).map_or("", String::as_str)
}

fn number(lines: &Lines, name: &str) -> u64 {
    line(lines, name).parse().unwrap_or_default()
}

fn persistence(info: &Lines, settings: Option<&Lines>) -> Finding {
    let check = Check::RedisPersistence;
    let expected = "appendonly yes, appendfsync always or everysec";
    let append = "CONFIG SET appendonly yes, and the same in the configuration of Redis: what was \
                  acknowledged, revocations among it, is lost otherwise";
    if line(info, "aof_enabled") != "1" {
        let snapshots = settings.map(|settings| line(settings, "save"));
        return match snapshots {
            Some("") => check.error("nothing is saved: a restart loses everything", append),
            Some(save) => check.warning(
                format!("snapshots only (save {save}): a restart loses minutes"),
                append,
            ),
            None => check.warning(
                "appendonly is off: a restart loses minutes, or everything",
                append,
            ),
        }
        .expecting(expected);
    }
    match settings.map(|settings| line(settings, "appendfsync")) {
        Some("always") => check.ok("appendonly, synced with every change"),
        Some("everysec") => check.note(
            "appendonly, synced every second",
            "a machine that fails can lose the last second, revocations among it: appendfsync \
             always, if none may be lost",
        ),
        Some(other) => check
            .warning(
                format!("appendonly, appendfsync {other}"),
                "CONFIG SET appendfsync everysec, or always: the system syncs when it likes",
            )
            .expecting(expected),
        None => check.ok("appendonly; how often it is synced cannot be seen"),
    }
}

fn last_save(info: &Lines) -> Finding {
    let check = Check::RedisLastSave;
    let writes = [
        "rdb_last_bgsave_status",
        "aof_last_write_status",
        "aof_last_bgrewrite_status",
    ];
    let failed = writes.iter().find(|name| line(info, name) == "err");
    match failed {
        None => check.ok("went well"),
        Some(name) => check
            .error(
                format!("{name} is err"),
                "look at the log of Redis and at the space on its disk: it refuses changes while \
                 it cannot save",
            )
            .expecting("ok"),
    }
}

fn eviction(info: &Lines) -> Finding {
    let check = Check::RedisEvictionPolicy;
    let policy = line(info, "maxmemory_policy");
    let thrown = match policy {
        "noeviction" => return check.ok(policy),
        // Identities never expire by themselves, and counts do.
        volatile if volatile.starts_with("volatile") => "counts",
        _ => "identities",
    };
    let advice = format!(
        "when memory is full, {thrown} are thrown away: CONFIG SET maxmemory-policy noeviction, and \
         the same in the configuration of Redis"
    );
    let finding = if thrown == "identities" {
        check.error(policy, advice)
    } else {
        check.warning(policy, advice)
    };
    finding.expecting("noeviction")
}

fn memory(info: &Lines) -> Finding {
    let check = Check::RedisMemory;
    let (used, most) = (number(info, "used_memory"), number(info, "maxmemory"));
    let mib = |bytes: u64| bytes >> 20;
    if most == 0 {
        return check.note(
            format!("{} MiB, without a limit", mib(used)),
            "set maxmemory below what the machine has: the system ends a process that takes all",
        );
    }
    let percent = used.saturating_mul(100).checked_div(most).unwrap_or(100);
    let found = format!("{} of {} MiB, {percent} %", mib(used), mib(most));
    let advice = "raise maxmemory: when it is reached every change is refused";
    match percent {
        FULL.. => check.error(found, advice),
        NEARLY_FULL.. => check.warning(found, advice),
        _ => return check.ok(found),
    }
    .expecting(format!("less than {NEARLY_FULL} %"))
}

pub(super) fn min_replicas(settings: &Told<Lines>) -> Finding {
    let check = Check::RedisMinReplicas;
    let settings = match told(check, settings) {
        Ok(settings) => settings,
        Err(finding) => return finding,
    };
    let (least, lag) = (
        number(settings, "min-replicas-to-write"),
        number(settings, "min-replicas-max-lag"),
    );
    if least > 0 && lag > 0 {
        return check.ok(format!("{least}, at most {lag} s behind"));
    }
    check
        .warning(
            "none: a primary that was replaced and is cut off takes changes that nobody will ever \
             see, and gateways that are cut off with it go on with its word for ever",
            "CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 10, and the same in the \
             configuration of Redis, on replicas as well",
        )
        .expecting("1, at most 10 s behind")
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Outcome;
    use super::*;

    fn lines(text: &[(&str, &str)]) -> Lines {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        text.iter().map(owned).collect()
    }

    #[test]
    fn saving_is_judged_by_what_a_crash_would_lose() {
        let outcome = |aof: &str, settings: &[(&str, &str)]| {
            let info = lines(&[("aof_enabled", aof)]);
            persistence(&info, Some(&lines(settings))).outcome
        };
        assert_eq!(outcome("0", &[("save", "")]), Outcome::Error);
        assert_eq!(outcome("0", &[("save", "3600 1")]), Outcome::Warning);
        assert_eq!(outcome("1", &[("appendfsync", "no")]), Outcome::Warning);
        assert_eq!(outcome("1", &[("appendfsync", "everysec")]), Outcome::Note);
        assert_eq!(outcome("1", &[("appendfsync", "always")]), Outcome::Ok);
        let hidden = persistence(&lines(&[("aof_enabled", "0")]), None);
        assert_eq!(hidden.outcome, Outcome::Warning);
    }

    #[test]
    fn a_policy_that_throws_identities_away_is_an_error() {
        let outcome = |policy| eviction(&lines(&[("maxmemory_policy", policy)])).outcome;
        assert_eq!(outcome("noeviction"), Outcome::Ok);
        assert_eq!(outcome("volatile-ttl"), Outcome::Warning);
        assert_eq!(outcome("allkeys-lru"), Outcome::Error);
    }

    #[test]
    fn memory_is_judged_by_what_is_left() {
        let outcome = |used, most| {
            let info = lines(&[("used_memory", used), ("maxmemory", most)]);
            memory(&info).outcome
        };
        assert_eq!(outcome("70", "100"), Outcome::Ok);
        assert_eq!(outcome("75", "100"), Outcome::Warning);
        assert_eq!(outcome("90", "100"), Outcome::Error);
        assert_eq!(outcome("90", "0"), Outcome::Note);
    }

    #[test]
    fn a_save_that_failed_is_an_error() {
        assert_eq!(last_save(&lines(&[])).outcome, Outcome::Ok);
        let failed = lines(&[("aof_last_write_status", "err")]);
        assert_eq!(last_save(&failed).outcome, Outcome::Error);
    }

    #[test]
    fn writes_without_replicas_are_warned_of() {
        let outcome = |least, lag| {
            let settings = lines(&[
                ("min-replicas-to-write", least),
                ("min-replicas-max-lag", lag),
            ]);
            min_replicas(&Ok(settings)).outcome
        };
        assert_eq!(outcome("1", "10"), Outcome::Ok);
        assert_eq!(outcome("0", "10"), Outcome::Warning);
        assert_eq!(outcome("1", "0"), Outcome::Warning);
    }
}
