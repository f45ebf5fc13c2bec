//! Webhooks: what others are told of, in which words, and what waits until they took it.
//!
//! **What is told is derived, not recorded.** Most of it are changes, and those stand in the store's
//! history anyway: so for each webhook the store keeps how far the history was read ([`Page::read`]), and
//! whoever reads on finds the next messages ([`told_by`]). What only the clock brings about is found in the
//! same way, by how far the clock was read ([`Page::clock`]); what goes on (a brownout, a migration that is
//! not over), by comparing what is with what was noted last. Only a conflict is seen by one gateway
//! alone, which puts the message in itself.
//!
//! **A message and the note that it was found are one write.** Both are in the webhook's
//! [mailbox](crate::store::Posting), so a gateway may die at any moment: either the message is there, or it
//! is found again. Its id is made of what it is about ([`Message::id`]), so whoever finds it again gives it
//! the same, and receivers can drop what they have.
//!
//! **One gateway keeps a webhook at a time.** The page names its keeper, who raises a number on it every
//! few seconds ([`Page::beat`]); who sees the same number for too long, by its own clock, takes its place.
//! No clocks have to agree, and two that both believe to be the keeper cannot both write, since each write
//! names the version that it follows on. What the one that was too slow still sends is a repeat.
//!
//! What is not taken is sent again with growing pauses for about a day, and is dead then: it is kept and not
//! sent, until the operator says so. Where too much waits, nothing further is read: the history is the
//! queue, and so memory and the store hold only so much.

mod because;
mod clock;
mod finished;
mod kind;
mod letter;
mod mailbox;
mod message;
mod secret;

pub use because::{newly_certified, told_by};
pub use clock::{Crossing, Place, threshold};
pub use finished::{Finished, Tally};
pub use kind::Kind;
pub use letter::{Letter, Outcome};
pub use mailbox::{MOST_DEAD, MOST_WAITING, Mailbox, Page, UnderWay};
pub use message::Message;
pub use secret::{NotASecret, Secret};
