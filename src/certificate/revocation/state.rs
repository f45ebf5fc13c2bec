//! How it stands with the lists of an authority, whatever is asked of them: for the operator.

use std::sync::Arc;

use serde::Serialize;

use super::list::at_most;
use super::scope::same_name;
use super::signer::{chain_of, known, presented, signed};
use super::{Revocation, RevocationList};
use crate::certificate::Trust;
use crate::certificate::chain::Link;
use crate::certificate::trust::Authority;
use crate::clock::Timestamp;

/// A list, and whether it can be used.
#[derive(Clone, Debug, Serialize)]
pub struct ListState {
    /// The authority that it is for, by its name in the configuration.
    pub ca: String,
    /// What its file is known by.
    pub file: String,
    /// Whose list it is.
    pub issuer: String,
    /// How many certificates are on it.
    pub entries: usize,
    /// From when to when it holds; without an end it never does.
    #[serde(rename = "this_update")]
    pub from: Timestamp,
    /// See `from`.
    #[serde(rename = "next_update")]
    pub until: Option<Timestamp>,
    /// Whether a newer one tells of all that it tells of.
    #[serde(rename = "replaced")]
    pub is_replaced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<ListFault>,
}

/// Why a list clears nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListFault {
    /// It is not signed by anybody who is known here and may: it counts for nothing, except for
    /// clients that send the certificate of its issuer, and that is good.
    NotSigned,
    /// It has a critical extension that is not understood.
    NotUnderstood,
    /// It is over, does not hold yet, or does not say for how long it does.
    NotCurrent,
}

impl ListFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NotSigned, Self::NotUnderstood, Self::NotCurrent];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSigned => "not_signed",
            Self::NotUnderstood => "not_understood",
            Self::NotCurrent => "not_current",
        }
    }

    /// What is wrong, and what is to be done.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NotSigned => {
                "nobody whose certificate is here signed it, so it is ignored; fetch it again, or put \
                 its issuer's certificate beside it"
            }
            Self::NotUnderstood => {
                "it has a critical extension that is not understood here, so it clears nobody"
            }
            Self::NotCurrent => "it does not hold now, so it clears nobody; fetch the newest one",
        }
    }
}

impl ListState {
    /// Why it clears nobody at this moment.
    #[must_use]
    pub fn fault(&self, now: Timestamp) -> Option<ListFault> {
        let is_current = self.from <= now && self.until.is_some_and(|until| now < until);
        let late = (!is_current).then_some(ListFault::NotCurrent);
        self.fault.or(late)
    }

    /// What is wrong with it at this moment, in words; nothing when a newer one has its place.
    #[must_use]
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let fault = self.fault(now).filter(|_| !self.is_replaced)?;
        Some(format!(
            "ca {}: {}: the list of '{}': {}",
            self.ca,
            self.file,
            self.issuer,
            fault.advice()
        ))
    }
}

impl Trust {
    /// Every list of every authority, by what is known at this moment.
    #[must_use]
    pub fn lists(&self, now: Timestamp) -> Vec<ListState> {
        let asked = self.authorities.iter().filter_map(|authority| {
            let revocation = authority.revocation.as_ref()?;
            Some((authority, revocation))
        });
        asked
            .flat_map(|(authority, revocation)| states(authority, revocation, now))
            .collect()
    }

    /// The authorities whose certificates are asked about.
    pub fn asking(&self) -> impl Iterator<Item = &str> {
        let asked = self.authorities.iter();
        let asked = asked.filter(|authority| authority.revocation.is_some());
        asked.map(|authority| authority.name.as_str())
    }
}

/// A list with the name of its file, who signed it, and what is wrong with it.
type Judged<'a> = (
    &'a Arc<str>,
    &'a RevocationList,
    Option<&'a Link>,
    Option<ListFault>,
);

fn states(authority: &Authority, revocation: &Revocation, now: Timestamp) -> Vec<ListState> {
    let files = revocation.files.iter();
    let lists = files.flat_map(|(name, file)| file.lists.iter().map(move |list| (name, list)));
    let judged: Vec<_> = lists
        .map(|(name, list)| {
            let signer = signer_of(authority, revocation, list, now);
            let fault = if signer.is_none() {
                Some(ListFault::NotSigned)
            } else if list.strange {
                Some(ListFault::NotUnderstood)
            } else {
                None
            };
            (name, list, signer, fault)
        })
        .collect();
    let state = |(name, list, signer, fault): &Judged<'_>| {
        let mut good = judged.iter().filter(|(.., fault)| fault.is_none());
        // Another key of the same authority tells of other certificates.
        let is_by_same = |newer: &RevocationList| signer.is_none_or(|key| newer.is_signed_by(key));
        ListState {
            ca: authority.name.clone(),
            file: name.to_string(),
            issuer: list.issuer().to_owned(),
            entries: list.entries(),
            from: list.from(),
            until: list.until(),
            is_replaced: good.any(|(_, newer, ..)| list.is_replaced_by(newer) && is_by_same(newer)),
            fault: *fault,
        }
    };
    judged.iter().map(state).collect()
}

impl RevocationList {
    /// Whether `newer` tells of all that it tells of: a later list of the same scope, or for a delta
    /// also a complete one that goes as far.
    fn is_replaced_by(&self, newer: &Self) -> bool {
        let same = self.scope == newer.scope && same_name(&self.issuer, &newer.issuer);
        let contains = match (&self.base, &newer.base) {
            (None, None) | (Some(_), Some(_)) => self.from < newer.from,
            (Some(_), None) => match (&self.number, &newer.number) {
                (Some(number), Some(newer)) => at_most(number, newer),
                _ => false,
            },
            (None, Some(_)) => false,
        };
        same && contains
    }
}

/// Who signed the list, of those that are known and may.
fn signer_of<'a>(
    authority: &'a Authority,
    revocation: &'a Revocation,
    list: &RevocationList,
    now: Timestamp,
) -> Option<&'a Link> {
    let mut signers = known(authority, revocation).filter(|link| signed(link, list));
    signers.find(|signer| {
        let is_anchor = |anchor: &Link| anchor.fingerprint == signer.fingerprint;
        authority.anchors.iter().any(is_anchor)
            || presented(signer, revocation, &[], now)
                .is_some_and(|presented| chain_of(authority, &presented).is_some())
    })
}
