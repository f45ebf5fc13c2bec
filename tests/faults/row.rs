//! A row of the table: what was heard through one fault.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::people::Group;

/// How often each group heard each status.
pub(crate) type Counts = BTreeMap<Group, BTreeMap<u16, usize>>;

/// What was heard from the fault on.
pub(crate) struct Row {
    pub(crate) counts: Counts,
    /// From the fault until it was taken away, or ended by itself.
    pub(crate) lasted: Duration,
    /// The longest time that somebody who is known had no good answer.
    pub(crate) without_service: Duration,
    /// How long the answer took that took longest.
    pub(crate) slowest: Duration,
    /// From the end of the fault until everybody was answered as before it.
    pub(crate) again: Duration,
    /// How many keys the store has lost.
    pub(crate) lost_keys: usize,
    pub(crate) recovered_by: &'static str,
}

impl Row {
    /// Leaves the row where `make faults` finds it.
    pub(crate) fn write(&self, fault: &str) {
        let row = json!({
            "fault": fault,
            "lasted_ms": millis(self.lasted),
            "known": self.heard(Group::Known),
            "revoked": self.heard(Group::Revoked),
            "untold": self.heard(Group::Untold),
            "unknown": self.heard(Group::Unknown),
            "new": self.heard(Group::New),
            "asking": self.heard(Group::Asking),
            "without_service_ms": millis(self.without_service),
            "slowest_ms": millis(self.slowest),
            "again_ms": millis(self.again),
            "lost_keys": self.lost_keys,
            "recovered_by": self.recovered_by,
        });
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("the folder of what is built");
        let folder = folder.join("faults");
        fs::create_dir_all(&folder).expect("a folder of what is built");
        let path = folder.join(format!("{}.json", fault.replace(' ', "_")));
        fs::write(path, format!("{row}\n")).expect("our own file");
    }

    fn heard(&self, group: Group) -> Value {
        let counts = self.counts.get(&group).into_iter().flatten();
        let counts = counts.map(|(status, count)| (status.to_string(), json!(count)));
        Value::Object(counts.collect())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
