//! Where clients, certificates and keys are remembered.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClientTls;
use crate::config::Period;

/// Where clients, certificates and keys are remembered. For "redis", one of `url`, `sentinel` and
/// `cluster` is required. docs/STORE.md has more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// For one gateway, or for several that share.
    #[schemars(required)]
    pub kind: Option<StoreKind>,
    /// Required for "embedded". The file; its folder must exist.
    #[schemars(extend("x-type" = "file"))]
    pub path: Option<PathBuf>,
    /// Redis at a fixed address: `redis://USER@HOST:PORT/DATABASE`, or `rediss://` with TLS. A user
    /// may stand in it, a password not.
    #[schemars(regex(pattern = "^rediss?://"), extend("x-type" = "URL"))]
    pub url: Option<String>,
    /// The user of Redis, where no URL names one. Without it: the default user.
    #[schemars(extend("x-type" = "text"))]
    pub user: Option<String>,
    /// A file with the password of that user.
    #[schemars(extend("x-type" = "file with a password"))]
    pub password_file: Option<PathBuf>,
    /// Redis whose primary sentinels know.
    pub sentinel: Option<Sentinel>,
    /// A Redis cluster.
    pub cluster: Option<Cluster>,
    /// TLS with Redis. Without it, plain text.
    pub tls: Option<ClientTls>,
    /// How long a connection to Redis may take, with TLS and login. Without it: "300ms".
    pub connect_timeout: Option<Period>,
    /// How long an answer of Redis may take. Without it: "1s".
    pub response_timeout: Option<Period>,
    /// For how long known clients are served without a word from the store: 5s to 24h. What is
    /// revoked meanwhile is accepted for as long.
    #[serde(default = "Period::seconds::<600>")]
    pub max_stale: Period,
    /// For "redis". A file that the gateway keeps, sealed, to start from while Redis cannot be
    /// reached; its folder must exist. docs/RELIABILITY.md has more.
    #[schemars(extend("x-type" = "file"))]
    pub snapshot: Option<PathBuf>,
    /// The secrets that records and events are authenticated with, so that nobody is believed who can
    /// write to the store and no more. The first is used for what is written; keep the others until
    /// nothing is left that was written with them. At least one for "redis", unless
    /// `unsigned_records` is "accept".
    #[serde(default)]
    pub record_keys: Vec<RecordKey>,
    /// About how many events are kept: the trail of changes (docs/AUDIT.md says what they cost), and
    /// what a gateway that was away can catch up by.
    #[serde(default = "super::number::<1_000_000>")]
    #[schemars(range(min = 1000), extend("x-type" = "events"))]
    pub events_kept: u32,
    /// What becomes of records and events without a MAC, as versions before 0.1.0 wrote them.
    /// With "accept", whoever can write to the store is believed.
    #[serde(default)]
    pub unsigned_records: UnsignedRecords,
}

/// A secret that records and events are authenticated with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordKey {
    /// Its number, which everything that is written with it names.
    #[schemars(required, range(min = 1), extend("x-type" = "whole number"))]
    pub version: Option<u32>,
    /// What MACs are made with. Nobody may have it who can only write to the store.
    #[schemars(required, extend("x-type" = "secret file"))]
    pub file: Option<PathBuf>,
}

/// What becomes of records and events without a MAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnsignedRecords {
    /// They are refused.
    #[default]
    Refuse,
    /// They are believed.
    Accept,
}

/// The kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// One file beside the gateway.
    Embedded,
    /// Redis: a server, a primary with sentinels, or a cluster.
    Redis,
}

/// Redis whose primary sentinels know.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// Host and port of every sentinel.
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-type" = "list of hosts and ports"))]
    pub addresses: Vec<String>,
    /// What the sentinels call the primary.
    #[schemars(required, extend("x-type" = "text"))]
    pub master: Option<String>,
    /// The number of the database.
    #[serde(default)]
    #[schemars(extend("x-type" = "whole number"))]
    pub database: u16,
    /// The user of the sentinels themselves. Without it: the default user.
    #[schemars(extend("x-type" = "text"))]
    pub user: Option<String>,
    /// A file with the password for the sentinels themselves.
    #[schemars(extend("x-type" = "file with a password"))]
    pub password_file: Option<PathBuf>,
    /// Whether the sentinels speak TLS, too, where Redis does.
    #[serde(default = "yes")]
    pub tls: bool,
}

/// A Redis cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Host and port of some of its nodes; the others are learned from them.
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-type" = "list of hosts and ports"))]
    pub addresses: Vec<String>,
}

const fn yes() -> bool {
    true
}
