//! The running gateway, by what it tells of itself: readiness, metrics, and the certificate that it
//! shows.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::config::{Config, Listener};
use crate::socket::reachable;
use crate::tls::ssl::{SslConnector, SslMethod, SslVerifyMode};
use crate::tls::tokio_ssl::SslStream;
use crate::tls::x509::X509;
use crate::upstream::exchange::{Answer, Request, exchange};
use crate::upstream::{Protocol, Settings};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// More than the metrics of any gateway.
const MOST: usize = 64 << 20;
/// How long a connection or a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the listener for metrics says.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let check = Check::GatewayRuns;
    let address = reachable(config.telemetry.address);
    let Some((status, body)) = get(address, "/readyz").await else {
        let advice = "if one should run on this machine with this configuration, see its log; \
                          elsewhere this is as it should be";
        return vec![check.note(format!("none answers at {address}"), advice)];
    };
    let mut findings = vec![if status == 200 {
        check.ok(format!("ready, at {address}"))
    } else {
        let found = format!("/readyz answers {status}: {}", body.trim());
        check
            .error(found, "see its log and its store: it serves nobody")
            .expecting("200")
    }];
    if let Some((200, page)) = get(address, "/metrics").await {
        findings.extend(judge(&page, config.offline.max_stale));
    } else {
        let advice = "see its log, and who else listens there: how it is cannot be seen";
        findings.push(check.error("/metrics does not answer", advice));
    }
    findings
}

