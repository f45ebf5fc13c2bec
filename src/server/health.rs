//! Metrics and health, on a listener of their own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::directory::{self, Directory};
use crate::telemetry::Metrics;

/// Whether everything is known that decisions need, and is still believed.
pub(super) fn is_ready(directory: &Directory, max_stale: Duration) -> bool {
    directory.is_loaded() && directory.age() <= max_stale
}

/// What a process tells of itself.
pub(super) trait Tells: Send + Sync {
    /// Whether it can serve.
    ///
    /// # Errors
    ///
    /// Why not.
    fn is_ready(&self) -> Result<(), &'static str>;

    /// Its metrics, in the text exposition format.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    fn metrics(&self) -> Result<Vec<u8>, prometheus::Error>;
}

/// Answers `/metrics`, `/livez` and `/readyz`.
pub(super) struct Health<T>(pub(super) T);

impl<T: Tells> Health<T> {
    fn answer(&self, method: &Method, path: &str) -> (u16, Vec<u8>) {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (405, b"ask with GET\n".to_vec());
        }
        match path {
            "/livez" => (200, b"ok\n".to_vec()),
            "/readyz" => match self.0.is_ready() {
                Ok(()) => (200, b"ready\n".to_vec()),
                Err(why) => (503, format!("{why}\n").into_bytes()),
            },
            "/metrics" => match self.0.metrics() {
                Ok(text) => (200, text),
                Err(error) => {
                    let why = format!("the metrics cannot be written: {error}\n");
                    (500, why.into_bytes())
                }
            },
            _ => (404, b"here are /metrics, /livez and /readyz\n".to_vec()),
        }
    }
}

/// What the gateway tells.
pub(super) struct OfGateway {
    metrics: Metrics,
    directory: Arc<Directory>,
    max_stale: Duration,
}

impl OfGateway {
    pub(super) fn new(metrics: Metrics, directory: Arc<Directory>, max_stale: Duration) -> Self {
        metrics.directory_age_limit.set(max_stale.as_secs_f64());
        Self {
            metrics,
            directory,
            max_stale,
        }
    }
}

impl Tells for OfGateway {
    /// Ready once everything was loaded, for as long as it is believed. That the store is lost for a
    /// while is no reason to take every replica out of service at once: known clients are served.
    fn is_ready(&self) -> Result<(), &'static str> {
        if self.metrics.draining.get() != 0 {
            Err("draining: this gateway stops")
        } else if is_ready(&self.directory, self.max_stale) {
            Ok(())
        } else {
            Err("what the store knows is not known here, or no longer for sure")
        }
    }

    fn metrics(&self) -> Result<Vec<u8>, prometheus::Error> {
        for reason in directory::reasons() {
            self.metrics
                .store_records_refused
                .with_label_values(&[reason]);
        }
        let (metrics, directory) = (&self.metrics, &self.directory);
        metrics.store_up.set(i64::from(directory.is_reachable()));
        metrics
            .store_epoch
            .set(i64::try_from(directory.epoch().0).unwrap_or(i64::MAX));
        let regressions = &metrics.store_epoch_regressions;
        regressions.inc_by(directory.regressions().saturating_sub(regressions.get()));
        directory.refused(|reason, count| {
            let counter = metrics.store_records_refused.with_label_values(&[reason]);
            counter.inc_by(count.saturating_sub(counter.get()));
        });
        metrics.directory_age.set(directory.age().as_secs_f64());
        metrics
            .tombstones
            .set(i64::try_from(directory.upheld()).unwrap_or(i64::MAX));
        metrics.store_lost.set(i64::from(directory.is_store_lost()));
        for (kind, count) in directory.view().len() {
            metrics
                .directory_entries
                .with_label_values(&[kind])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        metrics.expose()
    }
}

#[async_trait]
impl<T: Tells> ServeHttp for Health<T> {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let (status, body) = self.answer(&request.method, request.uri.path());
        let head_only = request.method == Method::HEAD;
        let answer = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
            .header(CACHE_CONTROL, "no-store")
            .header(CONTENT_LENGTH, body.len());
        answer
            .body(if head_only { Vec::new() } else { body })
            .unwrap_or_default()
    }
}
