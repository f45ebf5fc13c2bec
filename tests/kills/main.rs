//! Nothing that was acknowledged is lost, whenever anybody is killed: the embedded store, a gateway,
//! its Redis. Each is killed (`kill -9`) again and again, at moments that chance gives.
//!
//! `make test` kills a few times, `make kills` 200 times each (`KEYFERRY_KILLS`), and prints what
//! came of it. `KEYFERRY_SEED` repeats the choices of a run, though not the machine's own moments.
//! A kill is no power cut: what the system was given to write is written.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
mod embedded;
#[cfg(test)]
mod gateway;
#[cfg(test)]
#[path = "../../benches/compare/identities.rs"]
mod identities;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod life;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod whole;

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

/// How often to kill: as told, or as often as is quick.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test's only way to be told how long to go on"
)]
fn rounds(quick: u64) -> u64 {
    let told = std::env::var("KEYFERRY_KILLS").ok();
    told.map_or(quick, |rounds| rounds.parse().expect("a number of rounds"))
}
