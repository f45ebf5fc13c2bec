//! What a gateway holds on to.

use std::time::Duration;

use crate::support::gateway::Gateway;

/// What a gateway holds, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) at: Duration,
    pub(crate) resident: u64,
    pub(crate) threads: u64,
    pub(crate) files: usize,
    pub(crate) clients: u64,
    connections: u64,
}

impl Held {
    pub(crate) fn by(gateway: &Gateway, at: Duration) -> Self {
        Self {
            at,
            resident: gateway.resident_bytes(),
            threads: gateway.threads(),
            files: gateway.open_files(),
            clients: whole(gateway.metric(r#"keyferry_directory_entries{kind="client"}"#)),
            connections: whole(gateway.metric(r#"keyferry_connections{state="open"}"#)),
        }
    }

    /// A row of the table that is printed.
    pub(crate) fn print(&self) {
        println!(
            "{:>6} s {:>9} kB {:>4} threads {:>5} files {:>5} connections {:>7} clients",
            self.at.as_secs(),
            self.resident / 1000,
            self.threads,
            self.files,
            self.connections,
            self.clients,
        );
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, as the page of metrics writes it"
)]
fn whole(count: f64) -> u64 {
    count as u64
}
