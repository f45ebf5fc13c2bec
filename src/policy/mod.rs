//! What an identity may do: routes, and what each of them accepts.

mod network;
mod observe;
mod route;

use std::sync::Arc;

pub use network::{Network, NotANetwork};
pub use observe::{Observed, Observing, observe};
pub use route::{Accept, HostPattern, NotAHost, Route, Routes};

use crate::identity::{Caller, Identity, Proof};
use crate::key::Scope;

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
    /// The certificate is good, but of an authority that this route does not accept.
    CertificateAuthority,
    /// The key has not this scope.
    ScopeMissing(Scope),
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

/// Whether `caller` may use `route`.
///
/// # Errors
///
/// [`Denial`].
pub fn decide(route: &Arc<Route>, caller: Caller) -> Result<Permit, Denial> {
    let identity = match caller {
        Caller::Known(identity) => identity,
        Caller::Nobody => return open(route).ok_or(Denial::CredentialMissing(route.accept)),
    };
    match (route.accept, identity.proof()) {
        (Accept::None, _) => return open(route).ok_or(Denial::CredentialMissing(route.accept)),
        (Accept::Key, Proof::Certificate(_)) => return Err(Denial::CertificateRetired),
        (Accept::Certificate, Proof::Key) => return Err(Denial::CredentialMissing(route.accept)),
        (Accept::Certificate, Proof::Certificate(ca) | Proof::Both(ca))
        | (Accept::Either, Proof::Certificate(ca)) => {
            if !route.cas.is_empty() && !route.cas.contains(&ca) {
                return Err(Denial::CertificateAuthority);
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
    Ok(Permit {
        route: Arc::clone(route),
        identity: Some(identity),
    })
}
