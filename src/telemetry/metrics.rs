//! Metrics, by the naming rules of Prometheus: base units, `_total`, closed sets of labels.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// From half a millisecond to half a minute.
const SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// Every metric of the gateway.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `keyferry_admin_requests_total{role,outcome}`.
    pub admin_requests: IntCounterVec,
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    /// `keyferry_auth_decisions_total{method,decision,reason}`.
    pub decisions: IntCounterVec,
    /// `keyferry_certificate_problems_total{reason}`.
    pub certificate_problems: IntCounterVec,
    /// `keyferry_crl_usable{ca}`.
    pub crl_usable: IntGaugeVec,
    /// `keyferry_crl_lists{ca,state}`.
    pub crl_lists: IntGaugeVec,
    /// `keyferry_crl_entries{ca}`.
    pub crl_entries: IntGaugeVec,
    /// `keyferry_crl_next_update_timestamp_seconds{ca}`.
    pub crl_next_update: IntGaugeVec,
    /// `keyferry_revocation_unknown_accepted_total{ca}`.
    pub revocation_unknown_accepted: IntCounterVec,
    /// `keyferry_front_requests_total{front,result}`.
    pub fronts: IntCounterVec,
    /// `keyferry_renewals_total{rung,outcome}`.
    pub renewals: IntCounterVec,
    /// `keyferry_tls_handshakes_total{result,version}`.
    pub handshakes: IntCounterVec,
    /// `keyferry_tls_handshake_failures_total{reason}`.
    pub handshake_failures: IntCounterVec,
    /// `keyferry_http2_closed_total{reason}`.
    pub http2_closed: IntCounterVec,
    /// `keyferry_connections{state}`.
    pub connections: IntGaugeVec,
    /// `keyferry_connections_rejected_total{reason}`.
    pub connections_rejected: IntCounterVec,
    /// `keyferry_limit{limit}`.
    pub limit: IntGaugeVec,
    /// `keyferry_requests_under_way`.
    pub requests_under_way: IntGauge,
    /// `keyferry_requests_limited_total{limit}`.
    pub requests_limited: IntCounterVec,
    /// `keyferry_budgets_shared`.
    pub budgets_shared: IntGauge,
    /// `keyferry_connections_closed_total{reason}`.
    pub connections_closed: IntCounterVec,
    /// `keyferry_upstream_duration_seconds{backend}`.
    pub upstream_seconds: HistogramVec,
    /// `keyferry_upstream_failures_total{backend}`.
    pub upstream_failures: IntCounterVec,
    /// `keyferry_masqueraded_requests_total{backend,certificate}`.
    pub masqueraded: IntCounterVec,
    /// `keyferry_trace_spans_total{result}`.
    pub trace_spans: IntCounterVec,
    /// `keyferry_webhook_deliveries_total{webhook,result}`.
    pub webhook_deliveries: IntCounterVec,
    /// `keyferry_webhook_waiting{webhook}`.
    pub webhook_waiting: IntGaugeVec,
    /// `keyferry_webhook_dead{webhook}`.
    pub webhook_dead: IntGaugeVec,
    /// `keyferry_keys{pepper}`.
    pub keys: IntGaugeVec,
    /// `keyferry_clients{stage}`.
    pub clients: IntGaugeVec,
    /// Active clients whose certificates, while they depend on them, or keys all end soon.
    pub clients_expiring: IntGaugeVec,
    /// `keyferry_directory_entries{kind}`.
    pub directory_entries: IntGaugeVec,
    /// `keyferry_brownouts_spent`.
    pub brownouts_spent: IntGauge,
    /// `keyferry_observing`.
    pub observing: IntGauge,
    /// `keyferry_draining`.
    pub draining: IntGauge,
    /// `keyferry_reload_success`.
    pub reload_success: IntGauge,
    /// `keyferry_reload_timestamp_seconds`.
    pub reload_timestamp: IntGauge,
    /// `keyferry_tls_certificate_not_after_timestamp_seconds{server_name}`.
    pub tls_certificate_not_after: IntGaugeVec,
    /// `keyferry_secret_current{kind,name}`.
    pub secret_current: IntGaugeVec,
    /// `keyferry_store_up`.
    pub store_up: IntGauge,
    /// `keyferry_store_epoch`.
    pub store_epoch: IntGauge,
    /// `keyferry_store_epoch_regressions_total`.
    pub store_epoch_regressions: IntCounter,
    /// `keyferry_store_records{record_key}`.
    pub store_records: IntGaugeVec,
    /// `keyferry_store_records_refused_total{reason}`.
    pub store_records_refused: IntCounterVec,
    /// `keyferry_directory_age_seconds`.
    pub directory_age: Gauge,
    /// `keyferry_directory_age_limit_seconds`.
    pub directory_age_limit: Gauge,
    /// `keyferry_tombstones`.
    pub tombstones: IntGauge,
    /// `keyferry_store_lost`.
    pub store_lost: IntGauge,
}