/// Status and body of the answer to `GET path`, if there is one.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let address = address.to_string();
    let settings = Settings {
        name: "gateway".to_owned(),
        addresses: vec![address.clone()],
        protocol: Protocol::Http1,
        tls: None,
        connect_timeout: PATIENCE,
        // The whole of it has its time.
        read_timeout: WITHIN,
        health_check: None,
    };
    let request = Request {
        method: Method::GET,
        target: path,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let answer = exchange(&settings, &address, request, (WITHIN, MOST)).await;
    let Answer { status, body } = answer.ok()?;
    Some((status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

/// The sum of all series of a metric.
fn metric(page: &str, name: &str) -> Option<f64> {
    let series = page.lines().filter_map(|line| line.strip_prefix(name));
    let series = series.filter(|rest| rest.starts_with([' ', '{']));
    let mut values = series
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .peekable();
    values.peek()?;
    Some(values.sum())
}

fn judge(page: &str, max_stale: Duration) -> Vec<Finding> {
    let metric = |name: &str| metric(page, &format!("keyferry_{name}")).unwrap_or_default();
    vec![
        version(page),
        configuration(page),
        store(&metric, max_stale),
        none_of(
            Check::GatewayTombstones,
            metric("tombstones"),
            "the store has lost revocations that this gateway upholds; see that it can write to the \
             store, and docs/RELIABILITY.md",
        ),
        none_of(
            Check::GatewayRefusedRecords,
            metric("store_records_refused_total"),
            "somebody else wrote to the store, or a gateway lacks a record key: find out who, as \
             docs/STORE.md says under \"Who is believed\"",
        ),
    ]
}

fn version(page: &str) -> Finding {
    let check = Check::GatewayVersion;
    let ours = env!("CARGO_PKG_VERSION");
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("keyferry_build_info{"));
    let quoted = line.and_then(|line| line.split("version=\"").nth(1)?.split('"').next());
    match quoted {
        Some(theirs) if theirs == ours => check.ok(ours),
        Some(theirs) => check
            .note(
                format!("{theirs}, and this program is {ours}"),
                "start the gateway again with the version that is installed",
            )
            .expecting(ours),
        None => check.note("not told", "upgrade the gateway to this version"),
    }
}

/// Whether it runs with its configuration as the files hold it now.
fn configuration(page: &str) -> Finding {
    let check = Check::GatewayConfiguration;
    match metric(page, "keyferry_reload_success") {
        Some(1.0..) => check.ok("taken over as it was last read"),
        Some(_) => check.error(
            "not taken over as it was last read: it runs with an older one",
            "mend what its log names (\"the configuration is wrong\" or \"is not taken over\", \
             docs/RELOAD.md) before it is started again: it may not start",
        ),
        None => check.note("not told", "upgrade the gateway to this version"),
    }
}

fn store(metric: &impl Fn(&str) -> f64, max_stale: Duration) -> Finding {
    let check = Check::GatewayStore;
    let age = metric("directory_age_seconds");
    let found = format!("last heard of {age:.0} s ago");
    if metric("store_lost") > 0.0 {
        let advice =
            "restore it from a backup: the gateway goes on with what it knows, for max_stale";
        return check.error("the store is empty, though it was not", advice);
    }
    if metric("store_up") < 1.0 {
        let advice = "see why the gateway cannot reach it (its log tells); known clients are served \
                      for max_stale";
        return check.error(format!("the store does not answer, {found}"), advice);
    }
    if age > max_stale.as_secs_f64() / 2.0 {
        let advice = "see why the gateway follows it so late (its log tells)";
        let most = format!("at most {} s", max_stale.as_secs() / 2);
        return check.warning(found, advice).expecting(most);
    }
    let regressions = metric("store_epoch_regressions_total");
    if regressions > 0.0 {
        let advice = "find out what was lost: keyferry audit verify; docs/RELIABILITY.md says what \
                      comes back by itself";
        return check.warning(format!("it lost changes {regressions} times"), advice);
    }
    check.ok(found)
}

fn none_of(check: Check, number: f64, advice: &str) -> Finding {
    if number > 0.0 {
        return check.error(number.to_string(), advice).expecting("0");
    }
    check.ok("none")
}

/// Whether the gateway shows the certificates of the files: it reads them when it starts.
pub(super) async fn shows(listener: &Listener) -> Vec<Finding> {
    // Who is no balancer is not let in.
    if listener.balancers.is_some() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let address = reachable(listener.address);
    for (index, certificate) in listener.certificates.iter().enumerate() {
        let Ok(leaf) = X509::from_pem(certificate.chain.as_bytes()) else {
            continue;
        };
        let names = leaf.subject_alt_names().into_iter().flatten();
        let mut names = names.filter_map(|name| name.dnsname().map(str::to_owned));
        // The first is shown to whoever asks for no name.
        let name = names.find(|name| index > 0 && !name.starts_with('*'));
        if index > 0 && name.is_none() {
            continue;
        }
        let shown = timeout(PATIENCE, shown(address, name.as_deref())).await;
        if let Ok(Some(shown)) = shown {
            let key = format!("listener.certificate[{index}]");
            findings.push(same(&shown, &leaf).of(key));
        }
    }
    findings
}

async fn shown(address: SocketAddr, name: Option<&str>) -> Option<X509> {
    let stream = TcpStream::connect(address).await.ok()?;
    let mut connector = SslConnector::builder(SslMethod::tls()).ok()?;
    // It is only compared.
    connector.set_verify(SslVerifyMode::NONE);
    let mut one = connector.build().configure().ok()?;
    one.set_use_server_name_indication(name.is_some());
    one.set_verify_hostname(false);
    let ssl = one.into_ssl(name.unwrap_or("unnamed")).ok()?;
    let mut stream = SslStream::new(ssl, stream).ok()?;
    Pin::new(&mut stream).connect().await.ok()?;
    stream.ssl().peer_certificate()
}

fn same(shown: &X509, file: &X509) -> Finding {
    let check = Check::GatewayCertificate;
    if shown.to_der().ok() == file.to_der().ok() {
        return check.ok("the one of its file");
    }
    check.warning(
        format!(
            "it shows another one than its file holds, good until {}",
            shown.not_after()
        ),
        "run: keyferry reload, which says why the file was not taken; or see who else listens there",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    const PAGE: &str = "# HELP keyferry_store_up x\n\
                        keyferry_build_info{version=\"0.1.0\"} 1\n\
                        keyferry_directory_age_seconds 2.5\n\
                        keyferry_reload_success 1\n\
                        keyferry_store_records_refused_total{reason=\"wrong_mac\"} 1\n\
                        keyferry_store_records_refused_total{reason=\"schema\"} 2\n\
                        keyferry_store_up 1\n\
                        keyferry_store_up_at 7\n";

    #[test]
    fn a_metric_is_the_sum_of_its_series() {
        assert_eq!(metric(PAGE, "keyferry_store_up"), Some(1.0));
        assert_eq!(
            metric(PAGE, "keyferry_store_records_refused_total"),
            Some(3.0)
        );
        assert_eq!(metric(PAGE, "keyferry_store"), None);
    }

    #[test]
    fn a_gateway_is_judged_by_its_metrics() {
        let outcomes = |page: &str| {
            let found = judge(page, Duration::from_mins(10));
            let outcome = |check| found.iter().find(|f| f.check == check).unwrap().outcome;
            [
                outcome(Check::GatewayStore),
                outcome(Check::GatewayRefusedRecords),
                outcome(Check::GatewayTombstones),
                outcome(Check::GatewayConfiguration),
            ]
        };
        let is = [Outcome::Ok, Outcome::Error, Outcome::Ok, Outcome::Ok];
        assert_eq!(outcomes(PAGE), is);
        let late = PAGE.replace("seconds 2.5", "seconds 301");
        assert_eq!(outcomes(&late)[0], Outcome::Warning);
        let lost = format!("{PAGE}keyferry_store_lost 1\nkeyferry_tombstones 3\n");
        let lost = lost.replace("reload_success 1", "reload_success 0");
        assert_eq!(outcomes(&lost), [Outcome::Error; 4]);
        let older = PAGE.replace("keyferry_reload_success 1\n", "");
        assert_eq!(outcomes(&older)[3], Outcome::Note);
        let down = PAGE.replace("store_up 1", "store_up 0");
        assert_eq!(outcomes(&down)[0], Outcome::Error);
    }
}
