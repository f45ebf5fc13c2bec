//! Redis: whether it can be reached, is what it should be, and keeps what it is given.

mod keeping;
mod rights;

use std::fmt::Write as _;
use std::time::Duration;

use super::certificates;
use super::finding::{Check, Finding};
use crate::clock;
use crate::operation::table::how_many;
use crate::store::redis::{
    Address, Inspection, Login, Role, Server, Settings, Shape, Told, Untold, Voter, inspect,
};

/// A change waits for several answers, and a first sight for a change.
const SLOW: Duration = Duration::from_millis(20);
/// Less than the time for which a signature or a claim is good, and more than clocks differ that
/// somebody keeps in step.
const CLOCKS: i64 = 5;
/// A replica that is further behind than this is not in step.
const BEHIND: u64 = 16 << 20;

/// What to do about what our user may not ask.
const HIDDEN: &str = "this user may not ask; look again with --redis-user and --redis-password-file \
                      of one who may, or grant +info +config|get +time +acl|getuser (and \
                      +cluster|info)";

pub(super) async fn look(settings: &Settings, administrator: Option<&Login>) -> Vec<Finding> {
    let mut findings = vec![protection(settings)];
    match inspect(settings, administrator).await {
        Ok(inspection) => findings.extend(judge(settings, &inspection)),
        Err(error) => findings.push(Check::RedisPrimary.error(
            format!("the user of --redis-user is not let in: {error}"),
            "give the name and the password of a user of this Redis, or leave the options away",
        )),
    }
    findings
}

fn judge(settings: &Settings, found: &Inspection) -> Vec<Finding> {
    let mut findings = voters(&settings.shape, found);
    let server = match &found.server {
        Ok(server) => server,
        Err(error) => {
            let advice = "see that it runs, and that network, user and password are right; until \
                          then gateways serve what they know, for store.max_stale";
            findings.push(
                Check::RedisPrimary
                    .error(error.to_string(), advice)
                    .of(settings.to_string()),
            );
            return findings;
        }
    };
    findings.push(primary(settings, server));
    findings.extend(server.certificate_ends.map(|end| {
        let advice = "renew it: gateways cannot connect when it has ended";
        let check = Check::RedisCertificate;
        certificates::ending(check, &server.address.host, end, clock::now(), advice)
    }));
    findings.push(latency(server.round_trip));
    findings.push(version(&server.version));
    findings.extend(rights::judge(settings, server));
    findings.extend(keeping::judge(server));
    findings.extend(replicas(&settings.shape, server));
    findings.push(clock_ahead(&server.clock_ahead));
    findings.extend(server.cluster.as_ref().map(cluster));
    findings
}

/// What is told, or the finding that it is not.
fn told<T>(check: Check, told: &Told<T>) -> Result<&T, Finding> {
    told.as_ref().map_err(|untold| match untold {
        Untold::NotAllowed => check.note("cannot be seen with this user", HIDDEN),
        Untold::Failed(why) => check.warning(
            format!("is not answered: {why}"),
            "see that this is Redis 6.2 or later, or Valkey, and answers in time; then look again",
        ),
    })
}

/// Whoever can write to Redis cannot make up records, and can stop everything.
fn protection(settings: &Settings) -> Finding {
    let check = Check::RedisProtection;
    let addresses: Vec<&Address> = match &settings.shape {
        Shape::Single(address) => vec![address],
        Shape::Sentinel(sentinels) => sentinels.addresses.iter().collect(),
        Shape::Cluster(nodes) => nodes.iter().collect(),
    };
    let is_here = |host: &str| {
        host == "localhost"
            || host
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    };
    let is_local = addresses.iter().all(|address| is_here(&address.host));
    let has_password = settings.login.password.is_some();
    match (has_password, settings.tls.is_some()) {
        (false, _) => {
            let found = "no password";
            let advice = "whoever reaches it can stop or empty it: give Keyferry a user of its own \
                          and a password (store.password_file)";
            if is_local {
                check.note(found, advice)
            } else {
                check.warning(found, advice)
            }
        }
        (true, false) if !is_local => check.note(
            "a password, in plain text",
            "whoever reads along has the password and sees who calls: use rediss:// and [store.tls]",
        ),
        (true, false) => check.ok("a password, on this machine"),
        (true, true) => check.ok("a password, over TLS"),
    }
}

fn primary(settings: &Settings, server: &Server) -> Finding {
    let check = Check::RedisPrimary;
    let at = &server.address;
    match &server.role {
        Role::Primary { behind } => {
            let replicas = how_many(behind.len(), "replica");
            check.ok(format!("{at} is the primary, with {replicas}"))
        }
        Role::Replica { of, link } => {
            let advice = match settings.shape {
                Shape::Single(_) => format!("name the primary, {of}, in store.url"),
                _ => "wait for the end of the failover, then look again".to_owned(),
            };
            check
                .error(
                    format!("{at} is a read-only replica of {of} (link: {link})"),
                    advice,
                )
                .expecting("the primary")
        }
        Role::Other(kind) => check
            .error(
                format!("{at} is a {kind}"),
                "name the Redis that holds the data; sentinels belong into [store.sentinel]",
            )
            .expecting("the primary"),
    }
}

fn latency(median: Duration) -> Finding {
    let check = Check::RedisLatency;
    let found = format!("{:.2} ms (median)", median.as_secs_f64() * 1000.0);
    if median <= SLOW {
        return check.ok(found);
    }
    check
        .warning(
            found,
            "first sights, claims and changes wait for several answers: put Redis nearer, or see \
             what keeps it busy (redis-cli --latency, SLOWLOG)",
        )
        .expecting(format!("at most {SLOW:?}"))
}

