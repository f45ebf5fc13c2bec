//! The verification, attacked. Each test first shows the good twin accepted, so that what is
//! refused is refused for the reason it names.

mod attacks;
mod bounds;
mod caching;
mod errors;
mod explaining;
mod handshake;
mod lapsed;
mod library;
mod names;
#[cfg(feature = "openssl")]
mod own_rules;
mod properties;
mod revocation;
mod trust;

use super::*;
use crate::clock::Timestamp;
use crate::pki::{self, Issued};
use crate::tls;
use crate::tls::stack::Stack;
use crate::tls::x509::X509StoreContext;
use crate::tls::x509::store::X509StoreBuilder;
use crate::tls::x509::verify::X509VerifyParam;

/// A certificate authority named `clients` with no exceptions.
fn ca(roots: &[&Issued]) -> Ca {
    Ca {
        name: "clients".to_owned(),
        pem: roots.iter().flat_map(|root| root.pem()).collect(),
        allow_missing_client_auth: false,
        allow_weak: false,
        max_depth: 4,
        ..Ca::default()
    }
}

fn verifier(cas: Vec<Ca>) -> Verifier {
    Verifier::new(Trust::new(1, cas).unwrap())
}

fn chain(issued: &Issued) -> Chain {
    Chain::new(&issued.x509, issued.intermediates.clone())
}

fn moment(offset: i64) -> Timestamp {
    Timestamp::from_unix(pki::now().saturating_add(offset))
}

fn judge(verifier: &Verifier, issued: &Issued) -> Result<Verified, Rejected> {
    verifier.verify(&chain(issued), moment(0)).at(moment(0))
}

/// What the library alone says with its defaults, for a TLS client: the control that shows what
/// would happen without our demands. Its error is one number, whatever else is wrong.
fn library_alone(root: &Issued, issued: &Issued) -> Result<(), i32> {
    let mut param = X509VerifyParam::new().unwrap();
    let for_clients = tls::Demands {
        strict: false,
        strong: false,
        for_clients: true,
    };
    tls::demand(&mut param, for_clients).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.set_param(&param).unwrap();
    store.add_cert(root.x509.clone()).unwrap();
    let mut others = Stack::new().unwrap();
    for x509 in &issued.intermediates {
        others.push(x509.clone()).unwrap();
    }
    let store = store.build();
    let mut context = X509StoreContext::new().unwrap();
    let code = context.init(&store, &issued.x509, &others, |context| {
        context.verify_cert()?;
        Ok(tls::fault(context).map(|(code, _)| code))
    });
    code.unwrap().map_or(Ok(()), Err)
}

/// The reasons, gravest first, each once.
fn reasons(result: &Result<Verified, Rejected>) -> Vec<Reason> {
    let mut reasons: Vec<_> = match result {
        Ok(_) => Vec::new(),
        Err(rejected) => rejected.problems().iter().map(|p| p.reason).collect(),
    };
    assert!(reasons.is_sorted(), "gravest first: {reasons:?}");
    reasons.dedup();
    reasons
}

#[track_caller]
fn accepted(verifier: &Verifier, issued: &Issued) -> Verified {
    judge(verifier, issued)
        .unwrap_or_else(|rejected| panic!("control is refused: {:?}", rejected.problems()))
}

/// The one problem, which must have this reason.
#[track_caller]
fn refused(verifier: &Verifier, issued: &Issued, reason: Reason) -> Problem {
    let rejected = judge(verifier, issued).expect_err("it is accepted");
    assert_eq!(rejected.problems().len(), 1, "{:?}", rejected.problems());
    assert_eq!(rejected.reason(), reason, "{:?}", rejected.problems());
    rejected.problems()[0].clone()
}
