//! Every open connection, so that all of them can be closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Closing, Line};

/// The connections that passed the door and are open.
#[derive(Debug, Default)]
pub struct Lines {
    open: Mutex<HashMap<u64, Arc<Line>>>,
    next: AtomicU64,
}

/// A connection is among the open ones until this is dropped.
#[derive(Debug)]
pub(in crate::door) struct Listed<'a> {
    lines: &'a Lines,
    number: u64,
}

impl Lines {
    /// Closes every one of them.
    pub fn close_all(&self, closing: Closing) {
        let open: Vec<_> = self.open().values().map(Arc::clone).collect();
        for line in open {
            line.close(closing);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open().len()
    }

    pub(in crate::door) fn list(&self, line: &Arc<Line>) -> Listed<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(number, Arc::clone(line));
        Listed {
            lines: self,
            number,
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Line>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.lines.open().remove(&self.number);
    }
}
