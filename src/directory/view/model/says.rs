//! Every look-up, compared.

use proptest::test_runner::TestCaseError;

use super::*;

impl World {
    pub(super) fn says_the_same(&self) -> Result<(), TestCaseError> {
        self.has_the_same_records()?;
        for client in &self.clients {
            self.says_of_client(client)?;
        }
        for n in 0..EACH {
            self.says_of_certificate(&certificate(n))?;
            self.says_of_key(key(n))?;
            let id = RecordId::Alias(alias(n));
            let state = match self.record(&id) {
                Some((_, Record::Alias(record))) => Some(record.state),
                _ => None,
            };
            prop_assert_eq!(self.view.alias(&alias(n)), state);
            prop_assert_eq!(self.view.version(&id), self.version(&id));
        }
        self.counts_the_same()
    }

    fn record(&self, id: &RecordId) -> Option<&(Epoch, Record)> {
        self.model.now.get(id)
    }

    fn version(&self, id: &RecordId) -> Option<Epoch> {
        self.record(id).map(|(version, _)| *version)
    }

    fn has_the_same_records(&self) -> Result<(), TestCaseError> {
        let written = |record: &Record| serde_json::to_value(record).unwrap();
        let mut here: Vec<(RecordId, Epoch, Value)> = Vec::new();
        self.view.records(|Versioned { version, record }| {
            here.push((record.id(), version, written(&record)));
        });
        here.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let all = self.model.now.iter();
        let model =
            all.map(|(id, (version, record))| (id.clone(), *version, written(&kept(record))));
        prop_assert_eq!(here, model.collect::<Vec<_>>());
        Ok(())
    }

    fn says_of_client(&self, client: &ClientId) -> Result<(), TestCaseError> {
        let (view, model) = (&self.view, &self.model);
        let known = model.client(client);
        prop_assert_eq!(
            view.is_client_active(client),
            known.map(ClientRecord::is_active)
        );
        let id = RecordId::Client(client.clone());
        prop_assert_eq!(view.version(&id), self.version(&id));
        let held = view.phase_of(client);
        let held = held.map(|held| (held.target.clone(), held.version));
        prop_assert_eq!(held, model.phase(client));

        let mut has = view.belongings(client);
        has.certificates.sort_unstable();
        let of_it = model.now.values().map(|(_, record)| record);
        let of_it: Vec<_> = of_it
            .filter(|record| owner(record) == Some(client))
            .collect();
        let keys = of_it.iter().filter_map(|record| match record {
            Record::Key(key) => Some(key.id),
            _ => None,
        });
        let certificates = of_it.iter().filter_map(|record| match record {
            Record::Certificate(one) => Some(one.fingerprint),
            _ => None,
        });
        prop_assert_eq!(has.keys, keys.collect::<Vec<_>>());
        prop_assert_eq!(has.certificates, certificates.collect::<Vec<_>>());
        Ok(())
    }

    fn says_of_certificate(&self, id: &Fingerprint) -> Result<(), TestCaseError> {
        let (view, model) = (&self.view, &self.model);
        let known = model.certificate(id);
        let identified = known.map(|one| (one.mapping.clone(), one.is_learned()));
        prop_assert_eq!(view.identified(id), identified);
        prop_assert_eq!(view.certificate(id), known.map(|one| one.mapping.clone()));
        prop_assert_eq!(view.is_newest(id), model.is_newest(id));
        let whole = known.and_then(|one| match &one.mapping {
            Mapping::Twin { of } => model.certificate(of),
            _ => Some(one),
        });
        let whole = whole.map(|one| Record::from(one.clone()));
        prop_assert_eq!(view.owner(id), whole.as_ref().and_then(owner).cloned());
        let over = known.is_none_or(|one| match one.mapping {
            Mapping::Removed { at } | Mapping::Superseded { at, .. } => at < NOW,
            _ => false,
        });
        prop_assert_eq!(view.is_over(&CredentialId::Certificate(*id), NOW), over);

        let record = RecordId::Certificate(*id);
        prop_assert_eq!(view.version(&record), self.version(&record));
        let is_mapped = known.is_some_and(|one| matches!(one.mapping, Mapping::Mapped { .. }));
        if let Some(facts) = model.alike.get(&record)
            && !(is_mapped && known.is_some_and(|one| one.renewed_by.is_some()))
        {
            prop_assert!(view.alike(facts).certificates.contains(id));
        }
        Ok(())
    }

    fn says_of_key(&self, id: KeyId) -> Result<(), TestCaseError> {
        let record = RecordId::Key(id);
        let (here, known) = (
            self.view.key(&id),
            self.model.keys().find(|key| key.id == id),
        );
        let version = here.as_ref().map(KeyEntry::version);
        prop_assert_eq!(version, self.version(&record));
        prop_assert_eq!(self.view.version(&record), version);
        let (Some(here), Some(known)) = (here, known) else {
            return Ok(());
        };
        prop_assert_eq!((here.id(), here.client()), (id, &known.client));
        prop_assert_eq!(here.scopes(), known.scopes.as_slice());
        prop_assert_eq!(
            (here.status(), here.expires_at()),
            (known.status, known.expires_at)
        );
        prop_assert_eq!(here.issued_at(), known.issued_at);
        let parts = |digest: &Digest| digest.parts();
        prop_assert_eq!(here.digest().map(parts), known.digest.as_ref().map(parts));
        Ok(())
    }

    fn counts_the_same(&self) -> Result<(), TestCaseError> {
        let (view, model) = (&self.view, &self.model);
        let mut here = BTreeMap::new();
        view.clients(NOW, |id, is_active, has_key, ends| {
            here.insert(id.clone(), (is_active, (has_key, ends)));
        });
        let known = self.clients.iter().filter_map(|id| {
            let record = model.client(id)?;
            Some((id.clone(), (record.is_active(), model.ends(id))))
        });
        prop_assert_eq!(&here, &known.collect());

        let mut peppers = BTreeMap::new();
        for key in model.usable_keys() {
            let keys: &mut u64 = peppers.entry(key.digest.unwrap().pepper()).or_default();
            *keys = keys.saturating_add(1);
        }
        prop_assert_eq!(view.keys_by_pepper(NOW), peppers);

        let is_twin = |one: &&CertificateRecord| matches!(one.mapping, Mapping::Twin { .. });
        let certificates = model.certificates().filter(|one| !is_twin(one)).count();
        let named = model.named.iter().chain(here.keys());
        let clients = named.collect::<BTreeSet<_>>().len();
        let counted = view.len().map(|(_, count)| count);
        prop_assert_eq!(counted, [clients, certificates, model.keys().count()]);

        let mut expected = Vec::new();
        view.expected(|client, place| {
            let name = place.and_then(|place| view.authorities.name(place));
            expected.push((client.clone(), name.map(String::from)));
        });
        expected.sort_unstable();
        let mut known = Vec::new();
        for (_, record) in model.now.values() {
            known.extend(match record {
                Record::Certificate(one) => match &one.mapping {
                    Mapping::Mapped { client, .. } => Some((client.clone(), one.ca.clone())),
                    _ => None,
                },
                Record::Alias(record) => record.awaited().map(|client| (client.clone(), None)),
                _ => None,
            });
        }
        known.sort_unstable();
        prop_assert_eq!(expected, known);
        Ok(())
    }
}
