//! One run of the library's own verification, under demands that are stated one by one.

use std::sync::Arc;

use super::chain::Link;
use super::trust::Authority;
use super::{Fingerprint, strict};
use crate::clock::Timestamp;
use crate::tls;
use crate::tls::error::ErrorStack;
use crate::tls::stack::Stack;
use crate::tls::x509::store::{X509Store, X509StoreBuilder};
use crate::tls::x509::verify::{X509VerifyFlags, X509VerifyParam};
use crate::tls::x509::{X509, X509StoreContext};

/// More than any chain that [`super::Chain`] lets through.
const ANY_DEPTH: i32 = 16;

/// What a peer presented, read and within bounds.
pub(super) struct Presented<'a> {
    pub(super) leaf: Link,
    pub(super) sent: Vec<Link>,
    /// Everything that may serve to build a chain: what was sent, and for a resumed session what
    /// earlier chains left. None of it is trusted.
    pub(super) others: Stack<X509>,
    /// Intermediates of earlier good chains.
    pub(super) known: &'a [Arc<Link>],
    pub(super) resumed: bool,
    pub(super) now: Timestamp,
}

/// What a run demands beside an unbroken chain of signatures to an anchor.
#[derive(Clone, Copy)]
pub(super) struct Demands {
    /// Every certificate of the chain is valid at this moment.
    pub(super) valid_at: Option<Timestamp>,
    pub(super) rules: tls::Demands,
    /// So many certificates at most between the client's and the anchor.
    pub(super) depth: Option<u32>,
}

impl Demands {
    /// Nothing but the chain itself.
    pub(super) const LEAST: Self = Self {
        valid_at: None,
        rules: tls::Demands {
            strict: false,
            strong: false,
            for_clients: false,
        },
        depth: None,
    };

    /// All there is, less the exceptions that the authority was given.
    pub(super) const fn of(authority: &Authority, valid_at: Option<Timestamp>) -> Self {
        Self {
            valid_at,
            rules: tls::Demands {
                strict: true,
                strong: !authority.allow_weak,
                for_clients: true,
            },
            depth: Some(authority.max_depth),
        }
    }
}

/// What the library stopped at. It stops at the first thing it finds, and order is its own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: i32,
    pub(super) depth: u32,
    pub(super) text: &'static str,
}

impl Fault {
    const NO_RUN: Self = Self {
        code: 1,
        depth: 0,
        text: "the verification could not be carried out",
    };
}

/// How a run went, and the chain as far as it was built: the client's certificate first.
pub(super) struct Run {
    pub(super) built: Vec<X509>,
    pub(super) outcome: Result<(), Fault>,
}

/// Verifies what was presented under one authority.
pub(super) fn run(authority: &Authority, demands: Demands, presented: &Presented<'_>) -> Run {
    let (leaf, others) = (&presented.leaf.x509, &presented.others);
    let result = store(authority, demands, presented.now).and_then(|store| {
        X509StoreContext::new()?.init(&store, leaf, others, |context| {
            let good = context.verify_cert()?;
            let built = context
                .chain()
                .map(|chain| chain.iter().map(ToOwned::to_owned));
            let fault = tls::fault(context).map(|(code, text)| Fault {
                code,
                depth: context.error_depth(),
                text,
            });
            Ok(Run {
                built: built.map(Iterator::collect).unwrap_or_default(),
                outcome: match fault {
                    None if good => Ok(()),
                    fault => Err(fault.unwrap_or(Fault::NO_RUN)),
                },
            })
        })
    });
    // What is left in the thread's error queue would be taken for an error of the connection.
    let _ = ErrorStack::get();
    let mut run = result.unwrap_or(Run {
        built: Vec::new(),
        outcome: Err(Fault::NO_RUN),
    });
    // Where the library demands all of it, its word is the last one. Where it does not look, it
    // stopped at another thing.
    if !tls::DEMANDS_ALL
        && let Some(fault) = strict::broken(&run.built, demands.rules)
    {
        run.outcome = Err(fault);
    }
    run
}

/// A store that holds this authority's anchors and nothing else. It is made anew for each run,
/// since the safe bindings take the time and the demands only here; that costs microseconds.
fn store(authority: &Authority, demands: Demands, now: Timestamp) -> Result<X509Store, ErrorStack> {
    let mut param = X509VerifyParam::new()?;
    let mut flags = X509VerifyFlags::TRUSTED_FIRST | X509VerifyFlags::POLICY_CHECK;
    match demands.valid_at {
        // OpenSSL lets a set time prevail over NO_CHECK_TIME, so it is one or the other.
        Some(moment) => param.set_time(moment.as_unix()),
        None => flags |= tls::NO_CHECK_TIME,
    }
    if authority.partial {
        flags |= X509VerifyFlags::PARTIAL_CHAIN;
    }
    tls::set_flags(&mut param, flags)?;
    tls::demand(&mut param, demands.rules)?;
    param.set_depth(demands.depth.map_or(ANY_DEPTH, |depth| {
        i32::try_from(depth).unwrap_or(ANY_DEPTH).min(ANY_DEPTH)
    }));
    let mut builder = X509StoreBuilder::new()?;
    builder.set_param(&param)?;
    let anchors = &authority.anchors;
    for anchor in anchors.iter().filter(|anchor| anchor.counts(anchors, now)) {
        builder.add_cert(anchor.x509.clone())?;
    }
    Ok(builder.build())
}

/// The certificates of a built chain, as far as they can be read.
pub(super) fn links(built: &[X509]) -> Vec<Link> {
    built
        .iter()
        .map_while(|x509| Link::read(x509).ok())
        .collect()
}

pub(super) fn ends_in_anchor(authority: &Authority, links: &[Link]) -> bool {
    let is = |print: Fingerprint| authority.anchors.iter().any(|a| a.fingerprint == print);
    links.last().is_some_and(|last| is(last.fingerprint))
}
