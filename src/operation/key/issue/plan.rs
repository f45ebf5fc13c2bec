//! Who gets a sealed key, and to which certificate it is sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::certificate::{Mapping, Recipient};
use crate::client::{ClientId, Holdings};
use crate::clock::Timestamp;
use crate::key::KeyId;
use crate::operation::records::Records;
use crate::operation::view::CertificateView;
use crate::operation::{Failure, Operator};
use crate::phase::Selector;
use crate::store::RecordId;

/// For whom the operator asks.
#[derive(Clone, Copy)]
pub(super) enum Whom<'a> {
    /// This client, whose certificate is in this file.
    Client {
        client: &'a ClientId,
        file: &'a Path,
    },
    /// Every client, or every one of the cohort, with a certificate in this folder.
    Folder {
        folder: &'a Path,
        cohort: Option<&'a Selector>,
    },
}

/// A client, and the certificate that its key is sealed to.
pub(super) struct Delivery {
    pub(super) client: ClientId,
    pub(super) recipient: Recipient,
    /// Whether it is left as it is when it has a key.
    only_first: bool,
}

impl Delivery {
    /// What the store holds of the client and of the certificate.
    pub(super) async fn read(&self, operator: &Operator) -> Result<Records, Failure> {
        let mut records = operator.records_of(&self.client).await?;
        let certificate = RecordId::Certificate(self.recipient.fingerprint);
        operator.read(&certificate, &mut records).await?;
        Ok(records)
    }

    /// What the client has; the certificate must be its own.
    pub(super) fn holdings(&self, records: &Records) -> Result<Holdings, Failure> {
        let holdings = records.holdings(&self.client)?;
        let owner = owner(&self.recipient, records).map_err(Failure::Refused)?;
        if *owner != self.client {
            return Err(Failure::Refused(format!(
                "the certificate {} is that of {owner}, not of {}",
                self.recipient.fingerprint, self.client
            )));
        }
        Ok(holdings)
    }

    /// The key that is enough for the client.
    pub(super) fn has_key(&self, holdings: &Holdings, now: Timestamp) -> Option<KeyId> {
        let newest = holdings.newest_issued(now);
        newest.filter(|_| self.only_first).map(|(_, key)| key.id)
    }
}

/// Whoever gets no key, and why.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[schemars(rename = "RefusedKey")]
pub(super) struct Refused {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) why: String,
}

/// All deliveries, by client, and the files and clients of which nothing comes.
pub(super) struct Plan {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) refused: Vec<Refused>,
}

impl Plan {
    /// For the client with the certificate in `file`.
    pub(super) fn for_client(
        client: &ClientId,
        file: &Path,
        operator: &Operator,
    ) -> Result<Self, Failure> {
        Ok(Self {
            deliveries: vec![Delivery {
                client: client.clone(),
                recipient: recipient(file, operator).map_err(Failure::Usage)?,
                only_first: false,
            }],
            refused: Vec::new(),
        })
    }

    /// For all whose certificates are in `folder`, or those of them that are of the cohort.
    pub(super) fn for_folder(
        folder: &Path,
        cohort: Option<&Selector>,
        records: &Records,
        operator: &Operator,
    ) -> Result<Self, Failure> {
        let mut plan = Self::for_all_in(folder, records, operator)?;
        if let Some(cohort) = cohort {
            plan.narrow(cohort, records, operator.now)?;
        }
        Ok(plan)
    }

    /// Of several certificates of a client, the key is sealed to the newest.
    fn for_all_in(folder: &Path, records: &Records, operator: &Operator) -> Result<Self, Failure> {
        let mut refused = Vec::new();
        let mut newest: BTreeMap<ClientId, Recipient> = BTreeMap::new();
        for file in files(folder)? {
            let owned = recipient(&file, operator).and_then(|recipient| {
                let owner = owner(&recipient, records);
                let owner = owner.map_err(|why| format!("{}: {why}", file.display()))?;
                Ok((owner.clone(), recipient))
            });
            match owned {
                Ok((client, recipient)) => {
                    let since = |recipient: &Recipient| recipient.facts.not_before;
                    let known = newest.get(&client);
                    if known.is_none_or(|known| since(known) < since(&recipient)) {
                        newest.insert(client, recipient);
                    }
                }
                Err(why) => refused.push(Refused {
                    client_id: None,
                    certificate_file: Some(file),
                    why,
                }),
            }
        }
        let newest = newest.into_iter();
        let deliveries = newest.map(|(client, recipient)| Delivery {
            client,
            recipient,
            only_first: true,
        });
        Ok(Self {
            deliveries: deliveries.collect(),
            refused,
        })
    }

    /// Leaves out who is not of the cohort, and names those of it who need a key and have no
    /// certificate in the folder.
    fn narrow(
        &mut self,
        cohort: &Selector,
        records: &Records,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let members = records.clients.values().map(|(_, client)| client);
        let members = members.filter(|client| cohort.matches(&client.tags));
        let members: BTreeSet<_> = members.map(|client| &client.id).collect();
        self.deliveries.retain(|one| members.contains(&one.client));
        let found = self.deliveries.iter().map(|one| one.client.clone());
        let found: BTreeSet<_> = found.collect();
        for client in members {
            let lacks = !found.contains(client);
            if lacks && records.holdings(client)?.newest_issued(now).is_none() {
                self.refused.push(Refused {
                    client_id: Some(client.clone()),
                    certificate_file: None,
                    why: "no certificate of it is in the folder".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// The files in `folder`, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        let folder = folder.display();
        Failure::Usage(format!("{folder} cannot be read ({error}); name a folder"))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn recipient(file: &Path, operator: &Operator) -> Result<Recipient, String> {
    let name = operator.called(file);
    let contents = operator
        .contents(file)
        .map_err(|error| format!("{name} cannot be read ({error})"))?;
    Recipient::read(&contents).map_err(|error| format!("{name}: {error}"))
}

/// The client whose certificate it is, as the store says.
fn owner<'a>(recipient: &Recipient, records: &'a Records) -> Result<&'a ClientId, String> {
    let fingerprint = recipient.fingerprint;
    match records.certificates.get(&fingerprint) {
        Some((_, record)) => match &record.mapping {
            Mapping::Mapped { client, .. } => Ok(client),
            _ => Err(format!(
                "the certificate {fingerprint} is {}, and identifies nobody; see: keyferry \
                 certificate list",
                CertificateView::of(record).status
            )),
        },
        None => Err(format!(
            "no client has the certificate {fingerprint}; to give it to one: keyferry certificate \
             add"
        )),
    }
}
