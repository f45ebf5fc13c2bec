//! What an identity may do: routes, and what each of them accepts.

mod asking;
mod network;
mod observe;
mod route;
mod server_name;

use std::sync::Arc;

pub use asking::{Asking, Silent};
pub use network::{Network, NotANetwork};
pub use observe::{Observed, Observing, observe};
pub use route::{Accept, HostPattern, NotAHost, Route, Routes, is_below};
pub use server_name::{ByName, ClientCertificates, NamePattern, NotAName, ServerNames};

use crate::certificate::CaIndex;
use crate::clock::Timestamp;
use crate::directory::Sightings;
use crate::identity::{Caller, Identity, Proof};
use crate::key::Scope;
use crate::phase::{InForce, Step};
use crate::store::Epoch;

/// Leave to forward one request along one route. Only [`decide`] and [`open`] give it:
///
/// ```compile_fail,E0451
/// use keyferry::policy::{Permit, Route};
/// fn forged(route: std::sync::Arc<Route>) -> Permit {
///     Permit { route, identity: None }
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    identity: Option<Identity>,
}

impl Permit {
    /// The route.
    #[must_use]
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whom the backend is told of; nobody on a route that asks for no credential.
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }
}

/// Why a caller may not use a route.
#[derive(Debug)]
pub enum Denial {
    /// No credential came, or not of the kind that the route accepts.
    CredentialMissing(Accept),
    /// The route no longer accepts certificates.
    CertificateRetired,
    /// The certificate is good, but of an authority that this route does not accept; it accepts
    /// these.
    CertificateAuthority(Vec<CaIndex>),
    /// The phase of the client no longer accepts certificates.
    Retired,
    /// The phase of the client refuses certificates for now.
    Brownout {
        /// The version of the phase, for counting.
        phase: Epoch,
        /// Until when.
        until: Timestamp,
    },
    /// The key has not this scope.
    ScopeMissing(Scope),
}

/// A caller that may not use a route.
#[derive(Debug)]
pub struct Denied {
    /// Why not.
    pub why: Denial,
    /// Who it is, when somebody is known.
    pub caller: Option<Box<Identity>>,
}

impl From<Denial> for Denied {
    fn from(why: Denial) -> Self {
        Self { why, caller: None }
    }
}

/// Leave for anybody, on a route that asks for no credential. Credentials are not looked at there,
/// so such a route works while the store is down.
#[must_use]
pub fn open(route: &Arc<Route>) -> Option<Permit> {
    (route.accept == Accept::None).then(|| Permit {
        route: Arc::clone(route),
        identity: None,
    })
}

/// Whether `caller`, who was `asked` for a certificate or not, may use `route` at `now`. The
/// `sightings` tell how much of its budget a brownout has spent.
///
/// # Errors
///
/// [`Denied`].
pub fn decide(
    route: &Arc<Route>,
    caller: Caller,
    asked: bool,
    sightings: &Sightings,
    now: Timestamp,
) -> Result<Permit, Denied> {
    if let Some(permit) = open(route) {
        return Ok(permit);
    }
    let Caller::Known(identity) = caller else {
        return Err(Denial::CredentialMissing(route.accept.when(asked)).into());
    };
    let allowed = accepts(route, &identity).and_then(|()| match identity.phase() {
        Some(phase) => allows(phase, &identity, sightings, now),
        None => Ok(()),
    });
    match allowed {
        Ok(()) => Ok(Permit {
            route: Arc::clone(route),
            identity: Some(identity),
        }),
        Err(why) => Err(Denied {
            why,
            caller: Some(Box::new(identity)),
        }),
    }
}

/// Whether `phase` lets a certificate of this client pass at `now`.
fn allows(
    phase: &InForce,
    identity: &Identity,
    sightings: &Sightings,
    now: Timestamp,
) -> Result<(), Denial> {
    match &phase.step {
        Step::Accept | Step::Announce => Ok(()),
        Step::Brownout(brownout) => {
            let refusals = sightings.refusals(phase.version);
            match brownout.refuses(identity.client(), refusals, now) {
                None => Ok(()),
                Some(until) => Err(Denial::Brownout {
                    phase: phase.version,
                    until,
                }),
            }
        }
        Step::Retired => Err(Denial::Retired),
    }
}

/// Whether the route accepts what the identity was proven by, with the scopes that it has.
fn accepts(route: &Route, identity: &Identity) -> Result<(), Denial> {
    match (route.accept, identity.proof()) {
        (Accept::Key, Proof::Certificate(_)) => return Err(Denial::CertificateRetired),
        (Accept::None, _) | (Accept::Certificate, Proof::Key) => {
            return Err(Denial::CredentialMissing(route.accept));
        }
        (Accept::Certificate, Proof::Certificate(ca) | Proof::Both(ca))
        | (Accept::Either, Proof::Certificate(ca)) => {
            if !route.cas.is_empty() && !route.cas.contains(&ca) {
                return Err(Denial::CertificateAuthority(route.cas.clone()));
            }
        }
        (Accept::Key | Accept::Either, Proof::Key | Proof::Both(_)) => {}
    }
    if let Some(missing) = route
        .scopes
        .iter()
        .find(|scope| !identity.scopes().contains(scope))
    {
        return Err(Denial::ScopeMissing(missing.clone()));
    }
    Ok(())
}
