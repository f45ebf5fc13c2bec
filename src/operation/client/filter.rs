//! Which clients are meant, by what they are and do.

use std::collections::HashSet;

use clap::builder::PossibleValuesParser;

use crate::certificate::{CertificateRecord, Facts, Mapping};
use crate::client::{ClientId, ClientRecord, Flag, Stage};
use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::phase::Selector;

/// The fewest digits by which a credential is looked for.
const FEWEST_DIGITS: usize = 6;

#[derive(Debug, clap::Args)]
pub(crate) struct Filter {
    /// Only clients at this stage
    #[arg(long, value_parser = PossibleValuesParser::new(Stage::ALL.map(Stage::as_str)))]
    stage: Option<String>,
    /// Only clients with this flag
    #[arg(long, value_parser = PossibleValuesParser::new(Flag::ALL.map(Flag::as_str)))]
    flag: Option<String>,
    /// Only clients with these tags: mobile, or mobile,!beta
    #[arg(long, value_name = "SELECTOR")]
    cohort: Option<Selector>,
    /// Only clients whose id or description has this in it, whose certificate or key is called so, or
    /// whose certificate names this e-mail address
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only clients whose last refusal is of today, and for this reason
    #[arg(long, value_name = "REASON")]
    refused: Option<String>,
}

impl Filter {
    /// Those with these tags, whatever they are otherwise.
    #[cfg(test)]
    pub(super) const fn of_cohort(cohort: Selector) -> Self {
        Self {
            stage: None,
            flag: None,
            cohort: Some(cohort),
            search: None,
            refused: None,
        }
    }

    /// Who is asked for.
    pub(crate) fn is_asked_for(
        &self,
        records: &Records,
        progress: &Progress,
    ) -> impl Fn(&ClientRecord) -> bool {
        let named = self.search.as_deref().map(|text| Named::of(text, records));
        let today = progress.today();
        let was_refused = move |client: &ClientRecord, reason: &str| {
            let sighting = progress.sighting(&client.id);
            let last = sighting.and_then(|sighting| sighting.refused.as_ref());
            last.is_some_and(|last| last.at.day() == today && last.code.as_str() == reason)
        };
        move |client| {
            self.cohort
                .as_ref()
                .is_none_or(|cohort| cohort.matches(&client.tags))
                && { self.refused.as_deref() }.is_none_or(|reason| was_refused(client, reason))
                && named.as_ref().is_none_or(|named| named.has(client))
                && { self.stage.as_deref() }
                    .is_none_or(|stage| stage == progress.stage(client).as_str())
                && { self.flag.as_deref() }.is_none_or(|flag| {
                    progress
                        .flags(client)
                        .iter()
                        .any(|own| own.as_str() == flag)
                })
        }
    }
}

/// What is looked for: a part of a name, or the beginning of that of a credential.
struct Named<'a> {
    text: String,
    owners: HashSet<&'a ClientId>,
}

impl<'a> Named<'a> {
    fn of(text: &str, records: &'a Records) -> Self {
        let text = text.trim().to_lowercase();
        let digits = text.replace(':', "");
        let by_digits =
            digits.len() >= FEWEST_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let by_email = text.contains('@');
        let is_called = |certificate: &CertificateRecord| {
            let names = |facts: &Facts| facts.emails().any(|email| email.to_lowercase() == text);
            by_digits && certificate.fingerprint.to_string().starts_with(&digits)
                || by_email && certificate.facts.as_ref().is_some_and(names)
        };
        let mut owners = HashSet::new();
        for (_, certificate) in records.certificates.values() {
            if let Mapping::Mapped { client, .. } = &certificate.mapping
                && is_called(certificate)
            {
                owners.insert(client);
            }
        }
        for (_, key) in records.keys.values() {
            if by_digits && key.id.to_string().starts_with(&digits) {
                owners.insert(&key.client);
            }
        }
        Self { text, owners }
    }

    fn has(&self, client: &ClientRecord) -> bool {
        let description = client.description.as_deref().unwrap_or_default();
        client.id.as_str().contains(&self.text)
            || description.to_lowercase().contains(&self.text)
            || self.owners.contains(&client.id)
    }
}
