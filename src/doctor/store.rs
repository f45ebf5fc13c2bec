//! The store itself: whether it can be read, and whether what is in it is believed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::config::{Config, StoreSettings};
use crate::store::{Page, RecordKeyVersion, Reseal, Resealed, Store, StoreError};
use crate::webhook;

/// How long counting the records may take.
const COUNTING: Duration = Duration::from_secs(20);

pub(super) async fn look(
    config: &Config,
    open: impl AsyncFnOnce() -> anyhow::Result<Arc<dyn Store>>,
) -> Vec<Finding> {
    let check = Check::StoreReads;
    if let StoreSettings::Embedded(settings) = &config.store
        && !settings.path.exists()
    {
        let advice = "the gateway makes it when it starts; if there was one, name its file";
        let found = format!("there is none yet at {}", settings.path.display());
        return vec![check.note(found, advice)];
    }
    let failed = |why: String| {
        let advice = "see that it runs and may be opened by this user; then look again";
        vec![check.error(why, advice).of(config.store.to_string())]
    };
    let store = match open().await {
        Ok(store) => store,
        Err(error) => return failed(format!("{error:#}")),
    };
    match store.head().await {
        Ok(head) => {
            let mut findings = vec![
                check
                    .ok(format!("{} changes so far", head.epoch))
                    .of(config.store.to_string()),
                records(&*store, config).await,
            ];
            for webhook in &config.webhooks {
                let found = store.mailbox(&webhook.name).await;
                findings.push(told(found).of(&webhook.name));
            }
            findings
        }
        Err(error) => failed(error.to_string()),
    }
}

/// How a webhook is, by what a gateway noted last of it.
fn told(found: Result<Option<Page>, StoreError>) -> Finding {
    let check = Check::StoreWebhooks;
    let page = match found {
        Ok(Some(page)) => webhook::Page::read(&page),
        Ok(None) => {
            let advice = "a gateway of this configuration begins to tell it within seconds";
            return check.note("no gateway has told it anything yet", advice);
        }
        Err(error) => {
            let advice = "see that the store answers; then look again";
            return check.error(format!("cannot be read: {error}"), advice);
        }
    };
    let Some(page) = page else {
        let advice =
            "find out who wrote it (docs/STORE.md, \"Who is believed\"); a gateway begins anew";
        return check.error("what was noted of it is not believed", advice);
    };
    let (waiting, dead) = (page.waiting, page.dead);
    let why = page
        .failed
        .map_or_else(String::new, |(at, why)| format!("; {at}: {why}"));
    let found = format!("{waiting} messages wait, {dead} are dead");
    if page.gone.is_some() {
        let advice = "take it out of the configuration, or make it take messages, then: keyferry webhook retry";
        check.warning(format!("{found}; it wants nothing any more (410)"), advice)
    } else if dead > 0 {
        check.warning(
            format!("{found}{why}"),
            "see why it does not take them (keyferry webhook test), then: keyferry webhook retry, or forget",
        )
    } else {
        check.ok(found)
    }
}

async fn records(store: &dyn Store, config: &Config) -> Finding {
    let check = Check::StoreRecords;
    match timeout(COUNTING, Resealed::all(store, Reseal::Count, |_| {})).await {
        Ok(Ok(found)) => {
            let keys = config.store.record_keys();
            judge(&found, keys.current(), keys.accepts_unsigned())
        }
        Ok(Err(error)) => check.error(
            format!("cannot be counted: {error}"),
            "see that the store answers; then look again",
        ),
        Err(_) => check.note(
            format!("not counted within {COUNTING:?}"),
            "count them with: keyferry store status",
        ),
    }
}

fn judge(found: &Resealed, current: Option<RecordKeyVersion>, accepts_unsigned: bool) -> Finding {
    let check = Check::StoreRecords;
    let sum = |of: &BTreeMap<RecordKeyVersion, u64>| of.values().sum::<u64>();
    let all = sum(&found.by_key)
        .saturating_add(found.unsigned)
        .saturating_add(found.refused);
    if found.refused > 0 {
        return check
            .error(
                format!("{} of {all} are not believed", found.refused),
                "find out who wrote them (keyferry audit verify), then restore or delete them: \
                 docs/STORE.md, \"Who is believed\"",
            )
            .expecting("0");
    }
    let by_others = found
        .by_key
        .iter()
        .filter(|(key, _)| current != Some(**key));
    let by_others: u64 = by_others.map(|(_, number)| number).sum();
    let reseal = "sign them with the current record key: keyferry store reseal";
    match (current, found.unsigned) {
        (Some(_), 1..) if accepts_unsigned => check.warning(
            format!("{} of {all} are not signed", found.unsigned),
            reseal,
        ),
        (Some(_), _) if by_others > 0 => check.note(
            format!("{by_others} of {all} are signed with an older record key"),
            reseal,
        ),
        _ => check.ok(format!("{all}, all believed")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_webhook_is_judged_by_what_it_did_not_take() {
        let judged = |change: fn(&mut webhook::Page)| {
            let now = crate::clock::Timestamp::from_unix(1);
            let mut page = webhook::Page::new(crate::store::Head::default(), now);
            page.failed = Some((now, "it answers 401".to_owned()));
            change(&mut page);
            let text = serde_json::to_string(&page).unwrap();
            let found = told(Ok(Some(Page {
                version: 1,
                text: Some(text),
            })));
            (found.outcome, found.found)
        };
        assert_eq!(judged(|page| page.waiting = 2).0, Outcome::Ok);
        let (outcome, found) = judged(|page| page.dead = 2);
        assert_eq!(outcome, Outcome::Warning);
        assert!(found.ends_with("it answers 401"), "{found}");
        let gone = judged(|page| page.gone = Some(crate::clock::Timestamp::from_unix(1)));
        assert_eq!(gone.0, Outcome::Warning);
        let unbelieved = Page {
            version: 1,
            text: None,
        };
        assert_eq!(told(Ok(Some(unbelieved))).outcome, Outcome::Error);
        assert_eq!(told(Ok(None)).outcome, Outcome::Note);
    }

    #[test]
    fn records_are_judged_by_who_signed_them() {
        let found = |by_key: &[(u32, u64)], unsigned, refused| {
            let found = Resealed {
                by_key: by_key.iter().copied().collect(),
                unsigned,
                refused,
                ..Resealed::default()
            };
            judge(&found, Some(2), unsigned > 0).outcome
        };
        assert_eq!(found(&[(2, 5)], 0, 0), Outcome::Ok);
        assert_eq!(found(&[(2, 5), (1, 1)], 0, 0), Outcome::Note);
        assert_eq!(found(&[(2, 5)], 1, 0), Outcome::Warning);
        assert_eq!(found(&[(2, 5)], 0, 1), Outcome::Error);
    }
}
