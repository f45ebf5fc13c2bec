//! Writing what is planned: in ordinary changes, each of which is small and whole.
//!
//! A client comes with all that it gets at once. Whatever breaks it off, what was written stays, and
//! the next run goes on where it was.

use std::time::Duration;

use super::Args;
use crate::cli::Failure;
use crate::import::{Known, Piece, Plan};
use crate::operation::records::Records;
use crate::operation::{Bar, Operator};
use crate::store::{Action, Change, CommitError, Origin, RecordId, Write};

/// How many records one change takes in, or a few more. Whoever is behind asks for a hundred changes at
/// a time.
const AT_ONCE: usize = 100;
/// How often a change is decided again that another change got ahead of, or of which the store did not
/// say whether it was made.
const TRIES: u32 = 5;
/// How long it waits the first time, and so much longer each time: a Redis may be replaced meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes everything that is planned.
pub(super) async fn apply(plan: &Plan, args: &Args, operator: &Operator) -> Result<(), Failure> {
    let all = plan.pieces().map(|piece| weight(&piece)).sum::<usize>();
    let mut batch = Batch {
        operator,
        like: change_like(args, operator),
        keeps_whole: !operator.settings.masquerading.is_empty(),
        pieces: Vec::new(),
        bar: Bar::new("writing", all as u64),
    };
    // One action is one kind of change.
    for action in [
        Action::CertificateAdded,
        Action::CertificateAnnounced,
        Action::ClientAdded,
    ] {
        batch.like.action = action;
        for piece in plan.pieces().filter(|piece| piece.action() == action) {
            batch.take(piece).await?;
        }
        batch.flush().await?;
    }
    Ok(())
}

/// About how many records a piece writes.
fn weight(piece: &Piece<'_>) -> usize {
    piece.rows().saturating_add(2)
}

fn change_like(args: &Args, operator: &Operator) -> Change {
    let said = args.edit.reason.clone();
    let reason = said.or_else(|| format!("import of {}", args.format.as_str()).parse().ok());
    let (actor, now) = (operator.actor.clone(), operator.now);
    let like = Change::new(Action::ClientAdded, actor, now, Vec::new());
    like.because(reason).caused_from(Origin::here())
}

/// What one change will write.
struct Batch<'a> {
    operator: &'a Operator,
    /// What the next change says, without writes.
    like: Change,
    keeps_whole: bool,
    pieces: Vec<Piece<'a>>,
    bar: Bar,
}

impl<'a> Batch<'a> {
    async fn take(&mut self, piece: Piece<'a>) -> Result<(), Failure> {
        let weighs = self.pieces.iter().map(weight).sum::<usize>();
        // A client is written once in a change.
        if piece.goes_on() || weighs.saturating_add(weight(&piece)) > AT_ONCE {
            self.flush().await?;
        }
        self.pieces.push(piece);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.pieces.is_empty() {
            return Ok(());
        }
        let mut last = None;
        for attempt in 0..TRIES {
            tokio::time::sleep(PAUSE.saturating_mul(attempt)).await;
            match self.attempt(attempt > 0).await {
                Ok(true) => {
                    self.done();
                    return Ok(());
                }
                Ok(false) => last = None,
                Err(Failure::Unavailable(why)) => last = Some(why),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Unavailable(match last {
            Some(why) => why.context("what was written stays; do it again, and it goes on"),
            None => anyhow::anyhow!(
                "others change the same records all the time; do it again in a moment: it goes on \
                 where it was"
            ),
        }))
    }

    /// Whether it was written; not when somebody else was quicker.
    async fn attempt(&self, anew: bool) -> Result<bool, Failure> {
        let change = Change {
            writes: self.writes(anew).await?,
            ..self.like.clone()
        };
        if change.writes.is_empty() {
            return Ok(true);
        }
        match self.operator.store.commit(&change).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(CommitError::Store(error)) => Err(self.operator.cannot_tell(&error)),
        }
    }

    fn done(&mut self) {
        let weighs = self.pieces.iter().map(weight).sum::<usize>();
        self.bar.advance(weighs as u64);
        self.pieces.clear();
    }

    /// Everything that the pieces come to, decided on what the plan knows of the store, or `anew`.
    async fn writes(&self, anew: bool) -> Result<Vec<Write>, Failure> {
        let (mut writes, operator) = (Vec::new(), self.operator);
        for piece in &self.pieces {
            let known = if piece.is_fresh() && !anew {
                Known::default()
            } else {
                known(piece, operator).await?
            };
            let written = piece.writes(known, self.keeps_whole, &operator.actor, operator.now);
            writes.extend(written.map_err(|why| {
                let id = piece.id();
                Failure::Refused(format!(
                    "{id} was changed meanwhile: {why}; do it again: what was written before stays"
                ))
            })?);
        }
        Ok(writes)
    }
}

/// What the store has of a piece.
async fn known(piece: &Piece<'_>, operator: &Operator) -> Result<Known, Failure> {
    let mut records = Records::default();
    operator.read_client(piece.id(), &mut records).await?;
    for id in piece.records() {
        operator.read(&id, &mut records).await?;
    }
    let is_there = records.clients.contains_key(piece.id());
    let holdings = is_there.then(|| records.holdings(piece.id())).transpose()?;
    let named = piece.records();
    let certificates = records.certificates.into_values();
    let is_named = |id: RecordId| named.contains(&id);
    Ok(Known {
        holdings,
        certificates: certificates
            .filter(|(_, record)| is_named(RecordId::Certificate(record.fingerprint)))
            .collect(),
        aliases: records.aliases.into_values().collect(),
    })
}
