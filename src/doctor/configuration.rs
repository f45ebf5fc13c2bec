//! Configuration: what can be read, and is perhaps not meant.

use std::collections::BTreeSet;
use std::time::Duration;

use super::finding::{Check, Finding};
use crate::config::{Config, Problems, StoreSettings, listed};
use crate::door::Resumption;
use crate::operation::table::how_many;

/// From here on a revocation that nobody could tell of is accepted for longer than most would think.
const LONG_STALE: Duration = Duration::from_hours(1);
/// Below this, a failover of Redis refuses everybody.
const SHORT_STALE: Duration = Duration::from_mins(1);

pub(super) fn problems(problems: &Problems) -> Vec<Finding> {
    let finding = |problem: &crate::config::Problem| {
        let place = match problem.key.to_string() {
            key if key.is_empty() => problem.place.to_string(),
            key => format!("{}: {key}", problem.place),
        };
        Check::ConfigurationReads
            .error(problem.wrong.clone(), problem.write.clone())
            .of(place)
    };
    problems.iter().map(finding).collect()
}

/// What a gateway that runs cannot take over, if there is something.
pub(super) fn needs_restart(settings: &BTreeSet<String>) -> Option<Finding> {
    let changed = format!(
        "has changed where that needs a restart: {}",
        listed(settings)
    );
    let restart = "start the gateway anew; until then it goes on with what it had";
    (!settings.is_empty()).then(|| Check::ConfigurationReads.warning(changed, restart))
}

pub(super) fn look(file: &str, config: &Config) -> Vec<Finding> {
    let summary = format!(
        "{file}: {}, {}, store: {}",
        how_many(config.routes.len(), "route"),
        how_many(config.backends.len(), "backend"),
        config.store
    );
    let mut findings = vec![
        Check::ConfigurationReads.ok(summary),
        unsigned_records(config),
        max_stale(config.offline.max_stale),
        sessions(config),
    ];
    findings.extend(observe(config));
    findings.extend(masquerade(config));
    findings
}

fn unsigned_records(config: &Config) -> Finding {
    let check = Check::ConfigurationUnsignedRecords;
    let is_redis = matches!(config.store, StoreSettings::Redis(_));
    let keys = config.store.record_keys();
    match (keys.accepts_unsigned(), keys.current()) {
        (false, Some(current)) => check.ok(format!("refused; record key {current} signs")),
        (_, None) if !is_redis => {
            check.ok("accepted: the embedded store has no record key, and needs none")
        }
        _ => check
            .warning(
                "accepted: whoever can write to the store is believed",
                "sign what is stored with: keyferry store reseal; then take unsigned_records away",
            )
            .expecting("refused"),
    }
}

fn max_stale(found: Duration) -> Finding {
    let check = Check::ConfigurationMaxStale;
    let text = format!("max_stale is {found:?}");
    if found > LONG_STALE {
        let advice = "what is revoked while a gateway cannot reach the store is accepted there for \
                      so long; write a shorter store.max_stale unless outages need it";
        return check.note(text, advice);
    }
    if found < SHORT_STALE {
        let advice = "everybody is refused once the store was away for so long; a failover can take \
                      longer, so write 1m or more in store.max_stale";
        return check.note(text, advice);
    }
    check.ok(text)
}

fn observe(config: &Config) -> Vec<Finding> {
    let check = Check::ConfigurationObserve;
    let Some(observing) = &config.observe else {
        return vec![check.ok("every request is decided on")];
    };
    let from = observing.addresses();
    let mut findings = vec![check.warning(
        format!("what comes from {from} is passed on as it came"),
        "take [observe] away when the report is clean (docs/OBSERVE.md): keyferry observe report",
    )];
    for balancer in config.listener.balancers.iter().flatten() {
        if observing.from.iter().any(|from| from.overlaps(balancer)) {
            findings.push(
                check
                    .error(
                        format!("[observe] and proxy_protocol_from share {balancer}"),
                        "name in observe.from the addresses that the balancers tell, not their own: \
                         what a balancer sends in its own name would pass unseen",
                    )
                    .expecting("addresses of the existing gateway alone"),
            );
        }
    }
    findings
}

fn masquerade(config: &Config) -> Vec<Finding> {
    let check = Check::ConfigurationMasquerade;
    let told = config.masquerading().map(|backend| {
        let advice = "have it read X-Client-Id, and take backend.masquerade away (docs/MASQUERADE.md): \
                      keyferry status counts the clients that depend on it";
        check.warning("it still gets them, unsigned", advice).of(backend)
    });
    let findings: Vec<_> = told.collect();
    if findings.is_empty() {
        return vec![check.ok("no backend gets any")];
    }
    findings
}

fn sessions(config: &Config) -> Finding {
    let check = Check::ConfigurationSessions;
    match (&config.listener.resumption, &config.store) {
        (Resumption::Tickets(_), _) => check.ok("in tickets, with the clients"),
        (Resumption::Memory(_), StoreSettings::Embedded(_)) => check.ok("in the gateway's memory"),
        (Resumption::Memory(_), StoreSettings::Redis(_)) => {
            let advice = "a client that comes to another replica has a full handshake; write \
                          listener.sessions = \"tickets\" and a ticket_key_file that all have, unless \
                          balancers send each client to the same replica again";
            check.note(
                "in the memory of each gateway, where no other finds them",
                advice,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_time_without_a_store_that_is_unusual_is_noted() {
        let outcome = |seconds| max_stale(Duration::from_secs(seconds)).outcome;
        assert_eq!(outcome(600), Outcome::Ok);
        assert_eq!(outcome(5), Outcome::Note);
        assert_eq!(outcome(24 * 3600), Outcome::Note);
    }
}
