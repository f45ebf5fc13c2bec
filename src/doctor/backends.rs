//! Backends: whether they answer, and whether they refuse what did not come through the gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::finding::{Check, Finding};
use super::{Probe, certificates};
use crate::certificate::Facts;
use crate::clock::{self, Timestamp};
use crate::config::{Backend, Config};
use crate::policy::{Accept, HostPattern, Route};
use crate::sign::{self, Algorithm, Message, Names};
use crate::tls::x509::X509;
use crate::upstream::probe::{self, Answer};
use crate::upstream::{Settings, Verdict};

/// How many addresses of one name are looked at.
const MOST: usize = 8;
/// How long a name may take to resolve.
const RESOLVING: Duration = Duration::from_secs(5);
/// A signature is good for a minute, and a backend should allow some seconds.
const CLOCKS: i64 = 5;

/// One address of a backend, and what is asked there.
#[derive(Clone)]
struct Target {
    subject: String,
    settings: Arc<Settings>,
    address: SocketAddr,
    /// Where identities are led; none when no route leads any.
    question: Option<Question>,
}

/// A request that nobody vouches for.
#[derive(Clone)]
struct Question {
    host: String,
    path: String,
    key_id: String,
    /// By which the gateway signs there.
    algorithm: Algorithm,
    names: Names,
}

pub(super) async fn look(config: &Config, probe: &Probe) -> Vec<Finding> {
    let path = match probe {
        Probe::Nothing => return Vec::new(),
        Probe::Route => None,
        Probe::Path(path) => Some(path.as_str()),
    };
    let mut findings = Vec::new();
    let mut resolving = JoinSet::new();
    for (index, backend) in config.backends.iter().enumerate() {
        for name in backend.addresses.iter().map(ToString::to_string) {
            resolving.spawn(async move { (index, resolve(&name).await, name) });
        }
    }
    let mut looking = JoinSet::new();
    for (index, resolved, name) in resolving.join_all().await {
        let Some(backend) = config.backends.get(index) else {
            continue;
        };
        let settings = Arc::new(backend.upstream());
        let question = question(config, index, backend, path);
        let subject = format!("{} at {name}", backend.name);
        let addresses = match resolved {
            Ok(addresses) => addresses,
            Err(why) => {
                findings.push(unreachable(&why).of(subject));
                continue;
            }
        };
        for address in addresses.into_iter().take(MOST) {
            looking.spawn(at(Target {
                subject: subject_of(&subject, &name, address),
                settings: Arc::clone(&settings),
                address,
                question: question.clone(),
            }));
        }
    }
    let mut found = looking.join_all().await;
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    findings.extend(found.into_iter().flat_map(|(_, findings)| findings));
    findings
}

fn subject_of(subject: &str, name: &str, address: SocketAddr) -> String {
    if name == address.to_string() {
        return subject.to_owned();
    }
    format!("{subject} ({address})")
}

async fn resolve(name: &str) -> Result<Vec<SocketAddr>, String> {
    match timeout(RESOLVING, tokio::net::lookup_host(name)).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(format!("the name cannot be resolved: {error}")),
        Err(_) => Err("the name cannot be resolved in time".to_owned()),
    }
}

/// What is asked: the beginning of the first route that leads identities here, unless told
/// otherwise. Paths of health checks are open at most backends, and would prove nothing.
fn question(
    config: &Config,
    index: usize,
    backend: &Backend,
    path: Option<&str>,
) -> Option<Question> {
    let leads = |route: &&Route| route.backend == index && route.accept != Accept::None;
    let route = config.routes.iter().find(leads)?;
    let host = match &route.host {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Any => backend.addresses.first()?.host().to_owned(),
    };
    let key = backend.signing.as_ref()?;
    Some(Question {
        host,
        path: path.unwrap_or(&route.path).to_owned(),
        key_id: key.id().to_owned(),
        algorithm: key.algorithm(),
        names: config.headers.names.clone(),
    })
}

fn unreachable(why: &str) -> Finding {
    let advice = "see that it runs, and that address, ca_file and server_name are right; clients \
                  get 502 meanwhile";
    Check::BackendConnects.error(why, advice)
}

async fn at(target: Target) -> (String, Vec<Finding>) {
    let (settings, address) = (&target.settings, target.address);
    let mut findings = Vec::new();
    match probe::greet(settings, address).await {
        Ok(shown) => {
            let how = if shown.is_some() { "TLS" } else { "plain text" };
            findings.push(Check::BackendConnects.ok(format!("connects, {how}")));
            findings.extend(shown.map(|shown| certificate(&shown, clock::now())));
            findings.extend(asked(&target).await);
        }
        Err(why) => findings.push(unreachable(&why)),
    }
    let of = |finding: Finding| finding.of(target.subject.clone());
    let findings = findings.into_iter().map(of).collect();
    (target.subject, findings)
}

