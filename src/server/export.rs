//! Sends the spans that wait to the collector, in batches, for as long as it takes them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use prometheus::IntCounter;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use crate::config;
use crate::telemetry::{Metrics, Resource, Spans, Waiting, rejected};
use crate::upstream::{Protocol, Receiver, Settings};

/// How often what waits is sent.
const EVERY: Duration = Duration::from_millis(500);
const PROTOBUF: &str = "application/x-protobuf";
/// About how many spans are sent at once.
const BATCH: usize = 512;
/// How long is waited before a batch is sent again; after the last time it is lost.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// How long the collector is left alone at most, whatever it asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long what is under way at the end may take, and then what waits; twice that is less than the
/// server waits.
const LAST: Duration = Duration::from_secs(2);
/// How long the collector may take for a connection, and for an answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Sends spans.
pub(super) struct Export {
    waiting: Mutex<Waiting>,
    collector: watch::Receiver<Option<config::Collector>>,
    counts: Counts,
}

/// What became of spans.
struct Counts {
    sent: IntCounter,
    refused: IntCounter,
    lost: IntCounter,
}

/// The collector, and how we speak to it.
struct Line {
    collector: Receiver,
    resource: Resource,
    /// Whether it took what was last sent.
    is_well: bool,
}

/// What ends sending to one collector.
struct Until {
    ended: ShutdownWatch,
    collector: watch::Receiver<Option<config::Collector>>,
}

/// Whether to send it again.
enum Outcome {
    Done,
    Again(Duration),
}

impl Export {
    /// Where requests are recorded, and what sends that to the collector of the moment.
    pub(super) fn of(
        collector: watch::Receiver<Option<config::Collector>>,
        metrics: &Metrics,
    ) -> (Spans, Option<Self>) {
        let (spans, waiting) = Spans::queue(metrics);
        let count = |result: &str| metrics.trace_spans.with_label_values(&[result]);
        let export = Self {
            waiting: Mutex::new(waiting),
            collector,
            counts: Counts {
                sent: count("sent"),
                refused: count("refused"),
                lost: count("lost"),
            },
        };
        (spans, Some(export))
    }

    /// Sends what waits, for as long as that is whole batches and the collector is the same; a batch that
    /// is not taken is tried again until the end has come, or there is another collector.
    async fn send(&self, waiting: &mut Waiting, line: &mut Option<Line>, until: &Until) {
        loop {
            let mut batch = Vec::new();
            waiting.take(&mut batch, BATCH);
            if batch.is_empty() {
                return;
            }
            let is_last = batch.len() < BATCH;
            let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            match line {
                Some(line) => {
                    let body = Bytes::from(line.resource.tell(batch));
                    self.deliver(line, &body, spans, until).await;
                }
                // There was one when these were recorded.
                None => self.counts.lost.inc_by(spans),
            }
            if is_last || until.there_is_another() {
                return;
            }
        }
    }

    async fn deliver(&self, line: &mut Line, body: &Bytes, spans: u64, until: &Until) {
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let outcome = tokio::select! {
                outcome = self.post(line, body, spans) => outcome,
                () = until.it_is_late() => break,
            };
            let Outcome::Again(asked) = outcome else {
                return;
            };
            let Some(pause) = pause.filter(|_| !until.has_ended()) else {
                break;
            };
            tokio::select! {
                () = sleep(pause.max(asked.min(LONGEST_PAUSE))) => {}
                // Once more, and then no more.
                () = until.the_end() => {}
                () = until.another() => break,
            }
        }
        self.counts.lost.inc_by(spans);
    }

    async fn post(&self, line: &mut Line, body: &Bytes, spans: u64) -> Outcome {
        let headers = HeaderMap::new();
        let posted = line.collector.post(PROTOBUF, &headers, body.clone());
        let answer = match posted.await {
            Ok(answer) => answer,
            Err(error) => {
                line.tell(Some(&error.to_string()));
                return Outcome::Again(Duration::ZERO);
            }
        };
        match answer.status {
            200..=299 => {
                let refused = rejected(&answer.body);
                let refused_spans = refused
                    .as_ref()
                    .map_or(0, |refused| refused.spans.min(spans));
                self.counts.refused.inc_by(refused_spans);
                self.counts.sent.inc_by(spans.saturating_sub(refused_spans));
                line.tell(
                    refused
                        .map(|refused| format!("it says {:?}", refused.why))
                        .as_deref(),
                );
                Outcome::Done
            }
            // What OTLP calls worth another try.
            status @ (429 | 502 | 503 | 504) => {
                line.tell(Some(&format!("it answers {status}")));
                Outcome::Again(answer.retry_after.unwrap_or_default())
            }
            status => {
                self.counts.refused.inc_by(spans);
                line.tell(Some(&format!("it answers {status}")));
                Outcome::Done
            }
        }
    }
}

impl Until {
    fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    fn there_is_another(&self) -> bool {
        self.collector.has_changed().unwrap_or(false)
    }

    async fn the_end(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// The end was a while ago.
    async fn it_is_late(&self) {
        self.the_end().await;
        sleep(LAST).await;
    }

    async fn another(&self) {
        let _ = self.collector.clone().changed().await;
    }
}

impl Line {
    fn to(collector: &config::Collector) -> Option<Self> {
        let settings = Settings {
            name: "the collector of spans".to_owned(),
            addresses: vec![collector.address.to_string()],
            protocol: Protocol::Http1,
            tls: collector.tls.as_ref().map(config::BackendTls::upstream),
            connect_timeout: CONNECT_WITHIN,
            read_timeout: ANSWER_WITHIN,
            health_check: None,
        };
        let made = Receiver::new(&settings, &collector.path);
        let made = made.inspect_err(|error| tracing::error!(%error, "spans cannot be sent"));
        Some(Self {
            collector: made.ok()?,
            resource: Resource::new(&collector.service, &collector.attributes),
            is_well: true,
        })
    }

    /// Says once that something is wrong, and that it is over.
    fn tell(&mut self, wrong: Option<&str>) {
        let is_well = wrong.is_none();
        match wrong {
            Some(error) if self.is_well => {
                tracing::warn!(error, "the collector does not take all spans");
            }
            None if !self.is_well => tracing::info!("the collector takes spans again"),
            _ => {}
        }
        self.is_well = is_well;
    }
}

#[async_trait]
impl BackgroundService for Export {
    async fn start(&self, ended: ShutdownWatch) {
        let mut waiting = self.waiting.lock().await;
        let collector = self.collector.clone();
        let mut until = Until { ended, collector };
        let mut line = until
            .collector
            .borrow_and_update()
            .as_ref()
            .and_then(Line::to);
        loop {
            tokio::select! {
                () = sleep(EVERY) => {}
                () = until.the_end() => break,
            }
            if until.there_is_another() {
                line = until
                    .collector
                    .borrow_and_update()
                    .as_ref()
                    .and_then(Line::to);
            }
            self.send(&mut waiting, &mut line, &until).await;
        }
        let last = self.send(&mut waiting, &mut line, &until);
        if timeout(LAST, last).await.is_err() {
            tracing::warn!("the last spans could not be sent before the end");
        }
        let mut left = Vec::new();
        waiting.take(&mut left, usize::MAX);
        self.counts
            .lost
            .inc_by(u64::try_from(left.len()).unwrap_or(u64::MAX));
    }
}
