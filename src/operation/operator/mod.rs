//! What an operation works with: the store, what of the configuration it needs, and who asks.

mod change;
mod read;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use change::{Did, Edit};

use super::kept::Kept;
use super::letter::Api;
use super::{Bar, Failure, Out};
use crate::certificate::Verifier;
use crate::clock::{self, Timestamp};
use crate::config::{Config, Keys, StoreSettings, Webhook};
use crate::doctor::Running;
use crate::store::redis::Redis;
use crate::store::{
    self, Acknowledged, Actor, Epoch, Head, Origin, RecordId, Refused, Store, StoreError,
};

/// No certificate, with all of its chain, is larger.
const LARGEST: u64 = 1 << 20;

/// The contents of a certificate's file.
pub(crate) fn read_certificate(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut contents)?;
    Ok(contents)
}

/// The store of the configuration; the embedded one through the gateway that has it, if one runs.
pub(crate) async fn open_store(settings: &StoreSettings) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match settings {
        StoreSettings::Embedded(settings) => store::open_embedded(settings).await?,
        StoreSettings::Redis(settings) => Arc::new(Redis::new(settings)),
    })
}

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
    /// Where clients call the API, when the routes name one host.
    pub(crate) api: Option<Api>,
    /// The path of the endpoints by which clients help themselves.
    pub(crate) self_service: String,
    /// For how long a certificate that has ended fetches its client's key.
    pub(crate) expired_grace: Option<Duration>,
    /// The names of the authorities of clients' certificates.
    pub(crate) authorities: Vec<String>,
    /// Who is trusted, at a gateway that runs.
    pub(crate) verifier: Option<Arc<Verifier>>,
    /// Who is told what happens.
    pub(crate) webhooks: Vec<Webhook>,
    /// The gateway itself, at a gateway that runs.
    pub(crate) running: Option<Arc<Running>>,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            keys: config.keys.clone(),
            store: config.store.clone(),
            window: config.migration.window,
            masquerading: config.masquerading().map(str::to_owned).collect(),
            webhooks: config.webhooks.clone(),
            api: Api::of(&config.routes),
            self_service: config.self_service.path.clone(),
            expired_grace: config.self_service.expired_grace,
            authorities: config.cas.iter().map(|ca| ca.name.clone()).collect(),
            verifier: None,
            running: None,
        }
    }
}

#[cfg(test)]
impl Settings {
    /// Those of a store of the test's own.
    pub(crate) fn for_tests(store: store::embedded::Settings) -> Self {
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
            api: None,
            self_service: "/.well-known/keyferry/".to_owned(),
            expired_grace: None,
            authorities: Vec::new(),
            verifier: None,
            webhooks: Vec::new(),
            running: None,
        }
    }
}

/// The store, and who asks it.
pub(crate) struct Operator {
    pub(crate) settings: Arc<Settings>,
    pub(crate) actor: Actor,
    /// From where.
    origin: Origin,
    pub(crate) now: Timestamp,
    pub(crate) store: Arc<dyn Store>,
    /// How many last times were left out that cannot be read.
    damaged: Cell<usize>,
    /// How many replicas have the changes that take something away.
    acknowledged: RefCell<Vec<Acknowledged>>,
    /// The records that were changed.
    changed: RefCell<Vec<RecordId>>,
    /// Records of the last look through all of them that are not believed.
    refused: RefCell<Arc<Vec<Refused>>>,
    /// What the gateway keeps for whoever only looks.
    pub(super) kept: Option<Arc<Kept>>,
    /// As of where that is.
    head: Cell<Head>,
    /// How far a gateway that runs knows the store.
    known: Epoch,
}

impl Operator {
    /// `actor`, who asks `store` now from `origin`.
    #[must_use]
    pub(crate) fn new(
        settings: Arc<Settings>,
        store: Arc<dyn Store>,
        (actor, origin): (Actor, Origin),
    ) -> Self {
        Self {
            settings,
            actor,
            origin,
            now: clock::now(),
            store,
            damaged: Cell::default(),
            acknowledged: RefCell::default(),
            changed: RefCell::default(),
            refused: RefCell::default(),
            kept: None,
            head: Cell::default(),
            known: Epoch::NONE,
        }
    }

