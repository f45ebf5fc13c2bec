//! How this gateway and its store are.

use maud::{Markup, html};

use super::layout::{number, number_of};
use super::{Page, Visitor};

pub(super) async fn page(visitor: Visitor) -> Page {
    let content = content(&visitor);
    Ok(visitor.show("Health", "/health", &content))
}

fn content(visitor: &Visitor) -> Markup {
    let directory = &visitor.admin.directory;
    let store = visitor.admin.live.load().operations.store.to_string();
    let rows = [
        ("Store", store, None),
        (
            "The store answers",
            yes(directory.is_reachable()),
            (!directory.is_reachable())
                .then_some("known clients are served for a bounded time; docs/STORE.md"),
        ),
        (
            "Everything is loaded",
            yes(directory.is_loaded()),
            (!directory.is_loaded()).then_some("until then, credentials get 503"),
        ),
        (
            "Last word from the store",
            format!("{} s ago", directory.age().as_secs()),
            None,
        ),
        (
            "Change that is known here",
            number(directory.watch().borrow().epoch.0),
            None,
        ),
        ("Identities", number(directory.population()), None),
        (
            "Revocations upheld against the store",
            number_of(directory.upheld()),
            (directory.upheld() > 0)
                .then_some("the store lost them, and they are being made again"),
        ),
        ("Version", env!("CARGO_PKG_VERSION").to_owned(), None),
    ];
    html! {
        table {
            caption { "This gateway, now" }
            tbody { @for (name, value, advice) in rows {
                tr {
                    th scope="row" { (name) }
                    td { (value) @if let Some(advice) = advice { " – " strong { (advice) } } }
                }
            } }
        }
        p {
            "Other gateways tell the same on theirs; Prometheus sees them all (docs/MONITORING.md). "
            "Files, certificates, backends and Redis are checked by the " a href="/doctor" { "doctor" } "."
        }
    }
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