async fn asked(target: &Target) -> Vec<Finding> {
    let (settings, address) = (&*target.settings, target.address);
    let mut findings = Vec::new();
    let check = settings.health_check.as_ref();
    if let Some(path) = check.and_then(|check| check.path.as_deref()) {
        // As the gateway's own checks do.
        let first = settings.addresses.first().map_or("", String::as_str);
        let (host, _) = first.rsplit_once(':').unwrap_or_default();
        let question = asks(host, path);
        let answer = probe::get(settings, address, question, []).await;
        findings.push(health(path, &status(&answer)));
    }
    let Some(question) = &target.question else {
        findings.push(Check::BackendUnsigned.ok("no route leads identities here"));
        return findings;
    };
    let unsigned = question.put(settings, address, false).await;
    if let Ok(Answer {
        date: Some(date), ..
    }) = &unsigned
    {
        findings.extend(Timestamp::from_http(date).map(|date| clock(date, clock::now())));
    }
    let unsigned = status(&unsigned);
    findings.push(refusal(Check::BackendUnsigned, question, &unsigned));
    // Whoever takes anything needs no second question.
    if unsigned.is_ok_and(|status| Verdict::of(status) == Verdict::Refused) {
        let forged = status(&question.put(settings, address, true).await);
        findings.push(refusal(Check::BackendForged, question, &forged));
    }
    findings
}

type Status = Result<u16, String>;

fn status(answer: &Result<Answer, probe::NoAnswer>) -> Status {
    match answer {
        Ok(answer) => Ok(answer.status),
        Err(error) => Err(error.to_string()),
    }
}

impl Question {
    /// Asks in the name of a client that there is not, with a stranger's signature or with none.
    async fn put(
        &self,
        settings: &Settings,
        address: SocketAddr,
        signed: bool,
    ) -> Result<Answer, probe::NoAnswer> {
        let message = Message {
            method: "GET",
            authority: &self.host,
            path: &self.path,
            query: None,
            content_digest: None,
        };
        // The key id is one of the configuration, and so fits; without headers the question is
        // harmless all the more.
        let key = (&*self.key_id, self.algorithm);
        let headers = sign::forged(key, &self.names, &message, clock::now());
        let headers = headers.into_iter().flat_map(sign::Signed::into_headers);
        let is_sent = |(name, _): &(http::HeaderName, _)| {
            let is_signature =
                *name == sign::header::SIGNATURE || *name == sign::header::SIGNATURE_INPUT;
            signed || !is_signature
        };
        let headers = headers.filter(is_sent);
        probe::get(settings, address, asks(&self.host, &self.path), headers).await
    }
}

const fn asks<'a>(host: &'a str, target: &'a str) -> probe::Question<'a> {
    probe::Question {
        agent: "keyferry-doctor",
        host,
        target,
    }
}

fn certificate(shown: &X509, now: Timestamp) -> Finding {
    let check = Check::BackendCertificate;
    let Ok(facts) = Facts::of(shown) else {
        return check.warning("cannot be read", "have it issued again");
    };
    let advice = "have the backend renew it: the gateway refuses it when it has ended";
    certificates::ending(check, &facts.subject, facts.not_after, now, advice)
}

fn health(path: &str, status: &Status) -> Finding {
    let check = Check::BackendHealth;
    let advice = "no request is sent to an address that fails its health check: see what ails it, \
                  or correct health_check.path";
    match status {
        Ok(200) => check.ok(format!("{path} answers 200")),
        Ok(other) => check
            .error(format!("{path} answers {other}"), advice)
            .expecting("200"),
        Err(why) => check
            .error(format!("{path}: {why}"), advice)
            .expecting("200"),
    }
}

fn clock(theirs: Timestamp, now: Timestamp) -> Finding {
    let check = Check::BackendClock;
    let seconds = theirs.seconds_since(now);
    let found = format!("{seconds} s ahead of the one here");
    if seconds.abs() <= CLOCKS {
        return check.ok(found);
    }
    check
        .warning(
            found,
            "keep both machines' clocks in step: a signature is good for 60 seconds, by the \
             backend's clock",
        )
        .expecting(format!("at most {CLOCKS} s apart"))
}

fn refusal(check: Check, question: &Question, status: &Status) -> Finding {
    let asked = format!("GET {} of {}", question.path, question.host);
    let again = "look again with --probe-path and a path that needs an identity";
    let advice = "refuse what the gateway did not sign, as docs/SIGNATURE.md says: whoever reaches \
                  the backend past the gateway can be anybody there; or look again with --probe-path \
                  and a path that needs an identity";
    let finding = match status {
        Ok(status) => match Verdict::of(*status) {
            Verdict::Refused => return check.ok(format!("{asked} is refused ({status})")),
            Verdict::Believed => check.warning(format!("{asked} is answered ({status})"), advice),
            Verdict::Unclear => check.note(format!("{asked} tells nothing ({status})"), again),
        },
        Err(why) => check.note(format!("{asked}: {why}"), again),
    };
    finding.expecting("401 or 403")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn only_401_and_403_are_a_refusal() {
        let question = Question {
            host: "api.example.com".to_owned(),
            path: "/v1".to_owned(),
            key_id: "orders".to_owned(),
            algorithm: Algorithm::default(),
            names: Names::default(),
        };
        let outcome = |status| refusal(Check::BackendUnsigned, &question, &status).outcome;
        for status in [401, 403] {
            assert_eq!(outcome(Ok(status)), Outcome::Ok, "{status}");
        }
        for status in [200, 204, 302, 404, 405] {
            assert_eq!(outcome(Ok(status)), Outcome::Warning, "{status}");
        }
        for status in [400, 429, 500, 503] {
            assert_eq!(outcome(Ok(status)), Outcome::Note, "{status}");
        }
        assert_eq!(outcome(Err("silence".to_owned())), Outcome::Note);
    }

    #[test]
    fn clocks_may_differ_by_some_seconds() {
        let at = Timestamp::from_unix;
        assert_eq!(clock(at(105), at(100)).outcome, Outcome::Ok);
        assert_eq!(clock(at(94), at(100)).outcome, Outcome::Warning);
    }
}
