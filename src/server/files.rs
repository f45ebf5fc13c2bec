//! How many files the process may have open; every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::door::Bounds;

/// For the store, logs, listeners and whatever else is neither a client's nor a backend's.
const OTHERS: u64 = 512;

/// Has the system allow as many open files as so many connections need, each with one to a backend.
/// Its first answer is often 1024, with which `limits.connections` would mean nothing.
pub(super) fn allow(bounds: &Bounds) {
    let (connections, pending) = (u64::from(bounds.connections), u64::from(bounds.pending));
    let needed = connections.saturating_add(pending).saturating_add(OTHERS);
    let wanted = needed.saturating_add(connections);
    let limit = getrlimit(Resource::Nofile);
    // None is without end.
    let allowed = limit.current.unwrap_or(wanted);
    let most = limit.maximum.unwrap_or(wanted).min(wanted);
    let raised = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    let allowed = if allowed < most && setrlimit(Resource::Nofile, raised).is_ok() {
        most
    } else {
        allowed
    };
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            "the system allows fewer open files than limits.connections and limits.pending need; \
             raise it (LimitNOFILE= of systemd, ulimit -n), or lower these"
        );
    }
}
