//! How long clients may take.

use crate::config::file;
use crate::door::Lifetimes;

/// Nothing of it can be wrong.
pub(super) const fn lifetimes(typed: &file::Connections) -> Lifetimes {
    Lifetimes {
        head_timeout: typed.head_timeout.as_duration(),
        write_timeout: typed.write_timeout.as_duration(),
        idle_timeout: typed.idle_timeout.as_duration(),
        max_age: typed.max_age.as_duration(),
        body_minimum_rate: typed.body_minimum_rate,
    }
}