    /// The same, at a gateway that knows its store up to `known`, and changes none that lost that.
    pub(crate) const fn knowing(mut self, known: Epoch) -> Self {
        self.known = known;
        self
    }

    /// The same, who only looks, by way of what is kept.
    pub(crate) fn looking_through(mut self, kept: &Arc<Kept>) -> Self {
        self.kept = Some(Arc::clone(kept));
        self
    }

    /// Whether whoever asks is at this machine, and may have files of it read.
    const fn is_here(&self) -> bool {
        matches!(self.origin, Origin::Host { .. })
    }

    /// Shows how far a long work is to whoever is at this machine, and to nobody else.
    pub(crate) fn bar(&self, bar: impl FnOnce() -> Bar) -> Bar {
        if self.is_here() { bar() } else { Bar::hidden() }
    }

    /// What is in the file at `path`; or, of whoever asks from elsewhere, what stands in its place.
    pub(crate) fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        if !self.is_here() {
            return Ok(path.as_os_str().as_encoded_bytes().to_vec());
        }
        read_certificate(path)
    }

    /// What the file at `path` is called in what is told of it.
    pub(crate) fn called(&self, path: &Path) -> String {
        if self.is_here() {
            path.display().to_string()
        } else {
            "what was sent".to_owned()
        }
    }

    /// Tells beside what `done` gave what its reader has to know: what could not be read, and who
    /// has what was taken away.
    ///
    /// # Errors
    ///
    /// [`Failure::NotReplicated`].
    pub(crate) fn finish(&self, out: &mut Out) -> Result<(), Failure> {
        self.tell_damage(out);
        self.tell_refused(out);
        self.tell_replicas(out)
    }

    /// Tells how many replicas have what was taken away; it is a failure when none has.
    pub(crate) fn tell_replicas(&self, out: &mut Out) -> Result<(), Failure> {
        let all = self.acknowledged.take();
        let mut told = Ok(());
        for replicas in all {
            if !out.is_json() {
                out.note(replicas);
            }
            if replicas.by == 0 {
                told = Err(Failure::NotReplicated);
            }
        }
        told
    }

    /// The records that were changed so far, by [`Self::change`].
    pub(crate) fn changed(&self) -> Vec<RecordId> {
        self.changed.take()
    }

    /// Notes who has a change that takes something away, and that [`Self::change`] did not make.
    pub(crate) fn note_replicas(&self, replicas: Option<Acknowledged>) {
        self.acknowledged.borrow_mut().extend(replicas);
    }

    /// Tells beside the answer that it is not of everything.
    fn tell_refused(&self, out: &mut Out) {
        let refused = self.refused.borrow();
        if let Some(first) = refused.first() {
            let number = refused.len();
            out.note(format!(
                "left out, since the store cannot be believed in it: {first} ({number} in all)"
            ));
        }
    }

    fn tell_damage(&self, out: &mut Out) {
        let damaged = self.damaged.get();
        if damaged > 0 {
            out.note(format!(
                "{damaged} last time(s) in the store cannot be read and are left out; each is \
                 replaced when its client calls again"
            ));
        }
    }

    pub(crate) fn cannot_tell(&self, error: &StoreError) -> Failure {
        let advice = match error {
            StoreError::Unavailable(_) => "see that it runs, then try again",
            StoreError::Refused(_) => "docs/STORE.md says what to do with it",
            StoreError::Unreadable(_) => "use the version that wrote it, or restore a backup",
            StoreError::Lost { .. } => {
                "nothing was changed; restore a backup to the end (keyferry store restore)"
            }
        };
        let store = &self.settings.store;
        Failure::Unavailable(anyhow::anyhow!("{error} (store: {store}); {advice}"))
    }
}
