//! What is recorded of requests, and sent to a collector: the real program, built with the feature
//! `otlp`, and a receiver that decodes what comes with OpenTelemetry's own definitions.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
mod configuration;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod spans;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod collector {
    //! A collector in a process of its own.

    use serde_json::{Value, json};

    use crate::support::backend::Backend;
    use crate::support::curl::Curl;
    use crate::support::gateway::{Builder, Gateway};
    use crate::support::python::Server;
    use crate::support::wait_for;
    use crate::support::world::World;

    pub(crate) struct Collector(Server);

    impl Collector {
        pub(crate) fn start() -> Self {
            Self(Server::start("otlp_receiver.py"))
        }

        pub(crate) const fn new(server: Server) -> Self {
            Self(server)
        }

        pub(crate) fn url(&self) -> String {
            format!("http://{}/v1/traces", self.0.address())
        }

        pub(crate) fn port(&self) -> u16 {
            self.0.address().port()
        }

        fn get(&self, path: &str) -> Value {
            let url = format!("http://{}{path}", self.0.address());
            Curl::get(&url).send().expect_status(200).json()
        }

        /// All spans so far.
        pub(crate) fn spans(&self) -> Vec<Value> {
            self.get("/spans").as_array().unwrap().clone()
        }

        /// How often spans came.
        pub(crate) fn posts(&self) -> u64 {
            self.get("/requests").as_u64().unwrap()
        }

        /// All that came, byte by byte.
        pub(crate) fn bytes(&self) -> Vec<u8> {
            hex::decode(self.get("/raw").as_str().unwrap()).unwrap()
        }

        /// Answers otherwise from now on.
        pub(crate) fn set(&self, mode: &Value) {
            let url = format!("http://{}/mode", self.0.address());
            let put = Curl::get(&url).method("PUT").body(mode.to_string());
            put.send().expect_status(200);
        }

        /// The spans of the request with this id: of the server first, then of its attempts.
        #[track_caller]
        pub(crate) fn of(&self, request_id: &str) -> Vec<Value> {
            wait_for("the spans of a request", || {
                let mut spans = self.spans();
                let is_it = |span: &Value| span["attributes"]["keyferry.request_id"] == request_id;
                let server = spans.iter().find(|span| is_it(span))?.clone();
                let id = server["span"].clone();
                spans.retain(|span| span["parent"] == id && span["trace"] == server["trace"]);
                spans.sort_by_key(|span| span["start"].as_u64());
                spans.insert(0, server);
                Some(spans)
            })
        }
    }

    /// A gateway before one echoing backend that sends all its spans there.
    pub(crate) fn tracing<'a>(
        world: &'a World,
        backend: &Backend,
        collector: &Collector,
    ) -> Builder<'a> {
        Gateway::builder(world)
            .echo(backend)
            .set("telemetry.tracing.collector", collector.url())
    }

    /// How many spans of this result are counted.
    pub(crate) fn counted(gateway: &Gateway, result: &str) -> f64 {
        gateway.metric(&format!(
            "keyferry_trace_spans_total{{result=\"{result}\"}}"
        ))
    }

    pub(crate) fn all_is_well() -> Value {
        json!({})
    }
}
