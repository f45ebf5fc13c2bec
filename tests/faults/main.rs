//! Every fault of a Redis and of the way to it that we know how to make, under steady load: a table of
//! what clients saw. Each test is a row of docs/RELIABILITY.md; `make faults` runs them and prints
//! the table.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
mod clock;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod data;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod listed;
#[cfg(test)]
mod load;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod network;
#[cfg(test)]
mod people;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod row;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod server;
#[cfg(test)]
mod soak;

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
