//! `keyferry key list`.

use serde::Serialize;

use super::term::Within;
use crate::client::ClientId;
use crate::operation::Operator;
use crate::operation::page::{Page, tell_next};
use crate::operation::table::{relative_or, table};
use crate::operation::view::KeyView;
use crate::operation::{Failure, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those of this client
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Only those that can be used and end within this period, as 30d
    #[arg(long, value_name = "PERIOD")]
    expiring: Option<Within>,
    #[command(flatten)]
    page: Page,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    keys: Vec<KeyView>,
    /// After which one the next part begins, when there is one.
    next: Option<String>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let records = operator.records_or_of(args.client.as_ref()).await?;
    let keys = records.keys.values().map(|(_, record)| record);
    let now = operator.now;
    let keys = keys.filter(|key| {
        args.expiring
            .is_none_or(|within| key.usable(now).is_ok() && within.holds(key.expires_at, now))
    });
    let views = keys.map(|key| (key.id, KeyView::of(key, operator.now)));
    let (keys, next) = args.page.of(views)?;
    let report = Report { keys, next };
    if report.keys.is_empty() && !out.is_json() {
        out.note("no such key");
        return Ok(());
    }
    let header = ["key", "client", "status", "issued", "expires", "scopes"];
    let rows = report.keys.iter().map(|key| {
        [
            key.key_id.to_string(),
            key.client_id.to_string(),
            key.status.to_owned(),
            relative_or(key.issued_at, operator.now, "never"),
            relative_or(key.expires_at, operator.now, "never"),
            key.scopes(),
        ]
    });
    out.show(&report, table(header, rows))?;
    tell_next(report.next.as_deref(), out);
    Ok(())
}
