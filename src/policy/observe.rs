//! Observing: requests of an existing gateway go on as they came, whatever would be decided.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;

use super::{Network, Route};

/// Whose requests are only observed. A gateway without one enforces, for everybody.
#[derive(Clone, Debug)]
pub struct Observing {
    /// The addresses of the existing gateway. Whoever calls from elsewhere is decided on as usual:
    /// the backend trusts what those requests say of themselves, so nobody else may send them.
    pub from: Vec<Network>,
    /// The header in which the existing gateway says who calls.
    pub identity_header: Option<HeaderName>,
}

impl Observing {
    /// The addresses, for people.
    #[must_use]
    pub fn addresses(&self) -> String {
        let from: Vec<_> = self.from.iter().map(ToString::to_string).collect();
        from.join(", ")
    }
}

/// Leave to pass one request on as it came: nothing is taken away, and nobody is vouched for.
///
/// It is no [`Permit`](super::Permit) and cannot become one, and what signs asks for a `Permit`.
/// Only [`observe`] gives it, for which an [`Observing`] is needed:
///
/// ```compile_fail,E0451
/// use keyferry::policy::{Observed, Route};
/// fn forged(route: std::sync::Arc<Route>) -> Observed {
///     Observed { route }
/// }
/// ```
///
/// ```compile_fail,E0308
/// use keyferry::{clock, policy::Observed, sign::{Message, Signer}};
/// fn vouched_for(signer: &Signer, message: &Message<'_>, observed: &Observed) {
///     let _ = signer.sign(message, observed, uuid::Uuid::nil(), clock::now());
/// }
/// ```
#[derive(Debug)]
pub struct Observed {
    route: Arc<Route>,
}

impl Observed {
    /// The route.
    #[must_use]
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }
}

/// Leave to pass a request along `route` on as it came; only for whom `observing` names.
#[must_use]
pub fn observe(
    observing: &Observing,
    route: &Arc<Route>,
    address: Option<IpAddr>,
) -> Option<Observed> {
    let address = address?;
    let named = observing.from.iter().any(|from| from.contains(address));
    named.then(|| Observed {
        route: Arc::clone(route),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Accept, HostPattern};

    #[test]
    fn only_requests_of_the_existing_gateway_are_observed() {
        let route = Arc::new(Route {
            name: "orders".to_owned(),
            host: HostPattern::Any,
            path: "/".to_owned(),
            backend: 0,
            accept: Accept::Either,
            scopes: Vec::new(),
            cas: Vec::new(),
        });
        let observing = Observing {
            from: vec!["10.0.0.5".parse().unwrap(), "::1".parse().unwrap()],
            identity_header: None,
        };
        let observed = |from: &str| observe(&observing, &route, from.parse().ok()).is_some();
        assert!(observed("10.0.0.5") && observed("::1"));
        assert!(!observed("10.0.0.6") && !observed("no address at all"));
    }
}
