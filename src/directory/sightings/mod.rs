//! What is seen of clients, collected in memory and told to the store now and then.
//!
//! Noting takes no lock, writes nothing to the store, and allocates only at the first sight of a
//! client or of a credential. Only those that are known are noted, so strangers cost no memory. The
//! first use of a key wakes whoever tells the store of it, and waits for nothing.

mod cells;
mod outbox;
mod spending;

use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;
use tokio::sync::{Mutex, Notify};

use crate::client::{ClientId, Counted, CredentialId, LastRefusal, LastUse, Seen, Sighting, Use};
use crate::clock::{Day, Timestamp};
use crate::store::{Batch, Epoch, Spent, Store, StoreError};
use cells::{Activity, UseCell};
use outbox::Outbox;
use spending::Spending;

/// What was seen, here and at other replicas, and what of it the store has not been told.
#[derive(Default)]
pub struct Sightings {
    clients: HashMap<ClientId, Activity, RandomState>,
    credentials: HashMap<CredentialId, UseCell, RandomState>,
    /// Refusals of brownouts, by the versions of their phases.
    spent: HashMap<Epoch, Spending, RandomState>,
    outbox: Mutex<Outbox>,
    /// A key was used of which no use was known here.
    first_use: Notify,
    is_loaded: AtomicBool,
}

impl Sightings {
    /// Notes that a request of `client` was served at `now`, by what was `seen` of it.
    pub fn served(&self, client: &ClientId, seen: Seen, now: Timestamp) {
        let counted = match seen.by_key {
            Some(_) => Counted::ByKey,
            None => Counted::ByCertificate,
        };
        self.with(client, |activity| {
            activity.raise(seen);
            activity.count(counted, now.day());
        });
    }

    /// Notes that `client` was `seen`, without counting a request.
    pub fn note(&self, client: &ClientId, seen: Seen) {
        self.with(client, |activity| activity.raise(seen));
    }

    /// Counts a request of `client`.
    pub fn count(&self, client: &ClientId, counted: Counted, now: Timestamp) {
        self.with(client, |activity| activity.count(counted, now.day()));
    }

    /// Notes a use of a credential that was good at that time.
    pub fn used(&self, credential: CredentialId, last: LastUse) {
        let is_first = self.raise(credential, last);
        if is_first && matches!(credential, CredentialId::Key(_)) {
            self.first_use.notify_one();
        }
    }

    /// Whether no use of it was known here before.
    fn raise(&self, credential: CredentialId, last: LastUse) -> bool {
        let map = self.credentials.pin();
        let known = map.get(&credential);
        let cell = known.unwrap_or_else(|| map.get_or_insert_with(credential, UseCell::default));
        cell.raise(last);
        known.is_none()
    }

    /// Notes the refusal of a request that is proven to be `client`'s, without counting it.
    pub fn refused(&self, client: &ClientId, refusal: LastRefusal) {
        self.with(client, |activity| activity.refuse(refusal));
    }

    /// Notes that a credential of `client` came beside one of another client.
    pub fn conflicted(&self, client: &ClientId, at: Timestamp) {
        self.with(client, |activity| activity.conflict(at));
    }

    /// Counts a refusal of `client` by the brownout of this version of a phase: at most one a
    /// minute, so that the budget says how many feel it, and not how hard one tries again.
    pub fn spent(&self, phase: Epoch, client: &ClientId, now: Timestamp) {
        let mut counts = false;
        self.with(client, |activity| counts = activity.spends(now));
        if !counts {
            return;
        }
        let map = self.spent.pin();
        map.get_or_insert_with(phase, Spending::default).count();
    }

    /// How often the brownout of this version of a phase has refused, as far as that is known here:
    /// what the store knew of when it last answered, and what came here since.
    #[must_use]
    pub fn refusals(&self, phase: Epoch) -> u64 {
        self.spent.pin().get(&phase).map_or(0, Spending::known)
    }

    /// How many of the refusals here the store took.
    #[must_use]
    pub fn refusals_told(&self, phase: Epoch) -> u64 {
        self.spent.pin().get(&phase).map_or(0, Spending::told)
    }

    /// The store knows of so many refusals in `total`, and had taken so many from here when it was
    /// asked.
    pub fn learn_refusals(&self, phase: Epoch, told: u64, total: u64) {
        let map = self.spent.pin();
        map.get_or_insert_with(phase, Spending::default)
            .learn(total.saturating_sub(told));
    }

    /// When `client` was seen.
    #[must_use]
    pub fn of(&self, client: &ClientId) -> Seen {
        let map = self.clients.pin();
        map.get(client).map(Activity::seen).unwrap_or_default()
    }

    /// All that was last seen of `client`.
    #[must_use]
    pub fn sighting(&self, client: &ClientId) -> Sighting {
        let map = self.clients.pin();
        match map.get(client) {
            Some(activity) => activity.sighting(client),
            None => Sighting::nothing_of(client.clone()),
        }
    }

    /// The last use of a credential while it was good, here or at another replica; nothing when
    /// it was never used. The uses at other replicas are known up to a minute late; the store knows
    /// of a key's first use at once.
    #[must_use]
    pub fn credential(&self, credential: &CredentialId) -> Option<LastUse> {
        self.credentials.pin().get(credential)?.get()
    }

