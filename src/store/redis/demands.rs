//! What clients ask of all gateways, in Redis.
//!
//! | Key | Type | Holds |
//! |---|---|---|
//! | `kf:{kf}:demand:<n>` | hash | for an hour: client id to the number of its requests, which fades, and when it was that |
//!
//! Each hour has a hash of its own, so that whoever calls no more is forgotten. Gateways whose clocks
//! differ do not hear of each other for as long after the turn of the hour.

use super::link::{Link, Script};
use crate::clock;
use crate::limit::{Budgets, Demand};
use crate::store::StoreError;

const HOUR: i64 = 3600;
/// How many clients are told of at a time: a script keeps everybody else waiting.
const AT_ONCE: usize = 500;

pub(super) async fn tell(
    link: &Link,
    script: &Script,
    told: &[Demand],
) -> Result<Vec<f64>, StoreError> {
    let hour = clock::now().as_unix().div_euclid(HOUR);
    let key = |hour: i64| format!("kf:{{kf}}:demand:{hour}");
    let keys = [key(hour), key(hour.saturating_sub(1))];
    let keys = keys.each_ref().map(String::as_str);
    let mut totals = Vec::with_capacity(told.len());
    for some in told.chunks(AT_ONCE) {
        let fading = Budgets::FADING.as_micros().to_string();
        let mut arguments = vec![fading, HOUR.to_string()];
        for Demand { client, requests } in some {
            arguments.push(client.to_string());
            arguments.push(requests.to_string());
        }
        let answer: Vec<f64> = link.run(script, &keys, &arguments).await?;
        totals.extend(answer);
    }
    Ok(totals)
}
