//! `keyferry letter`: what each client is told by mail.

mod api;
mod facts;
mod files;
mod template;

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use serde::{Deserialize, Serialize};

pub(crate) use api::Api;
pub(crate) use facts::contacts;

use super::client::Filter;
use super::csv;
use super::page::{Page, tell_next};
use super::phase::listed;
use super::progress::Progress;
use super::records::{Records, no_client};
use super::words::HERE;
use super::{Failure, Operator, Out};
use crate::client::{ClientId, ClientRecord, Contact, CredentialId, Tag};
use crate::store::{Legible, Selection};
use facts::{Facts, Writer};
use template::Template;

/// How many letters a gateway that runs writes at once, whoever asks: each is a page of text.
const AT_ONCE: u32 = 1000;

/// The columns of the table.
const COLUMNS: [&str; 11] = [
    "client_id",
    "to",
    "description",
    "tags",
    "stage",
    "phase",
    "certificates_end",
    "sunset",
    "brownout_next",
    "guide",
    "text",
];

/// Write to each client what it has, until when, and how to get its key: as text, files or a table
/// for mail merge
///
/// Letters go to the e-mail addresses in the clients' certificates; who has none is named. No key
/// stands in a letter. A running gateway writes at most 1000 at once; `next` says after whom it goes on.
/// docs/LETTERS.md has the names that a template of your own may use.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// To these clients [default: to all, or to those that the options below choose]
    #[arg(value_name = "ID", num_args = 0..=500, conflicts_with = "Filter")]
    ids: Vec<ClientId>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    page: Page,
    /// Where clients call the API, as <https://api.example.com> [default: https:// and the host of the
    /// routes, where they name one]
    #[arg(long, value_name = "URL")]
    url: Option<Api>,
    /// Write letters by this template [default: the built-in letter]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath, help_heading = HERE)]
    template: Option<PathBuf>,
    /// Print one table for mail merge, in CSV
    #[arg(long, help_heading = HERE)]
    csv: bool,
    /// Write each letter into a file in this folder, called as its client
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "csv", help_heading = HERE)]
    directory: Option<PathBuf>,
    /// Replace what is there
    #[arg(long, requires = "directory", help_heading = HERE)]
    replace: bool,
}

/// The letters, and to whom there is no way.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "Letters")]
pub(crate) struct Report {
    letters: Vec<Letter>,
    /// Clients whose certificates name no e-mail address. Their letters are among the others.
    without_contact: Vec<ClientId>,
    /// After whom they go on, when they were limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A letter, and what is known of whom it is to.
#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Letter {
    #[serde(flatten)]
    facts: Facts,
    text: String,
    /// Where it was written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let settings = &operator.settings;
    let api = args.url.clone().or_else(|| settings.api.clone());
    let api = api.ok_or_else(|| {
        Failure::Usage(
            "letters say where clients call the API, and the routes do not name one host: name it \
             with --url https://api.example.com"
                .to_owned(),
        )
    })?;
    let template = args.template()?;
    let (records, progress) = args.read(operator).await?;
    let page = match settings.running {
        Some(_) => args.page.at_most(AT_ONCE),
        None => args.page.clone(),
    };
    let (chosen, next) = args.chosen(&records, &progress, &page)?;
    let writer = Writer::new((&records, &progress), &chosen, api, operator);
    let letters = chosen.into_iter().map(|client| {
        let facts = writer.facts(client);
        Letter::new(facts, &template)
    });
    args.deliver(letters.collect::<Result<_, _>>()?, next, out)
}

impl Args {
    /// Delivers the letters that a gateway elsewhere wrote, by the template and into the folder of
    /// this machine.
    ///
    /// `told` tells the next part of them, of at most so many, until there is none; it is asked once the
    /// template is good.
    pub(crate) fn deliver_told(
        &self,
        mut told: impl FnMut(Option<&str>, Option<u32>) -> Result<Report, Failure>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        let template = self.template.is_some().then(|| self.template());
        let template = template.transpose()?;
        let (mut letters, mut after) = (Vec::new(), None);
        loop {
            let left = self.page.left(letters.len());
            let part = told(after.as_deref(), left)?;
            letters.extend(part.letters);
            after = part.next;
            if after.is_none() || self.page.left(letters.len()) == Some(0) {
                break;
            }
        }
        for letter in &mut letters {
            if let Some(template) = &template {
                letter.text = template.render(&letter.facts)?;
            }
        }
        self.deliver(letters, after, out)
    }

    fn template(&self) -> Result<Template, Failure> {
        let file = self.template.as_deref();
        file.map_or_else(Template::built_in, Template::read)
    }

