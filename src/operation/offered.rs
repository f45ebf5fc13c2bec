//! Which operations are offered to whoever asks over a network, and to whom.
//!
//! What is not in the list is not offered: it writes or reads files of the machine that it runs on.

use super::answers::{Answer, Or, of};
use super::words::{self, Parameter, Wrong};
use super::{
    Operation, audit, certificate, client, explain, key, letter, phase, replica, status, webhook,
    what_if,
};
use crate::doctor;

/// How much somebody may do. Each may do all that those before it may.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything but secrets.
    Viewer,
    /// Change clients, their certificates and their keys.
    Operator,
    /// Set phases, which concern many clients at once, and make the gateway read its configuration again.
    Admin,
}

impl Role {
    /// Its name, as the configuration has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// An operation that is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    /// Its name: the words of the command, joined by `/`.
    pub(crate) name: &'static str,
    /// Who may have it done at least.
    pub(crate) role: Role,
    /// Whether it may change something.
    pub(crate) changes: bool,
    /// Whether it asks others than the store, and so is done once at a time.
    pub(crate) asks_others: bool,
    /// What it answers.
    pub(crate) answer: Answer,
}

type Given = Or<certificate::Report<'static>, certificate::several::All<'static>>;
type Issued = Or<key::issue::Report<'static>, key::issue::sealed::Report>;
type Each<T> = client::several::Report<T>;
type Set = phase::show::Report<'static>;

/// All of them, by name.
pub(crate) const OFFERED: &[Offered] = &[
    look("audit/list", of::<audit::list::Report>),
    look("audit/verify", of::<audit::verify::Report>),
    change(
        "certificate/add",
        Role::Operator,
        of::<Or<Given, certificate::announce::Report>>,
    ),
    change(
        "certificate/announce",
        Role::Operator,
        of::<certificate::announce::Report>,
    ),
    change("certificate/approve", Role::Operator, of::<Given>),
    look("certificate/list", of::<certificate::list::Report>),
    change(
        "certificate/remove",
        Role::Operator,
        of::<certificate::Report<'_>>,
    ),
    change(
        "certificate/supersede",
        Role::Operator,
        of::<certificate::Report<'_>>,
    ),
    change(
        "client/add",
        Role::Operator,
        of::<Each<client::add::Added<'_>>>,
    ),
    change(
        "client/disable",
        Role::Operator,
        of::<Each<client::switch::Switched<'_>>>,
    ),
    change(
        "client/enable",
        Role::Operator,
        of::<Each<client::switch::Switched<'_>>>,
    ),
    look("client/list", of::<client::list::Report>),
    look("client/show", of::<client::show::Report>),
    change(
        "client/tag",
        Role::Operator,
        of::<Each<client::tag::Tagged<'_>>>,
    ),
    // Backends and Redis are sent requests, and backends may note that somebody tries them: whoever has that
    // done answers for it.
    Offered {
        role: Role::Operator,
        asks_others: true,
        ..look("doctor", of::<doctor::Report>)
    },
    look("explain", of::<explain::Report<'_>>),
    change("key/issue", Role::Operator, of::<Issued>),
    look("key/list", of::<key::list::Report>),
    change(
        "key/restore",
        Role::Operator,
        of::<key::restore::Report<'_>>,
    ),
    change("key/revoke", Role::Operator, of::<key::revoke::Report<'_>>),
    change("key/rotate", Role::Operator, of::<key::rotate::Report<'_>>),
    look("letter", of::<letter::Report>),
    change("phase/accept", Role::Admin, of::<Set>),
    change("phase/announce", Role::Admin, of::<Set>),
    change("phase/brownout", Role::Admin, of::<Set>),
    look("phase/list", of::<phase::list::Report>),
    change("phase/retire", Role::Admin, of::<Set>),
    change("phase/undo", Role::Admin, of::<Set>),
    look("replica/list", of::<replica::list::Report>),
    look("status", of::<status::report::Report>),
    look("webhook/dead", of::<webhook::dead::Report>),
    change(
        "webhook/forget",
        Role::Operator,
        of::<webhook::retry::Report<'_>>,
    ),
    look("webhook/list", of::<webhook::list::Report<'_>>),
    change(
        "webhook/retry",
        Role::Operator,
        of::<webhook::retry::Report<'_>>,
    ),
    change(
        "webhook/test",
        Role::Operator,
        of::<webhook::test::Report<'_>>,
    ),
    look("what-if", of::<what_if::Report>),
];

const fn look(name: &'static str, answer: Answer) -> Offered {
    Offered {
        name,
        role: Role::Viewer,
        changes: false,
        asks_others: false,
        answer,
    }
}

const fn change(name: &'static str, role: Role, answer: Answer) -> Offered {
    Offered {
        name,
        role,
        changes: true,
        asks_others: false,
        answer,
    }
}

impl Offered {
    /// The operation of this name, if it is offered.
    pub(crate) fn named(name: &str) -> Option<Self> {
        OFFERED.iter().find(|offered| offered.name == name).copied()
    }

    /// The words of the command.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        self.name.split('/')
    }

    /// What it is asked.
    pub(crate) fn parameters(self) -> Vec<Parameter> {
        words::parameters(self.words())
    }

    /// What it does: the first sentence of its help, and the rest.
    pub(crate) fn about(self) -> (String, String) {
        words::about(self.words())
    }

    /// The operation that is asked for with these parameters.
    ///
    /// # Errors
    ///
    /// [`Wrong`]: there is no such parameter, or a value is not what it should be.
    pub(crate) fn asked(
        self,
        given: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Operation, Wrong> {
        words::read(self.words(), given)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What stays at the machine, and why.
    const HERE: &[&str] = &[
        // It writes a file; who is elsewhere lists the changes.
        "audit/export",
    ];

    #[test]
    fn every_operation_is_offered_or_has_a_reason_not_to_be() {
        let all: BTreeSet<_> = words::all().into_iter().collect();
        let told = OFFERED.iter().map(|offered| offered.name);
        let told: Vec<_> = told.chain(HERE.iter().copied()).collect();
        let once: BTreeSet<_> = told.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(once.len(), told.len());
        assert_eq!(all, once);
    }

    #[test]
    fn whoever_only_looks_changes_nothing() {
        for offered in OFFERED {
            let has = |name: &str| offered.parameters().iter().any(|one| one.name == name);
            assert!(offered.changes || !has("dry_run"), "{}", offered.name);
            assert_eq!(
                offered.role > Role::Viewer,
                offered.changes || offered.asks_others,
                "{}",
                offered.name
            );
        }
    }
}
