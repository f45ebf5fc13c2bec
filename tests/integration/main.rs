//! Drives the real program with real clients, backends and stores.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod basics;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod harness;
mod hostile;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod replicas;
