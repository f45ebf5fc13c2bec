//! What is sent to a collector, and what it answers (OTLP over HTTP, with protobuf).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use opentelemetry_semantic_conventions::SCHEMA_URL;
use opentelemetry_semantic_conventions::resource::{
    SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION,
};
use prost::Message as _;
use uuid::Uuid;

use super::span::text;

/// This process.
static INSTANCE: LazyLock<Uuid> = LazyLock::new(Uuid::now_v7);

/// Who records.
#[derive(Clone, Debug)]
pub struct Resource(Vec<KeyValue>);

/// What of a batch the collector did not take, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How many spans.
    pub spans: u64,
    /// In its own words; also a warning, when it took all.
    pub why: String,
}

impl Resource {
    /// This process, as `service`, with these `attributes`, which win.
    #[must_use]
    pub fn new(service: &str, attributes: &BTreeMap<String, String>) -> Self {
        let own = [
            (SERVICE_NAME, service.to_owned()),
            (SERVICE_VERSION, env!("CARGO_PKG_VERSION").to_owned()),
            (SERVICE_INSTANCE_ID, INSTANCE.to_string()),
        ];
        let own = own
            .into_iter()
            .filter(|(name, _)| !attributes.contains_key(*name))
            .map(|(name, value)| text(name, value));
        let told = attributes
            .iter()
            .map(|(name, value)| text(name, value.as_str()));
        Self(own.chain(told).collect())
    }

    /// The message that tells of `spans`.
    #[must_use]
    pub fn tell(&self, spans: Vec<Span>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(v1::Resource {
                    attributes: self.0.clone(),
                    ..v1::Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans,
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            }],
        };
        request.encode_to_vec()
    }
}

/// What the collector says in a good `answer`; none when it took all and has nothing to say, or says it
/// in another form.
#[must_use]
pub fn rejected(answer: &[u8]) -> Option<Rejected> {
    let answer = ExportTraceServiceResponse::decode(answer).ok()?;
    let partial = answer.partial_success?;
    let rejected = Rejected {
        spans: u64::try_from(partial.rejected_spans).unwrap_or(0),
        why: partial.error_message,
    };
    (rejected.spans > 0 || !rejected.why.is_empty()).then_some(rejected)
}
