//! Drives the real program with real clients, backends and stores.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod activity;
#[cfg(test)]
mod api;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authenticate;
#[cfg(test)]
mod authenticate_attacks;
#[cfg(test)]
mod authenticate_careless;
#[cfg(test)]
mod authenticate_fronts;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod balancer;
#[cfg(test)]
mod basics;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod claim;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod degraded;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod ed25519;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod foresight;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod fronts;
#[cfg(test)]
mod grace;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod import;
#[cfg(test)]
mod imported;
#[cfg(test)]
mod key_check;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod kubernetes;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod masquerade;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod peppers;
#[cfg(test)]
mod phases;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod record_keys;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod reload_command;
#[cfg(test)]
mod reload_live;
#[cfg(test)]
mod reload_settings;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod resumption;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server_names;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod several;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod signature;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tracing;
#[cfg(test)]
mod troubleshooting;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod verify_attacks;
#[cfg(test)]
mod verify_fronts;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod webhooks_faults;
#[cfg(test)]
mod webhooks_store;
