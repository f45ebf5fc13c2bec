//! What operations need of the configuration.

use std::time::Duration;

use crate::config::{Config, Keys, StoreSettings};

/// What operations need of the configuration.
#[derive(Clone)]
pub(crate) struct Settings {
    /// How keys look and how they are stored.
    pub(crate) keys: Keys,
    /// Where everything is remembered.
    pub(crate) store: StoreSettings,
    /// For how long a client counts as one that calls.
    pub(crate) window: Duration,
    /// The backends that still get the headers of an old proxy.
    pub(crate) masquerading: Vec<String>,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            keys: config.keys.clone(),
            store: config.store.clone(),
            window: config.migration.window,
            masquerading: config.masquerading().map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
impl Settings {
    /// Those of a store of the test's own.
    pub(crate) fn for_tests(store: crate::store::embedded::Settings) -> Self {
        use crate::key::{Format, Pepper, Peppers};
        let pepper = Pepper::new(1, &crate::secret::Secret::new(vec![9; 32]));
        Self {
            keys: Keys {
                format: Format::new("kf", "live").unwrap(),
                peppers: Peppers::new(pepper, []),
                restore_window: Duration::from_hours(24),
                per_client: 5,
            },
            store: StoreSettings::Embedded(store),
            window: Duration::from_hours(24),
            masquerading: Vec::new(),
        }
    }
}
