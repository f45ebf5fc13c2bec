//! The gateway's log as a reader of logs sees it: one JSON object a line.

use serde_json::Value;

use super::gateway::Gateway;
use super::wait_for;

impl Gateway {
    /// Every line so far. A line that is no JSON object fails the test: somebody broke out of one.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let log = self.log();
        // What follows the last line end is still being written.
        let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
        let read = |line: &str| {
            let value: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("a line of the log is not JSON: {error}\n{line}"));
            assert!(value.is_object(), "a line of the log is no object: {line}");
            value
        };
        whole.split('\n').map(read).collect()
    }

    /// Waits for the access line of the request with this id; there must be exactly one.
    #[track_caller]
    pub(crate) fn access_line(&self, request_id: &str) -> Value {
        wait_for("the access line of a request", || {
            let mut lines = self.lines();
            lines.retain(|line| line["target"] == "access" && line["request_id"] == request_id);
            assert!(lines.len() < 2, "two access lines: {lines:#?}");
            lines.pop()
        })
    }
}