fn version(version: &Told<(String, String)>) -> Finding {
    let check = Check::RedisVersion;
    let (server, version) = match told(check, version) {
        Ok(told) => told,
        Err(finding) => return finding,
    };
    let found = format!("{server} {version}");
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let number = (parts.next().flatten(), parts.next().flatten());
    if number >= (Some(6), Some(2)) {
        return check.ok(found);
    }
    check
        .error(
            found,
            "upgrade it: scripts and streams of older versions lack what is used",
        )
        .expecting("Redis 6.2 or later, or Valkey")
}

fn voters(shape: &Shape, found: &Inspection) -> Vec<Finding> {
    let check = match shape {
        Shape::Single(_) => return Vec::new(),
        Shape::Sentinel(_) => Check::RedisSentinels,
        Shape::Cluster(_) => Check::RedisCluster,
    };
    vec![agreement(check, &found.voters, &found.quorums)]
}

/// More than half of those that are listed must name one and the same.
fn agreement(check: Check, voters: &[Voter], quorums: &[Told<u64>]) -> Finding {
    let named: Vec<String> = voters
        .iter()
        .filter_map(|voter| voter.names.as_ref().ok()?.as_ref().map(ToString::to_string))
        .collect();
    let named_by = |address: &String| named.iter().filter(|other| *other == address).count();
    let most = named.iter().max_by_key(|address| named_by(address));
    let (all, agreed) = (voters.len(), most.map_or(0, named_by));
    let quorum = quorums.iter().flatten().max();
    let mut text = format!(
        "{agreed} of {all} name {}",
        most.map_or("nobody", String::as_str)
    );
    if let Some(quorum) = quorum {
        let _ = write!(text, "; {quorum} must agree on a failover");
    }
    let silent = voters.iter().find_map(|voter| {
        let why = match &voter.names {
            Ok(Some(_)) => return None,
            Ok(None) => "knows no primary",
            Err(why) => why,
        };
        Some(format!("; {}: {why}", voter.address))
    });
    let is_majority = agreed > all / 2;
    if let Some(silent) = &silent {
        text.push_str(silent);
    }
    let expected = format!("all {all} name one");
    if !is_majority {
        let advice = "bring those back that do not answer, and see that they agree: without more \
                      than half nobody knows whom to believe";
        return check.error(text, advice).expecting(expected);
    }
    let needed = quorum.copied().unwrap_or_default();
    if u64::try_from(agreed).unwrap_or(u64::MAX) < needed {
        let advice = "bring the others back: so few cannot agree on a failover";
        return check.error(text, advice).expecting(expected);
    }
    if agreed < all {
        let advice = "bring back the one that does not answer, or take it out of the addresses";
        return check.warning(text, advice).expecting(expected);
    }
    if all < 3 {
        let advice = "name three or more: of fewer, one that is away leaves no majority";
        return check.note(text, advice).expecting("3 or more");
    }
    check.ok(text)
}

fn cluster(lines: &Told<std::collections::BTreeMap<String, String>>) -> Finding {
    let check = Check::RedisCluster;
    let lines = match told(check, lines) {
        Ok(lines) => lines,
        Err(finding) => return finding.of("state"),
    };
    let line = |name: &str| lines.get(name).map_or("?", String::as_str);
    let (state, assigned, ok) = (
        line("cluster_state"),
        line("cluster_slots_assigned"),
        line("cluster_slots_ok"),
    );
    let found = format!("{state}, {assigned} slots assigned, {ok} served");
    let finding = if state == "ok" && assigned == ok {
        check.ok(found)
    } else {
        let advice = "bring the nodes back that failed: redis-cli --cluster check tells which";
        check.error(found, advice).expecting("ok")
    };
    finding.of("state")
}

fn replicas(shape: &Shape, server: &Server) -> Vec<Finding> {
    let check = Check::RedisReplicas;
    let Role::Primary { behind } = &server.role else {
        return Vec::new();
    };
    let number = behind.len();
    let worst = behind.iter().copied().max().unwrap_or_default();
    let finding = match (number, shape) {
        (0, Shape::Single(_)) => check.note(
            "none",
            "while this server is away nothing changes and nobody new is served; sentinels and \
             replicas let another one take its place",
        ),
        (0, _) => check
            .error(
                "none is connected",
                "nobody can take its place: see that the replicas run, and may connect",
            )
            .expecting("1 or more"),
        _ if worst > BEHIND => check
            .warning(
                format!("{number} connected, one of them {worst} bytes behind"),
                "a failover now would lose what it has not: see what holds it up",
            )
            .expecting(format!("at most {BEHIND} bytes behind")),
        _ => check.ok(format!("{number} connected, at most {worst} bytes behind")),
    };
    let mut findings = vec![finding];
    if number > 0 || !matches!(shape, Shape::Single(_)) {
        findings.push(keeping::min_replicas(&server.settings));
    }
    findings
}

fn clock_ahead(ahead: &Told<i64>) -> Finding {
    let check = Check::RedisClock;
    match told(check, ahead) {
        Ok(seconds) if seconds.abs() <= CLOCKS => {
            check.ok(format!("{seconds} s ahead of the one here"))
        }
        Ok(seconds) => check
            .warning(
                format!("{seconds} s ahead of the one here"),
                "keep both machines' clocks in step (chrony, systemd-timesyncd): dates of keys, \
                 certificates and signatures go by the gateways' clocks",
            )
            .expecting(format!("at most {CLOCKS} s apart")),
        Err(finding) => finding,
    }
}

#[cfg(test)]
mod tests;