/// How a request ended, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was forwarded, or answered by self-service.
    Allow,
    /// It was refused.
    Deny,
    /// It failed, here or at the backend.
    Error,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Error];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

/// The kinds of credential in the order in which [`RouteMetrics`] counts them.
const AUTH: [&str; 4] = ["none", "certificate", "key", "both"];

/// The metrics of one route, looked up once.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    requests: Vec<(&'static str, Outcome, IntCounter)>,
    seconds: Histogram,
}

impl RouteMetrics {
    /// Counts a request that came with credentials of the kind `auth`.
    pub fn count(&self, auth: &'static str, outcome: Outcome, duration: Duration) {
        let counter = self
            .requests
            .iter()
            .find(|(kind, result, _)| *kind == auth && *result == outcome);
        if let Some((_, _, counter)) = counter {
            counter.inc();
        }
        self.seconds.observe(duration.as_secs_f64());
    }
}

impl Metrics {
    /// Every metric, at zero.
    ///
    /// # Errors
    ///
    /// When two metrics have one name.
    #[rustfmt::skip]
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        make.build_info()?;
        Ok(Self {
            admin_requests: make.counters("admin_requests_total", "Requests to the admin listener, by the role of whoever asked and what became of them.", &["role", "outcome"])?,
            requests: make.counters("requests_total", "Requests by route, kind of credential and outcome.", &["route", "auth", "outcome"])?,
            request_seconds: make.histograms("request_duration_seconds", "From a request's head to its answer's end.", &["route"])?,
            decisions: make.counters("auth_decisions_total", "Decisions on credentials, with the reason of refusals.", &["method", "decision", "reason"])?,
            certificate_problems: make.counters("certificate_problems_total", "Certificates that were not accepted, by their gravest problem.", &["reason"])?,
            crl_usable: make.gauges("crl_usable", "1 while all revocation lists of the authority are in order, and there is one.", &["ca"])?,
            crl_lists: make.gauges("crl_lists", "Revocation lists of the authority by state.", &["ca", "state"])?,
            crl_entries: make.gauges("crl_entries", "Entries of the authority's revocation lists.", &["ca"])?,
            crl_next_update: make.gauges("crl_next_update_timestamp_seconds", "When the first of the authority's revocation lists ends; 0 without one that can be used.", &["ca"])?,
            revocation_unknown_accepted: make.counters("revocation_unknown_accepted_total", "Requests that were accepted by a certificate though nobody could tell whether it was revoked.", &["ca"])?,
            fronts: make.counters("front_requests_total", "Requests by fronts, and what they forwarded, and the questions of those that ask; also by who is at a front's address and does not prove to be it.", &["front", "result"])?,
            renewals: make.counters("renewals_total", "New certificates that were recognised as a known client's, by what, and what became of them.", &["rung", "outcome"])?,
            handshakes: make.counters("tls_handshakes_total", "TLS handshakes by result and version.", &["result", "version"])?,
            handshake_failures: make.counters("tls_handshake_failures_total", "TLS handshakes that failed, by reason.", &["reason"])?,
            connections: make.gauges("connections", "Client connections: open, or pending while the handshake is under way.", &["state"])?,
            connections_rejected: make.counters("connections_rejected_total", "Connections that were closed before their handshake was complete, by the limit that they exceeded.", &["reason"])?,
            limit: make.gauges("limit", "How much of something there may be, by the setting under [limits].", &["limit"])?,
            requests_under_way: make.register(IntGauge::with_opts(opts("requests_under_way", "Requests whose answer is not complete."))?)?,
            requests_limited: make.counters("requests_limited_total", "Requests that were refused, by the limit that they exceeded.", &["limit"])?,
            budgets_shared: make.register(IntGauge::with_opts(opts("budgets_shared", "Clients whose requests per second this gateway divides with others, by what the store last told."))?)?,
            connections_closed: make.counters("connections_closed_total", "Connections, and streams of HTTP/2, that the gateway ended before their client did, by reason.", &["reason"])?,
            http2_closed: make.counters("http2_closed_total", "HTTP/2 connections that the gateway closed, by reason.", &["reason"])?,
            upstream_seconds: make.histograms("upstream_duration_seconds", "From sending a request to a backend to the head of its answer.", &["backend"])?,
            upstream_failures: make.counters("upstream_failures_total", "Attempts that a backend did not answer.", &["backend"])?,
            masqueraded: make.counters("masqueraded_requests_total", "Requests to backends that still get the headers of an old proxy, by the certificate that these tell of: shown by the client, recorded and so the debt, incomplete and so without one of the headers or more, or unknown and so without them all.", &["backend", "certificate"])?,
            trace_spans: make.counters("trace_spans_total", "Spans that were recorded: sent to the collector, refused by it, lost since it could not be reached, or dropped since too many waited.", &["result"])?,
            webhook_deliveries: make.counters("webhook_deliveries_total", "Messages that this gateway sent to webhooks, each as often as it was sent: taken by the receiver, or not.", &["webhook", "result"])?,
            webhook_waiting: make.gauges("webhook_waiting", "Messages to the webhook that its receiver has not taken yet; the same at all gateways.", &["webhook"])?,
            webhook_dead: make.gauges("webhook_dead", "Messages to the webhook that are not sent any more unless the operator says so; the same at all gateways.", &["webhook"])?,
            keys: make.gauges("keys", "Keys that can be used, by the pepper of their digest.", &["pepper"])?,
            clients: make.gauges("clients", "Clients by stage.", &["stage"])?,
            clients_expiring: make.gauges("clients_expiring", "Active clients whose last certificate (while they depend on it) or last key ends within the window.", &["kind", "window"])?,
            directory_entries: make.gauges("directory_entries", "Records in memory by kind.", &["kind"])?,
            brownouts_spent: make.register(IntGauge::with_opts(opts("brownouts_spent", "Brownouts that refuse nobody at this gateway, since their budget is spent as far as it knows, while the store cannot be told to stop them."))?)?,
            observing: make.register(IntGauge::with_opts(opts("observing", "1 while requests of an existing gateway are passed on as they came, whatever would be decided."))?)?,
            draining: make.register(IntGauge::with_opts(opts("draining", "1 once the gateway was asked to stop."))?)?,
            reload_success: make.register(IntGauge::with_opts(opts("reload_success", "1 while the gateway runs with its configuration as it was last read; 0 when that was not taken over."))?)?,
            reload_timestamp: make.register(IntGauge::with_opts(opts("reload_timestamp_seconds", "When the configuration was last taken over, at the start or later."))?)?,
            tls_certificate_not_after: make.gauges("tls_certificate_not_after_timestamp_seconds", "When the listener's own certificate ends, by the first name in it.", &["server_name"])?,
            secret_current: make.gauges("secret_current", "The peppers, record keys and signing keys that are known here: 1 for the one that is used now, 0 for one that is only accepted or published.", &["kind", "name"])?,
            store_up: make.register(IntGauge::with_opts(opts("store_up", "1 while the store answers."))?)?,
            store_epoch: make.register(IntGauge::with_opts(opts("store_epoch", "The last change that is known here."))?)?,
            store_epoch_regressions: make.register(IntCounter::with_opts(opts("store_epoch_regressions_total", "How often the store was found to have lost changes, or to have another history."))?)?,
            store_records: make.gauges("store_records", "Records of the store by the record key that signed them, while there may be several.", &["record_key"])?,
            store_records_refused: make.counters("store_records_refused_total", "Records and events of the store that were not believed, by reason.", &["reason"])?,
            directory_age: make.register(Gauge::with_opts(opts("directory_age_seconds", "Seconds since the store last confirmed what is known here."))?)?,
            directory_age_limit: make.register(Gauge::with_opts(opts("directory_age_limit_seconds", "How old that may become before known clients are refused too: store.max_stale."))?)?,
            tombstones: make.register(IntGauge::with_opts(opts("tombstones", "Revocations that the store has lost and that are upheld here."))?)?,
            store_lost: make.register(IntGauge::with_opts(opts("store_lost", "1 while the store answers and is empty, though it was not."))?)?,
            registry,
        })
    }

    /// The metrics of the route `name`, with every series at zero.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        RouteMetrics {
            requests: series()
                .map(|(auth, outcome)| {
                    (
                        auth,
                        outcome,
                        self.requests
                            .with_label_values(&[name, auth, outcome.as_str()]),
                    )
                })
                .collect(),
            seconds: self.request_seconds.with_label_values(&[name]),
        }
    }

    /// Forgets the route `name`, which is no more.
    pub fn forget_route(&self, name: &str) {
        for (auth, outcome) in series() {
            // There is none when it was forgotten before.
            let _ = self
                .requests
                .remove_label_values(&[name, auth, outcome.as_str()]);
        }
        let _ = self.request_seconds.remove_label_values(&[name]);
    }

    /// Forgets the backend `name`, which is no more.
    pub fn forget_backend(&self, name: &str) {
        let _ = self.upstream_seconds.remove_label_values(&[name]);
        let _ = self.upstream_failures.remove_label_values(&[name]);
        self.forget_masquerade(name);
    }

    /// Every series of the webhook `name`, at zero.
    pub fn expect_webhook(&self, name: &str) {
        for result in ["sent", "failed"] {
            self.webhook_deliveries.with_label_values(&[name, result]);
        }
        self.webhook_waiting.with_label_values(&[name]);
        self.webhook_dead.with_label_values(&[name]);
    }

    /// Forgets the webhook `name`, which is no more.
    pub fn forget_webhook(&self, name: &str) {
        for result in ["sent", "failed"] {
            // There is none when it was forgotten before.
            let _ = self.webhook_deliveries.remove_label_values(&[name, result]);
        }
        let _ = self.webhook_waiting.remove_label_values(&[name]);
        let _ = self.webhook_dead.remove_label_values(&[name]);
    }

    /// Forgets what was counted of the backend `name` as masqueraded, which it is no more.
    pub fn forget_masquerade(&self, name: &str) {
        for certificate in ["shown", "recorded", "incomplete", "unknown"] {
            // There is none when it never was.
            let _ = self.masqueraded.remove_label_values(&[name, certificate]);
        }
    }

    /// The text exposition format.
    ///
    /// # Errors
    ///
    /// When a metric cannot be written.
    pub fn expose(&self) -> Result<Vec<u8>, prometheus::Error> {
        expose(&self.registry)
    }
}

/// The metrics of `registry` in the text exposition format.
pub(crate) fn expose(registry: &Registry) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

/// What the requests of a route are counted by.
fn series() -> impl Iterator<Item = (&'static str, Outcome)> {
    AUTH.into_iter()
        .flat_map(|auth| Outcome::ALL.map(|outcome| (auth, outcome)))
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("keyferry_{name}"), help)
}

/// Makes metrics and registers them.
pub(crate) struct Maker<'a>(pub(crate) &'a Registry);

impl Maker<'_> {
    pub(crate) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(opts(name, help), labels)?)
    }

    pub(crate) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(opts(name, help), labels)?)
    }

    pub(crate) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts::new(format!("keyferry_{name}"), help).buckets(SECONDS.to_vec());
        self.register(HistogramVec::new(opts, labels)?)
    }

    /// The version that runs, and what the process uses.
    pub(crate) fn build_info(&self) -> Result<(), prometheus::Error> {
        let build = self.gauges(
            "build_info",
            "The version that runs; always 1.",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        self.0.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(())
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}
