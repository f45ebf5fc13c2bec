//! What follows from the observations, for whoever decides whether the gateway may enforce.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{HeaderText, IdentityRow, RefusalRow, Snapshot, Times};
use crate::client::ClientId;

/// What would have gone wrong, the most frequent first, and how much would have gone well.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Requests that would have been refused.
    pub refusals: Vec<RefusalRow>,
    /// Of those, the ones of which the existing gateway says who calls.
    pub named_but_refused: Vec<IdentityRow>,
    /// Requests of clients that we know and of which the existing gateway says nothing.
    pub known_but_unnamed: Vec<IdentityRow>,
    /// Values of the header that stand for several clients.
    pub shared_values: Vec<Shared>,
    /// Clients for which there are several values of the header.
    pub split_clients: Vec<Split>,
    /// How many pairs of a value and a client stand for each other and for nobody else.
    pub agreed_pairs: usize,
    /// How many requests came with such a pair.
    pub agreed_requests: u64,
}

/// A value of the header that stands for several clients.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// The value.
    pub value: HeaderText,
    /// The clients.
    pub client_ids: Vec<ClientId>,
}

/// A client for which there are several values of the header.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Split {
    /// The client.
    pub client_id: ClientId,
    /// The values.
    pub values: Vec<HeaderText>,
}

impl Report {
    /// What follows from `snapshot`. Without a header to compare, only refusals do.
    #[must_use]
    pub fn of(snapshot: Snapshot) -> Self {
        let mut refusals = snapshot.refusals;
        refusals.sort_by(|a, b| {
            let rank = |row: &RefusalRow| (row.reason.clone(), row.who.clone(), row.address);
            (b.seen.count, rank(a)).cmp(&(a.seen.count, rank(b)))
        });
        let compared = snapshot.identity_header.is_some();
        let rows = snapshot.identities.into_iter().filter(|_| compared);

        let (mut named_but_refused, mut known_but_unnamed, mut pairs) = (vec![], vec![], vec![]);
        for row in rows {
            match (&row.value, &row.client_id) {
                (Some(value), Some(client)) => {
                    pairs.push((value.clone(), client.clone(), row.seen));
                }
                (Some(_), None) => named_but_refused.push(row),
                (None, _) => known_but_unnamed.push(row),
            }
        }
        for rows in [&mut named_but_refused, &mut known_but_unnamed] {
            rows.sort_by(|a, b| {
                let rank = |row: &IdentityRow| {
                    (row.value.clone(), row.client_id.clone(), row.reason.clone())
                };
                (b.seen.count, rank(a)).cmp(&(a.seen.count, rank(b)))
            });
        }
        Self {
            refusals,
            named_but_refused,
            known_but_unnamed,
            ..Self::compare(&pairs)
        }
    }

    /// Whether nothing would have been refused and every value stands for one client.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.refusals.is_empty()
            && self.named_but_refused.is_empty()
            && self.known_but_unnamed.is_empty()
            && self.shared_values.is_empty()
            && self.split_clients.is_empty()
    }

    /// Which values and clients stand for each other.
    fn compare(pairs: &[(HeaderText, ClientId, Times)]) -> Self {
        let mut clients = BTreeMap::<&HeaderText, BTreeSet<&ClientId>>::new();
        let mut values = BTreeMap::<&ClientId, BTreeSet<&HeaderText>>::new();
        for (value, client, _) in pairs {
            clients.entry(value).or_default().insert(client);
            values.entry(client).or_default().insert(value);
        }
        let one = |clients: Option<usize>| clients == Some(1);
        let agreed = pairs.iter().filter(|(value, client, _)| {
            one(clients.get(value).map(BTreeSet::len)) && one(values.get(client).map(BTreeSet::len))
        });
        let (mut agreed_pairs, mut agreed_requests) = (0usize, 0u64);
        for (_, _, seen) in agreed {
            agreed_pairs = agreed_pairs.saturating_add(1);
            agreed_requests = agreed_requests.saturating_add(seen.count);
        }
        let shared = clients.into_iter().filter(|(_, clients)| clients.len() > 1);
        let split = values.into_iter().filter(|(_, values)| values.len() > 1);
        Self {
            refusals: Vec::new(),
            named_but_refused: Vec::new(),
            known_but_unnamed: Vec::new(),
            shared_values: shared
                .map(|(value, clients)| Shared {
                    value: value.clone(),
                    client_ids: clients.into_iter().cloned().collect(),
                })
                .collect(),
            split_clients: split
                .map(|(client, values)| Split {
                    client_id: client.clone(),
                    values: values.into_iter().cloned().collect(),
                })
                .collect(),
            agreed_pairs,
            agreed_requests,
        }
    }
}
