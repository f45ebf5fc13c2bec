//! A member of the fleet: a client as clients are, with its certificate, its habits and its mishaps.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::backend::MEMBER;
use super::fleet::DAY;
use crate::support::pki::{Issued, leaf};
use crate::support::wire::{Answer, Shown, Tls, Wire};

/// Where clients serve themselves.
const SELF_SERVICE: &str = "/.well-known/keyferry/";

/// How a member begins, and what it does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Situation {
    /// All is well; it fetches its key as soon as an answer says that certificates will end.
    Fine,
    /// It looks at refusals only, and so moves when a brownout comes.
    Laggard,
    /// Its certificate ends while it is in use, within the grace for claims.
    Lapsing,
    /// Its certificate ended long ago, and was never seen before.
    Lapsed,
    /// It does not send its intermediate certificate until it is told to.
    Incomplete,
    /// It renews its certificate and keeps the key pair.
    Renewing,
    /// It renews its certificate with a new key pair.
    Rekeying,
    /// It sends the key of somebody else beside its certificate.
    Confused,
    /// It is away, and comes back with the key that was sent to it, sealed.
    Offline,
    /// It goes on by certificate until that is impossible.
    Holdout,
}

impl Situation {
    /// Every situation, and how many of a hundred members are in it.
    pub(crate) const ALL: [(Self, usize); 10] = [
        (Self::Fine, 60),
        (Self::Laggard, 10),
        (Self::Lapsing, 6),
        (Self::Lapsed, 4),
        (Self::Incomplete, 5),
        (Self::Renewing, 4),
        (Self::Rekeying, 3),
        (Self::Confused, 3),
        (Self::Offline, 3),
        (Self::Holdout, 2),
    ];

    /// The refusals that are no failure, since they are what the situation is about.
    const fn expected(self) -> &'static [&'static str] {
        match self {
            Self::Fine | Self::Renewing | Self::Offline => &[],
            Self::Laggard => &["brownout"],
            Self::Lapsing | Self::Lapsed => &["certificate_expired"],
            Self::Incomplete => &["certificate_chain_incomplete"],
            Self::Rekeying => &["approval_pending"],
            Self::Confused => &["credential_conflict"],
            Self::Holdout => &["brownout", "certificate_retired", "credential_missing"],
        }
    }
}

/// What a member calls with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uses {
    Certificate,
    /// Both, for a turn: it tries its key before it lets go of its certificate.
    Both,
    Key,
}

/// One member.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) situation: Situation,
    pub(crate) shown: Shown,
    pub(crate) uses: Uses,
    pub(crate) key: Option<String>,
    /// Its next certificate, for when the word to renew comes.
    pub(crate) next: Option<Shown>,
    /// A key of somebody else, which it takes for its own.
    pub(crate) mistaken: Option<String>,
    /// It does not call yet.
    pub(crate) is_away: bool,
    /// Whether it does something about what answers announce.
    pub(crate) listens: bool,
    pub(crate) turns: usize,
    pub(crate) requests: usize,
    /// Refusals that belong to its situation, by reason.
    pub(crate) refused: BTreeMap<String, usize>,
    /// What should not have happened.
    pub(crate) failures: Vec<String>,
}

/// Where the fleet calls, and what it is told from outside.
pub(crate) struct Field {
    pub(crate) tls: Tls,
    pub(crate) gateways: [SocketAddr; 2],
    /// Whoever has a new certificate takes it.
    pub(crate) renew: AtomicBool,
}

impl Member {
    /// Calls once, at one gateway after the other, and does about the answer what such a client does.
    pub(crate) fn turn(&mut self, field: &Field) {
        if self.is_away {
            return;
        }
        self.turns += 1;
        if field.renew.load(Ordering::Relaxed)
            && let Some(next) = self.next.take()
        {
            self.shown = next;
        }
        if let Err(failure) = self.call(field) {
            self.failures.push(failure);
        }
    }

    /// It comes, with a certificate that ends in so many seconds.
    pub(crate) fn comes_with_a_short_life(&mut self, seconds: i64, authority: &Issued) {
        let spec = leaf(&self.name).dates(-DAY, seconds);
        self.shown.issued = spec.signed_by(authority);
        self.is_away = false;
    }

    fn call(&mut self, field: &Field) -> Result<(), String> {
        let to = field.gateways[self.turns % 2];
        let shown = Some(&self.shown).filter(|_| self.uses != Uses::Key);
        let mut wire = field.tls.connect(to, shown)?;
        let mut fields = vec![format!("{MEMBER}: {}", self.name)];
        let key = self.mistaken.as_ref().or(self.key.as_ref());
        if let Some(key) = key.filter(|_| self.uses != Uses::Certificate) {
            fields.push(format!("Authorization: Bearer {key}"));
        }
        let path = format!("/v1/orders?turn={}", self.turns);
        let answer = wire.call("GET", &path, &fields)?;
        self.requests += 1;
        if answer.status == 200 {
            self.accepted(&answer, &mut wire)
        } else {
            self.was_refused(&answer, &mut wire)
        }
    }

    fn accepted(&mut self, answer: &Answer, wire: &mut Wire) -> Result<(), String> {
        let announced = answer.header("deprecation").is_some();
        match self.uses {
            Uses::Certificate if announced && self.listens => self.claim(answer, wire),
            Uses::Both => {
                self.uses = Uses::Key;
                Ok(())
            }
            Uses::Key if announced => Err("an answer to a key announces an end".to_owned()),
            Uses::Certificate | Uses::Key => Ok(()),
        }
    }

    fn was_refused(&mut self, answer: &Answer, wire: &mut Wire) -> Result<(), String> {
        let reason = answer.reason();
        if !self.situation.expected().contains(&reason.as_str()) {
            return Err(format!("{:?}: {} {reason}", self.uses, answer.status));
        }
        match reason.as_str() {
            "certificate_chain_incomplete" => self.shown.whole = true,
            "credential_conflict" => {
                self.mistaken = None;
                self.uses = Uses::Certificate;
            }
            "brownout" if self.situation == Situation::Laggard => self.claim(answer, wire)?,
            "certificate_expired" if self.key.is_none() => self.claim(answer, wire)?,
            _ => {}
        }
        *self.refused.entry(reason).or_default() += 1;
        Ok(())
    }

    /// Fetches its key, and tries it beside the certificate the next time; with a certificate that
    /// has ended, the key alone.
    fn claim(&mut self, before: &Answer, wire: &mut Wire) -> Result<(), String> {
        let fields = [format!("Idempotency-Key: {}-of-the-drill", self.name)];
        let answer = wire.call("POST", &format!("{SELF_SERVICE}key"), &fields)?;
        match (answer.status, answer.json()["key"].as_str()) {
            (201, Some(key)) => {
                self.key = Some(key.to_owned());
                self.uses = if before.status == 200 {
                    Uses::Both
                } else {
                    Uses::Key
                };
                Ok(())
            }
            (401, _) if self.situation == Situation::Lapsed => Ok(()),
            _ => Err(format!("claim: {} {}", answer.status, answer.json())),
        }
    }
}
