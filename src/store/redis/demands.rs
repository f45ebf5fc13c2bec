//! What clients ask of all gateways, in Redis.
//!
//! | Key | Type | Holds |
//! |---|---|---|
//! | `kf:{kf}:demand:<n>` | hash | for an hour: client id to the number of its requests, which fades, and when it was that |
//!
//! Each hour has a hash of its own, so that whoever calls no more is forgotten.

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
    let key = format!(
        "kf:{{kf}}:demand:{}",
        clock::now().as_unix().div_euclid(HOUR)
    );
    let mut totals = Vec::with_capacity(told.len());
    for some in told.chunks(AT_ONCE) {
        let fading = Budgets::FADING.as_micros().to_string();
        let mut arguments = vec![fading, HOUR.to_string()];
        for Demand { client, requests } in some {
            arguments.push(client.to_string());
            arguments.push(requests.to_string());
        }
        let answer: Vec<f64> = link.run(script, &[&key], &arguments).await?;
        totals.extend(answer);
    }
    Ok(totals)
}
