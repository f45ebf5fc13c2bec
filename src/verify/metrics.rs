//! What came of requests, for Prometheus.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::Refusal;
use crate::telemetry::{Maker, expose};

/// Every metric of `keyferry verify`.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// `keyferry_verify_passed_total{secret}`: by the secret's key id, or as open.
    pub passed: IntCounterVec,
    /// `keyferry_verify_refused_total{reason}`.
    pub refused: IntCounterVec,
    /// `keyferry_verify_signatures_remembered`.
    pub remembered: IntGauge,
    /// `keyferry_verify_connections`.
    pub connections: IntGauge,
    /// `keyferry_verify_connections_rejected_total`.
    pub connections_rejected: IntCounter,
    /// `keyferry_verify_backend_seconds`.
    pub backend_seconds: Histogram,
    /// `keyferry_verify_backend_failures_total`.
    pub backend_failures: IntCounter,
    /// `keyferry_verify_secrets_current`.
    pub secrets_current: IntGauge,
    /// `keyferry_verify_draining`.
    pub draining: IntGauge,
}

/// What requests to open paths are counted as: no key id has a space.
const OPEN: &str = "none: open path";

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    ///
    /// When two of them have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        make.build_info()?;
        let none: [&str; 0] = [];
        #[rustfmt::skip]
        let metrics = Self {
            passed: make.counters("verify_passed_total", "Requests that were let through, by the key id of what they were signed with.", &["secret"])?,
            refused: make.counters("verify_refused_total", "Requests that were not, by reason.", &["reason"])?,
            remembered: make.gauges("verify_signatures_remembered", "Signatures that are refused when they come again.", &none)?.with_label_values(&none),
            connections: make.gauges("verify_connections", "Connections that are open.", &none)?.with_label_values(&none),
            connections_rejected: make.counters("verify_connections_rejected_total", "Connections that were closed at once, since there were as many as there may be.", &none)?.with_label_values(&none),
            backend_seconds: make.histograms("verify_backend_seconds", "From sending a request to the backend to the head of its answer.", &none)?.with_label_values(&none),
            backend_failures: make.counters("verify_backend_failures_total", "Attempts to reach the backend that failed.", &none)?.with_label_values(&none),
            secrets_current: make.gauges("verify_secrets_current", "1 while secrets and public keys are those of the files; 0 when these cannot be used as they are now.", &none)?.with_label_values(&none),
            draining: make.gauges("verify_draining", "1 once it was asked to stop.", &none)?.with_label_values(&none),
            registry: registry.clone(),
        };
        for reason in Refusal::REASONS {
            metrics.refused.with_label_values(&[reason]);
        }
        Ok(metrics)
    }

    pub(super) fn passed(&self, signed_with: Option<&str>) {
        let secret = signed_with.unwrap_or(OPEN);
        self.passed.with_label_values(&[secret]).inc();
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.refused.with_label_values(&[refusal.reason()]).inc();
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
