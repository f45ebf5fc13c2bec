//! Metrics and health, on a listener of their own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Response};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::directory::{self, Directory};
use crate::telemetry::Metrics;

/// Whether everything is known that decisions need, and is still believed.
pub(super) fn is_ready(directory: &Directory, max_stale: Duration) -> bool {
    directory.is_loaded() && directory.age() <= max_stale
}

/// Answers `/metrics`, `/livez` and `/readyz`.
pub(super) struct Health {
    metrics: Metrics,
    directory: Arc<Directory>,
    max_stale: Duration,
}

impl Health {
    pub(super) fn new(metrics: Metrics, directory: Arc<Directory>, max_stale: Duration) -> Self {
        metrics.directory_age_limit.set(max_stale.as_secs_f64());
        Self {
            metrics,
            directory,
            max_stale,
        }
    }

    fn answer(&self, method: &Method, path: &str) -> (u16, Vec<u8>) {
        match (method, path) {
            (&Method::GET | &Method::HEAD, "/livez") => (200, b"ok\n".to_vec()),
            (&Method::GET | &Method::HEAD, "/readyz") => self.ready(),
            (&Method::GET | &Method::HEAD, "/metrics") => self.expose(),
            (&Method::GET | &Method::HEAD, _) => {
                (404, b"here are /metrics, /livez and /readyz\n".to_vec())
            }
            _ => (405, b"ask with GET\n".to_vec()),
        }
    }

    /// Ready once everything was loaded, for as long as it is believed. That the store is lost for a
    /// while is no reason to take every replica out of service at once: known clients are served.
    fn ready(&self) -> (u16, Vec<u8>) {
        if self.metrics.draining.get() != 0 {
            return (503, b"draining: this gateway stops\n".to_vec());
        }
        if is_ready(&self.directory, self.max_stale) {
            (200, b"ready\n".to_vec())
        } else {
            (
                503,
                b"what the store knows is not known here, or no longer for sure\n".to_vec(),
            )
        }
    }

    fn expose(&self) -> (u16, Vec<u8>) {
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
        match metrics.expose() {
            Ok(text) => (200, text),
            Err(error) => (
                500,
                format!("the metrics cannot be written: {error}\n").into_bytes(),
            ),
        }
    }
}

#[async_trait]
impl ServeHttp for Health {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let (status, body) = self.answer(&request.method, request.uri.path());
        let head_only = request.method == Method::HEAD;
        let answer = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
            .header(CACHE_CONTROL, "no-store")
            .header(http::header::CONTENT_LENGTH, body.len());
        answer
            .body(if head_only { Vec::new() } else { body })
            .unwrap_or_default()
    }
}
