//! What the store remembers of a target's phases.

use serde::{Deserialize, Serialize};

use super::{Setting, Target};

/// How many former settings are kept below the present one.
pub const FORMER_KEPT: usize = 32;

/// The settings of one target. Records are never deleted: one without a setting is as none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseRecord {
    /// Whom they are for.
    pub target: Target,
    /// The present one last.
    settings: Vec<Setting>,
    /// Whether older settings than these are no longer kept.
    #[serde(default)]
    shortened: bool,
}

impl PhaseRecord {
    /// A record without a setting.
    #[must_use]
    pub const fn new(target: Target) -> Self {
        Self {
            target,
            settings: Vec::new(),
            shortened: false,
        }
    }

    /// The setting that holds now, if any does.
    #[must_use]
    pub fn present(&self) -> Option<&Setting> {
        self.settings.last()
    }

    /// The settings before, the latest first.
    pub fn former(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter().rev().skip(1)
    }

    /// The record with `setting` in force, above the ones before it.
    pub(super) fn with(mut self, setting: Setting) -> Self {
        self.settings.push(setting);
        let too_many = self
            .settings
            .len()
            .saturating_sub(FORMER_KEPT.saturating_add(1));
        if too_many > 0 {
            self.settings.drain(..too_many);
            self.shortened = true;
        }
        self
    }

    /// The record without the present setting; nothing when what was before is not known.
    pub(super) fn without(mut self) -> Option<Self> {
        self.settings.pop()?;
        (!self.shortened || !self.settings.is_empty()).then_some(self)
    }
}
