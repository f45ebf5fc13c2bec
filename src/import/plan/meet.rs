//! The plan meets what the store has.

use super::row::{Standing, key_of_alias};
use super::{Misread, Plan, Why};
use crate::certificate::{AliasRecord, AliasState, CertificateRecord, Mapping};
use crate::client::{ClientId, ClientRecord};
use crate::store::Record;

impl Plan {
    /// Compares a record of the store with what was read.
    pub fn meet(&mut self, record: &Record) {
        match record {
            Record::Client(client) => self.meet_client(client),
            Record::Certificate(certificate) => self.meet_certificate(certificate),
            Record::Alias(alias) => self.meet_alias(alias),
            Record::Key(_) | Record::Phase(_) => {}
        }
    }

    fn meet_client(&mut self, record: &ClientRecord) {
        let Some(&at) = self.by_id.get(&record.id) else {
            return;
        };
        let Some(client) = self.clients.get_mut(at as usize) else {
            return;
        };
        client.is_there = true;
        let is_another = client.origin.is_some()
            && record.description.as_deref() != client.description.as_deref();
        if !record.is_active() {
            client.why_not = Some(Why::Disabled(record.id.clone()).into());
        } else if is_another {
            client.why_not = Some(Why::Namesake(record.id.clone()).into());
        }
    }

    fn meet_certificate(&mut self, record: &CertificateRecord) {
        let found = self.rows_of((0, *record.fingerprint.as_bytes()));
        for at in found {
            match &record.mapping {
                Mapping::Mapped { client, .. } => self.meet_owned(at, client),
                Mapping::Pending => self.stand(at, Standing::Waiting),
                Mapping::Superseded { .. } | Mapping::Removed { .. } | Mapping::Twin { .. } => {
                    self.refuse(at, Why::Ended);
                }
            }
        }
    }

    fn meet_alias(&mut self, record: &AliasRecord) {
        let found = self.rows_of(key_of_alias(&record.alias));
        for at in found {
            match record.state {
                AliasState::Open => self.meet_owned(at, &record.client),
                AliasState::Bound { .. } if self.is_of(at, &record.client) => {
                    self.stand(at, Standing::There);
                }
                AliasState::Bound { to } => self.refuse(at, Why::Bound(to)),
                AliasState::Withdrawn { .. } => self.refuse(at, Why::Ended),
            }
        }
    }

    fn meet_owned(&mut self, at: u32, owner: &ClientId) {
        if self.is_of(at, owner) {
            self.stand(at, Standing::There);
        } else {
            self.refuse(at, Why::Anothers(owner.clone()));
        }
    }

    fn is_of(&self, at: u32, client: &ClientId) -> bool {
        let planned = self.row(at).and_then(|row| self.planned(row.client));
        planned.is_some_and(|planned| planned.id == *client)
    }

    /// The rows that say this.
    fn rows_of(&self, mark: (u8, [u8; 32])) -> Vec<u32> {
        let key = |at: &u32| self.row(*at).map(|row| row.what.key());
        let from = self.by_mark.partition_point(|at| key(at) < Some(mark));
        let rest = self.by_mark.get(from..).unwrap_or_default();
        rest.iter()
            .copied()
            .take_while(|at| key(at) == Some(mark))
            .collect()
    }

    fn stand(&mut self, at: u32, standing: Standing) {
        if let Some(row) = self.rows.get_mut(at as usize)
            && row.standing == Standing::New
        {
            row.standing = standing;
        }
    }

    /// Ends the comparison: what is refused of clients is refused of their rows, and all is counted.
    pub fn settle(&mut self) {
        for at in (0_u32..).take(self.rows.len()) {
            let row = self.row(at);
            let why = row.and_then(|row| self.planned(row.client)?.why_not.clone());
            if let Some(why) = why {
                self.refuse(at, *why);
            }
        }
        let mut with_rows = vec![false; self.clients.len()];
        for row in &self.rows {
            if let Some(has) = with_rows.get_mut(row.client as usize) {
                *has = true;
            }
        }
        for (client, has_rows) in self.clients.iter().zip(with_rows) {
            if let (Some(why), false) = (&client.why_not, has_rows) {
                let (place, why) = (client.place, Why::clone(why));
                self.misread.push(Misread { place, why });
            }
        }
        self.misread.sort_by_key(|one| one.place);
        self.count();
    }
}
