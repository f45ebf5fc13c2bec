//! How clients come to be known, and how their keys look.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::client;
use crate::config::Period;

/// What happens with a verified certificate that is not yet known.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// How it becomes a client.
    #[schemars(required)]
    pub mode: Option<client::Enrolment>,
    /// How many certificates of one authority become known within a minute. Those beyond are told
    /// to come again.
    #[serde(default = "super::number::<6000>")]
    #[schemars(range(min = 1), extend("x-type" = "certificates a minute"))]
    pub per_minute: u32,
    /// With so many certificates known, none becomes known by itself any more: what bounds a flood of
    /// them.
    #[serde(default = "super::number::<100_000>")]
    #[schemars(range(min = 1), extend("x-type" = "certificates"))]
    pub at_most: u32,
}

/// How API keys look (`kf_live_0197f3c2…`) and how they are stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// How every key begins: 2 to 8 characters of a-z and 0-9. Never change it once keys are out.
    #[serde(default = "brand")]
    #[schemars(regex(pattern = "^[a-z0-9]{2,8}$"))]
    pub brand: String,
    /// What follows the brand: "live", "test" or another of 2 to 8 characters of a-z and 0-9. Never
    /// change it once keys are out.
    #[serde(default = "live")]
    #[schemars(regex(pattern = "^[a-z0-9]{2,8}$"))]
    pub environment: String,
    /// For how long the revocation of a key can be taken back (`keyferry key restore`): at most 7d.
    #[serde(default = "Period::seconds::<86_400>")]
    pub restore_window: Period,
    /// How many keys of one client can be used at the same time. Where there are so many, the client
    /// rotates only so that the old key ends at once, and the operator ends one first.
    #[serde(default = "super::number::<10>")]
    #[schemars(range(min = 1), extend("x-type" = "keys"))]
    pub per_client: u32,
    /// The pepper that new digests are made with. Without it: the highest version. It is for
    /// introducing a pepper: first every gateway has to know it. docs/RELOAD.md tells the steps.
    #[schemars(extend("x-type" = "version of a pepper"))]
    pub current_pepper: Option<u32>,
    /// The secrets that key digests are made with. Keep the others for as long as
    /// `keyferry store status` counts keys of theirs.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub pepper: Vec<Pepper>,
}

/// A secret that key digests are made with: without it, a stolen store gives no usable key. With it
/// lost, no key works, so keep a copy in a safe place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pepper {
    /// Its number, which every digest names.
    #[schemars(required, range(min = 1), extend("x-type" = "whole number"))]
    pub version: Option<u32>,
    /// What digests are made with.
    #[schemars(required, extend("x-type" = "secret file"))]
    pub file: Option<PathBuf>,
}

fn brand() -> String {
    "kf".to_owned()
}

fn live() -> String {
    "live".to_owned()
}
