//! Rules, dashboards and runbooks, held against a real Prometheus and real gateways: what they ask is
//! there, what they show has data, and what they tell to do can be done.
//!
//! `make monitoring` runs it alone; `make pictures` runs a longer story and draws the dashboards from
//! what Prometheus answered.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
mod acts;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod files;
#[cfg(test)]
mod panels;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod scene;

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