    /// What there is to know of the clients that may be asked for.
    async fn read(&self, operator: &Operator) -> Result<(Arc<Records>, Arc<Progress>), Failure> {
        if self.ids.is_empty() {
            let records = operator.records().await?;
            let progress = operator.progress(&records).await?;
            return Ok((records, progress));
        }
        let (mut records, mut sightings) = (Records::default(), Legible::default());
        for id in &self.ids {
            operator.read_client(id, &mut records).await?;
            let seen = operator.sighting(id).await?;
            sightings.entries.extend(seen.entries);
            sightings.damaged.extend(seen.damaged);
        }
        operator.select(&Selection::Phases, &mut records).await?;
        let certificates = records.certificates.keys().copied();
        let keys = records.keys.keys().copied();
        let credentials: Vec<_> = { certificates.map(CredentialId::Certificate) }
            .chain(keys.map(CredentialId::Key))
            .collect();
        let uses = operator.uses_of(&credentials).await?;
        let progress = Progress::of(&records, sightings, &uses, operator);
        Ok((Arc::new(records), Arc::new(progress)))
    }

    /// Who gets a letter, in the order of their names, and after whom the next part begins.
    fn chosen<'a>(
        &self,
        records: &'a Records,
        progress: &Progress,
        page: &Page,
    ) -> Result<(Vec<&'a ClientRecord>, Option<String>), Failure> {
        if let Some(unknown) = self.ids.iter().find(|id| !records.clients.contains_key(id)) {
            return Err(no_client(unknown));
        }
        let all = records.clients.values().map(|(_, client)| client);
        let is_asked_for = self.filter.is_asked_for(records, progress);
        let chosen = all.filter(|client| is_asked_for(client));
        page.of(chosen.map(|client| (client.id.clone(), client)))
    }

    fn deliver(
        &self,
        mut letters: Vec<Letter>,
        next: Option<String>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        if self.csv && out.is_json() {
            return Err(Failure::Usage(
                "--csv and --output json are two forms of the same letters; choose one".to_owned(),
            ));
        }
        if let Some(folder) = self.directory.as_ref().filter(|_| !letters.is_empty()) {
            files::write(&mut letters, folder, self.replace)?;
        }
        let report = Report::of(letters, next);
        if !out.is_json() {
            report.note(out);
        }
        let text = match &self.directory {
            _ if report.letters.is_empty() && !self.csv && !out.is_json() => return Ok(()),
            Some(folder) => {
                let folder = folder.display();
                format!("wrote {} letter(s) into {folder}", report.letters.len())
            }
            None if self.csv => report.csv(),
            None => report.in_turn(),
        };
        // The line has its end already.
        out.show(&report, text.strip_suffix('\n').unwrap_or(&text))?;
        tell_next(report.next(), out);
        Ok(())
    }
}

impl Report {
    fn of(letters: Vec<Letter>, next: Option<String>) -> Self {
        let without = letters.iter().filter(|letter| letter.facts.to.is_empty());
        Self {
            without_contact: without
                .map(|letter| letter.facts.client_id.clone())
                .collect(),
            letters,
            next,
        }
    }

    /// Says who gets no letter, or nobody.
    fn note(&self, out: &mut Out) {
        if self.letters.is_empty() {
            out.note("no such client");
        } else if !self.without_contact.is_empty() {
            out.note(format!(
                "the certificates of {} client(s) name no e-mail address to write to{}",
                self.without_contact.len(),
                listed(": ", &self.without_contact)
            ));
        }
    }

    /// The letters one after the other: one alone as it is, several with a line before each that says
    /// whose it is.
    fn in_turn(&self) -> String {
        if let [one] = self.letters.as_slice() {
            return one.text.clone();
        }
        let letters = self.letters.iter().map(|letter| {
            let id = &letter.facts.client_id;
            format!("===== {id} <{}> =====\n\n{}", letter.to(), letter.text)
        });
        letters.collect::<Vec<_>>().join("\n")
    }

    /// A table for mail merge, of a row for each letter.
    pub(crate) fn csv(&self) -> String {
        csv::header(COLUMNS) + &self.rows()
    }

    /// The same without what stands above it.
    pub(crate) fn rows(&self) -> String {
        self.letters.iter().map(Letter::row).collect()
    }

    /// After whom they go on, when they were limited.
    pub(crate) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// The text of the one letter, when it is one.
    pub(crate) fn one(&self) -> Option<&str> {
        match self.letters.as_slice() {
            [one] => Some(&one.text),
            _ => None,
        }
    }
}

impl Letter {
    fn new(facts: Facts, template: &Template) -> Result<Self, Failure> {
        Ok(Self {
            text: template.render(&facts)?,
            facts,
            file: None,
        })
    }

    /// To whom, in one line.
    fn to(&self) -> String {
        let contacts: Vec<_> = self.facts.to.iter().map(Contact::as_str).collect();
        contacts.join(", ")
    }

    /// Its row of the table.
    fn row(&self) -> String {
        let facts = &self.facts;
        let decided = &facts.decided;
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let brownout = decided.brownout.as_ref();
        let next = brownout.and_then(|brownout| brownout.next.clone());
        let tags: Vec<_> = facts.tags.iter().map(Tag::as_str).collect();
        csv::row([
            facts.client_id.as_str(),
            &self.to(),
            &or_empty(&facts.description),
            &tags.join(" "),
            facts.stage.as_str(),
            decided.phase.as_str(),
            &or_empty(&facts.certificates_end),
            &or_empty(&decided.sunset),
            &or_empty(&next),
            &or_empty(&decided.guide),
            &self.text,
        ])
    }
}

#[cfg(test)]
mod tests;
