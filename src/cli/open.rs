//! What the operator's commands work with: the store of the configuration, and who asks.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Serialize;

use super::login::login_name;
use super::records::Records;
use super::{Failure, Globals, Out};
use crate::certificate::Handed;
use crate::client::{ClientId, CredentialId, History, Sighting, Use};
use crate::clock::{self, Day, Timestamp};
use crate::config::{Config, StoreSettings};
use crate::key::KeyId;
use crate::store::redis::Redis;
use crate::store::{
    self, Acknowledged, Action, Actor, Change, CommitError, Committed, Epoch, Legible, Loaded,
    Origin, Reason, Record, RecordId, Refused, Selection, Store, StoreError, Versioned,
};

/// How often a change is decided again that another change got ahead of.
const TRIES: usize = 5;

/// What every command that writes takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Edit {
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Why, for the record of changes
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<Reason>,
}

/// The store, and who asks it.
pub(super) struct Operator {
    pub(super) config: Config,
    pub(super) actor: Actor,
    pub(super) now: Timestamp,
    pub(super) store: Arc<dyn Store>,
    /// How many last times were left out that cannot be read.
    damaged: Cell<usize>,
    /// How many replicas have the changes that take something away.
    acknowledged: RefCell<Vec<Acknowledged>>,
    /// Records of the last look through all of them that are not believed.
    refused: RefCell<Vec<Refused>>,
}

/// What came of a change; the beginning of what `--output json` prints of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Did {
    pub(super) action: Action,
    /// Whether anything changed, or would change. All may be as it should be already.
    pub(super) changed: bool,
    pub(super) dry_run: bool,
    /// The number of the change, once it was made.
    epoch: Option<Epoch>,
    /// Who has it already, of a change that takes something away.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Acknowledged>,
}

/// Opens the store that the configuration names, and does `work` with it. What `work` prints is
/// printed when the store is closed again: whoever reads it slowly must not keep others out.
pub(super) fn operate<T>(
    globals: &Globals,
    out: &mut Out,
    work: impl AsyncFnOnce(&Operator, &mut Out) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = globals.load_config()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    out.hold();
    let done = runtime.block_on(async {
        let operator = Operator::open(config).await?;
        let done = work(&operator, out).await;
        operator.tell_damage(out);
        operator.tell_refused(out);
        let told = operator.tell_replicas(out);
        Ok::<_, Failure>((done?, told))
    });
    drop(runtime);
    let printed = out.release();
    let (done, told) = done?;
    printed.and(told).map(|()| done)
}

/// The store of the configuration; the embedded one through the gateway that has it, if one runs.
pub(super) async fn open_store(settings: &StoreSettings) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match settings {
        StoreSettings::Embedded(settings) => store::open_embedded(settings).await?,
        StoreSettings::Redis(settings) => Arc::new(Redis::new(settings)),
    })
}

impl Operator {
    pub(super) async fn open(config: Config) -> Result<Self, Failure> {
        let opened = open_store(&config.store).await;
        Ok(Self {
            store: opened.map_err(Failure::Unavailable)?,
            config,
            actor: Actor::Operator { name: login_name() },
            now: clock::now(),
            damaged: Cell::default(),
            acknowledged: RefCell::default(),
            refused: RefCell::default(),
        })
    }

