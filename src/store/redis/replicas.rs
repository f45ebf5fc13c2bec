//! The gateways that share the store, in Redis.
//!
//! | Key | Type | Holds |
//! |---|---|---|
//! | `kf:{kf}:replicas:<n>` | hash | of an hour: the name of a gateway to the seconds since 1970, a space, and what it told of itself then, by the clock of Redis |
//!
//! Each hour has a hash of its own, which expires: so gateways that are gone are forgotten without a further
//! right of the user of Redis. Gateways whose clocks differ by more than an hour may not hear of each other.

use std::collections::BTreeMap;

use super::link::{Link, Script};
use super::read;
use crate::clock;
use crate::store::replica::{Heard, REPLICAS_KEPT, Replica};
use crate::store::{Legible, StoreError};

/// How long a hash is for, and how long it is kept after its last entry.
const HOUR: i64 = 3600;

fn key_of(hour: i64) -> String {
    format!("kf:{{kf}}:replicas:{hour}")
}

fn hour() -> i64 {
    clock::now().as_unix().div_euclid(HOUR)
}

/// Keeps what a gateway tells of itself.
pub(super) async fn announce(
    link: &Link,
    script: &Script,
    replica: &Replica,
) -> Result<(), StoreError> {
    let told = serde_json::to_string(replica)
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let arguments = [replica.id.clone(), told, HOUR.to_string()];
    let _: u8 = link.run(script, &[&key_of(hour())], &arguments).await?;
    Ok(())
}

/// The gateways that told of themselves lately, and the names of those that told what cannot be read.
pub(super) async fn all(link: &Link) -> Result<Legible<Heard, String>, StoreError> {
    let mut session = link.session().await?;
    let (now, _): (u64, u64) = session.ask(&redis::cmd("TIME")).await?;
    let (mut told, here) = (BTreeMap::<_, Option<Heard>>::new(), hour());
    // Also the next one: a clock there may be ahead of this one.
    for hour in [-1, 0, 1].map(|by| here.saturating_add(by)) {
        read::all(&mut session, &key_of(hour), &mut |id, stored| {
            let heard = heard(id, stored, now);
            let known = told.entry(id.to_owned()).or_default();
            // What it told last counts.
            let ago = |heard: &Option<Heard>| heard.as_ref().map_or(u64::MAX, |heard| heard.ago);
            if ago(&heard) <= ago(known) {
                *known = heard;
            }
            Ok(())
        })
        .await?;
    }
    let mut legible = Legible::default();
    for (id, heard) in told {
        match heard {
            Some(heard) if heard.ago <= REPLICAS_KEPT.as_secs() => legible.entries.push(heard),
            Some(_) => {}
            None => legible.damaged.push(Some(id)),
        }
    }
    Ok(legible)
}

fn heard(id: &str, stored: &[u8], now: u64) -> Option<Heard> {
    let space = stored.iter().position(|byte| *byte == b' ')?;
    let (at, told) = stored.split_at_checked(space)?;
    let at: u64 = std::str::from_utf8(at).ok()?.parse().ok()?;
    Some(Heard {
        replica: Replica::read(id, told).ok()?,
        ago: now.saturating_sub(at),
    })
}
