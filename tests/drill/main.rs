//! A whole fleet moves from certificates to keys, under steady traffic, through two gateways on one
//! Redis; every member with real TLS, and every kind of mishap among them.
//!
//! `make test` drills 300 clients, `make drill` 5,000 (`KEYFERRY_DRILL_CLIENTS`), and prints a
//! report. Both as they are built for the other tests: OpenSSL is optimised there too, and
//! optimising the rest takes longer than it saves.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
mod acts;
#[cfg(test)]
mod backend;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod member;
#[cfg(test)]
mod report;
#[cfg(test)]
mod story;

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