    /// Tells how many replicas have what was taken away; it is a failure when none has.
    pub(super) fn tell_replicas(&self, out: &mut Out) -> Result<(), Failure> {
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

    /// Notes who has a change that takes something away, and that [`Self::change`] did not make.
    pub(super) fn note_replicas(&self, replicas: Option<Acknowledged>) {
        self.acknowledged.borrow_mut().extend(replicas);
    }

    /// Every record as it is now.
    pub(super) async fn records(&self) -> Result<Records, Failure> {
        let mut records = Records::default();
        records.epoch = self.each_record(&mut |record| records.take(record)).await?;
        Ok(records)
    }

    /// Calls `each` with every record as it is now; gives the number of the last change.
    pub(super) async fn each_record(
        &self,
        each: &mut (dyn FnMut(Versioned) + Send),
    ) -> Result<Epoch, Failure> {
        let mut refused = Vec::new();
        let mut each = |loaded: Loaded| match loaded {
            Ok(record) => each(record),
            Err(one) => refused.push(one),
        };
        let loaded = self.store.load(&mut each).await;
        self.refused.replace(refused);
        Ok(loaded.map_err(|error| self.cannot_tell(&error))?.epoch)
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

    /// The client `id` with everything that is its own, and nothing else.
    pub(super) async fn records_of(&self, id: &ClientId) -> Result<Records, Failure> {
        let mut records = Records::default();
        self.read_client(id, &mut records).await?;
        Ok(records)
    }

    /// Everything that is the client's own, when one is named, which there must be; else every
    /// record.
    pub(super) async fn records_or_of(
        &self,
        client: Option<&ClientId>,
    ) -> Result<Records, Failure> {
        let Some(client) = client else {
            return self.records().await;
        };
        let records = self.records_of(client).await?;
        records.holdings(client).map(|_| records)
    }

    /// The certificate that `text` names, if there is one. By a beginning it is looked for among
    /// all records.
    pub(super) async fn records_of_certificate(&self, text: &str) -> Result<Records, Failure> {
        let Ok(Some(Handed { fingerprint, .. })) = Handed::named(text) else {
            return self.records().await;
        };
        let mut records = Records::default();
        self.read(&RecordId::Certificate(fingerprint), &mut records)
            .await?;
        Ok(records)
    }

    /// Reads one record, if there is one.
    pub(super) async fn read(&self, id: &RecordId, into: &mut Records) -> Result<(), Failure> {
        let found = self.store.get(id).await;
        if let Some(found) = found.map_err(|error| self.cannot_tell(&error))? {
            into.take(found);
        }
        Ok(())
    }

    /// Reads a client, if there is one, with everything that is its own. The client comes first:
    /// whatever it is given meanwhile makes this version of it an old one, so that no change is
    /// decided without that.
    pub(super) async fn read_client(
        &self,
        id: &ClientId,
        into: &mut Records,
    ) -> Result<(), Failure> {
        self.read(&RecordId::Client(id.clone()), into).await?;
        self.select(&Selection::OwnedBy(id.clone()), into).await
    }

    /// Reads some of the records.
    pub(super) async fn select(
        &self,
        which: &Selection,
        into: &mut Records,
    ) -> Result<(), Failure> {
        let found = self.store.select(which).await;
        for record in found.map_err(|error| self.cannot_tell(&error))? {
            into.take(record);
        }
        Ok(())
    }

    /// What was seen of one client.
    pub(super) async fn sighting(
        &self,
        client: &ClientId,
    ) -> Result<Legible<Sighting, ClientId>, Failure> {
        self.legible(self.store.sighting(client).await)
    }

    /// When and from where each of these credentials was last used.
    pub(super) async fn uses_of(&self, credentials: &[CredentialId]) -> Result<Vec<Use>, Failure> {
        let mut uses = Legible::default();
        for &credential in credentials {
            match self.store.last_use(&credential).await {
                Ok(last) => uses
                    .entries
                    .extend(last.map(|last| Use { credential, last })),
                Err(StoreError::Unreadable(_)) => uses.damaged.push(Some(credential)),
                Err(error) => return Err(self.cannot_tell(&error)),
            }
        }
        Ok(self.legible(Ok(uses))?.entries)
    }

    /// When each client was seen.
    pub(super) async fn sightings(&self) -> Result<Legible<Sighting, ClientId>, Failure> {
        self.legible(self.store.sightings().await)
    }

    /// When and from where each credential was last used.
    pub(super) async fn uses(&self) -> Result<Vec<Use>, Failure> {
        let uses = self.legible(self.store.uses().await);
        Ok(uses?.entries)
    }

    fn legible<T, Of>(
        &self,
        read: Result<Legible<T, Of>, StoreError>,
    ) -> Result<Legible<T, Of>, Failure> {
        let read = read.map_err(|error| self.cannot_tell(&error))?;
        let damaged = self.damaged.get().saturating_add(read.damaged.len());
        self.damaged.set(damaged);
        Ok(read)
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

    /// The requests of `client` on these days.
    pub(super) async fn counts(
        &self,
        client: &ClientId,
        days: RangeInclusive<Day>,
    ) -> Result<History, Failure> {
        let counts = self.store.counts(client, days).await;
        counts.map_err(|error| self.cannot_tell(&error))
    }

    /// Calls `each` with the requests of every client on these days, maybe in several parts.
    pub(super) async fn all_counts(
        &self,
        days: RangeInclusive<Day>,
        each: &mut (dyn FnMut(ClientId, History) + Send),
    ) -> Result<(), Failure> {
        let told = self.store.all_counts(days, each).await;
        told.map_err(|error| self.cannot_tell(&error))
    }

    /// The requests of all clients together on these days.
    pub(super) async fn totals(&self, days: RangeInclusive<Day>) -> Result<History, Failure> {
        let totals = self.store.totals(days).await;
        totals.map_err(|error| self.cannot_tell(&error))
    }

    /// The client's record alone.
    pub(super) async fn client(
        &self,
        id: &ClientId,
    ) -> Result<Option<(Epoch, crate::client::ClientRecord)>, Failure> {
        match self.get(&RecordId::Client(id.clone())).await? {
            Some((version, Record::Client(record))) => Ok(Some((version, record))),
            _ => Ok(None),
        }
    }

    /// The key's record alone.
    pub(super) async fn key(
        &self,
        id: KeyId,
    ) -> Result<Option<(Epoch, crate::key::KeyRecord)>, Failure> {
        match self.get(&RecordId::Key(id)).await? {
            Some((version, Record::Key(record))) => Ok(Some((version, record))),
            _ => Ok(None),
        }
    }

    async fn get(&self, id: &RecordId) -> Result<Option<(Epoch, Record)>, Failure> {
        let found = self.store.get(id).await;
        let found = found.map_err(|error| self.cannot_tell(&error))?;
        Ok(found.map(|found| (found.version, found.record)))
    }

    /// Makes the change that `decide` decides on, unless the run is dry or there is nothing to
    /// change. When somebody else was quicker, `decide` is asked again.
    pub(super) async fn change<T>(
        &self,
        action: Action,
        edit: &Edit,
        mut decide: impl AsyncFnMut() -> Result<(Option<Change>, T), Failure>,
    ) -> Result<(Did, T), Failure> {
        for _ in 0..TRIES {
            let (change, outcome) = decide().await?;
            let mut did = Did {
                action,
                changed: change.is_some(),
                dry_run: edit.dry_run,
                epoch: None,
                replicas: None,
            };
            let Some(change) = change.filter(|_| !edit.dry_run) else {
                return Ok((did, outcome));
            };
            let change = change
                .because(edit.reason.clone())
                .caused_from(Origin::here());
            match self.store.commit(&change).await {
                Ok(Committed { epoch, replicas }) => {
                    (did.epoch, did.replicas) = (Some(epoch), replicas);
                    self.acknowledged.borrow_mut().extend(replicas);
                    return Ok((did, outcome));
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Store(error)) => {
                    return Err(Failure::Unavailable(anyhow::anyhow!(
                        "{error} (store: {}); whether the change was made is not known: look with \
                         keyferry client list or show, then do it again if need be",
                        self.config.store
                    )));
                }
            }
        }
        Err(Failure::Unavailable(anyhow::anyhow!(
            "others change the same records all the time; try again in a moment"
        )))
    }

    pub(super) fn cannot_tell(&self, error: &StoreError) -> Failure {
        let advice = match error {
            StoreError::Unavailable(_) => "see that it runs, then try again",
            StoreError::Refused(_) => "docs/STORE.md says what to do with it",
            StoreError::Unreadable(_) => "use the version that wrote it, or restore a backup",
        };
        let store = &self.config.store;
        Failure::Unavailable(anyhow::anyhow!("{error} (store: {store}); {advice}"))
    }
}

impl Did {
    /// The word for it: what was done, or what would be.
    pub(super) fn word<'a>(self, done: &'a str, would: &'a str) -> &'a str {
        if self.dry_run { would } else { done }
    }
}