    /// Takes in what the store remembers, from other replicas and from before, but for credentials
    /// that are over. Gives how many of its entries were damaged, and so left out.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    pub async fn load(
        &self,
        store: &dyn Store,
        is_over: impl Fn(&CredentialId) -> bool + Send,
    ) -> Result<usize, StoreError> {
        let sightings = store.sightings().await?;
        for sighting in &sightings.entries {
            self.is_told(sighting);
        }
        let uses = store.uses().await?;
        for used in &uses.entries {
            if !is_over(&used.credential) {
                self.use_is_told(used);
            }
        }
        self.is_loaded.store(true, Ordering::Release);
        Ok(sightings.damaged.len().saturating_add(uses.damaged.len()))
    }

    /// Whether what the store remembers was taken in once: until then whoever was seen elsewhere, or
    /// before, seems never to have been.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Tells the store what is new since the last time. What it did not take is told again: a
    /// batch of which it is not known whether it was taken, as the same batch. Gives how many
    /// entries of the store were damaged.
    ///
    /// # Errors
    ///
    /// When the store did not take it.
    pub async fn flush(&self, store: &dyn Store, today: Day) -> Result<u64, StoreError> {
        let mut outbox = self.outbox.lock().await;
        self.collect(&mut outbox, today);
        self.tell(&mut outbox, self.news(), store, today).await
    }

    /// Forgets credentials that are over, but for uses that the store was not told of.
    pub fn forget(&self, is_over: impl Fn(&CredentialId) -> bool) {
        let credentials = self.credentials.pin();
        credentials.retain(|id, cell| cell.news().is_some() || !is_over(id));
    }

    /// Waits until a key is used of which no use was known here.
    pub async fn first_use(&self) {
        self.first_use.notified().await;
    }

    /// Tells the store what does not wait: of the credentials of which it knows no use, and how often
    /// brownouts have refused. The rest is left to [`Self::flush`], but for what that could not tell.
    /// Gives how many entries of the store were damaged.
    ///
    /// # Errors
    ///
    /// When the store did not take it.
    pub async fn flush_urgent(&self, store: &dyn Store, today: Day) -> Result<u64, StoreError> {
        let mut outbox = self.outbox.lock().await;
        self.collect_spent(&mut outbox);
        let first = self.new_uses(UseCell::is_untold);
        self.tell(&mut outbox, (Vec::new(), first), store, today)
            .await
    }

    async fn tell(
        &self,
        outbox: &mut Outbox,
        (mut sightings, mut uses): (Vec<Sighting>, Vec<Use>),
        store: &dyn Store,
        today: Day,
    ) -> Result<u64, StoreError> {
        let mut damaged = 0u64;
        loop {
            let Some(batch) = outbox.next(&mut sightings, &mut uses, today) else {
                return Ok(damaged);
            };
            damaged = damaged.saturating_add(store.saw(batch).await?);
            self.batch_is_told(batch);
            outbox.is_told();
        }
    }

    /// Moves the counts into the outbox.
    fn collect(&self, outbox: &mut Outbox, today: Day) {
        for (client, activity) in &self.clients.pin() {
            for (day, counts) in activity.take_counts(today) {
                outbox.add(client, day, counts);
            }
        }
        self.collect_spent(outbox);
    }

    fn collect_spent(&self, outbox: &mut Outbox) {
        for (phase, spending) in &self.spent.pin() {
            outbox.add_spent(*phase, spending.collect());
        }
    }

    /// The times that the store does not know yet.
    fn news(&self) -> (Vec<Sighting>, Vec<Use>) {
        let clients = self.clients.pin();
        let sightings = clients
            .iter()
            .filter(|(_, activity)| activity.is_news())
            .map(|(client, activity)| activity.sighting(client));
        (sightings.collect(), self.new_uses(|_| true))
    }

    fn new_uses(&self, is_asked_for: impl Fn(&UseCell) -> bool) -> Vec<Use> {
        let credentials = self.credentials.pin();
        let cells = credentials.iter().filter(|(_, cell)| is_asked_for(cell));
        let uses = cells.filter_map(|(credential, cell)| {
            let last = cell.news()?;
            Some(Use {
                credential: *credential,
                last,
            })
        });
        uses.collect()
    }

    fn batch_is_told(&self, batch: &Batch) {
        for sighting in &batch.sightings {
            self.is_told(sighting);
        }
        for used in &batch.uses {
            self.use_is_told(used);
        }
        let map = self.spent.pin();
        for Spent { phase, refusals } in &batch.spent {
            map.get_or_insert_with(*phase, Spending::default)
                .is_told(*refusals);
        }
    }

    /// Takes in what the store knows.
    fn is_told(&self, sighting: &Sighting) {
        self.with(&sighting.client, |activity| activity.is_told(sighting));
    }

    fn use_is_told(&self, Use { credential, last }: &Use) {
        self.raise(*credential, *last);
        if let Some(cell) = self.credentials.pin().get(credential) {
            cell.is_told(last.at);
        }
    }

    fn with(&self, client: &ClientId, then: impl FnOnce(&Activity)) {
        let map = self.clients.pin();
        match map.get(client) {
            Some(activity) => then(activity),
            None => then(map.get_or_insert_with(client.clone(), Activity::default)),
        }
    }
}

#[cfg(test)]
mod tests;
