//! What a chain looks like after a real handshake.

use std::os::unix::net::UnixStream;

use super::*;
use crate::pki::{intermediate, leaf, root, server};
use crate::tls::ssl::{SslAcceptor, SslConnector, SslMethod, SslVerifyMode};

/// What a server that accepts any certificate in the handshake gets from this client.
fn presented(root: &Issued, client: Option<&Issued>) -> Option<Chain> {
    let name = server("localhost").signed_by(root);
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&name.x509).unwrap();
    acceptor.set_private_key(&name.key).unwrap();
    acceptor.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    let acceptor = acceptor.build();
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    if let Some(client) = client {
        connector.set_certificate(&client.x509).unwrap();
        connector.set_private_key(&client.key).unwrap();
        for x509 in &client.intermediates {
            connector.add_extra_chain_cert(x509.clone()).unwrap();
        }
    }
    let connector = connector.build();
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        // The stream goes back to here, so that the server does not write to a closed one.
        let client = scope.spawn(move || connector.connect("localhost", theirs).unwrap());
        let stream = acceptor.accept(ours).unwrap();
        let _open = client.join().unwrap();
        Chain::from_ssl(stream.ssl())
    })
}

#[test]
fn a_handshake_gives_the_certificate_and_what_was_sent_along() {
    let root = root("Root").self_signed();
    let issuing = intermediate("Issuing").signed_by(&root);
    let good = leaf("acme").signed_by(&issuing);
    let verifier = verifier(vec![ca(&[&root])]);
    let accepts = |chain: Chain| verifier.verify(&chain, moment(0)).at(moment(0)).is_ok();

    let whole = presented(&root, Some(&good)).unwrap();
    assert_eq!(whole.fingerprint(), chain(&good).fingerprint());
    assert_eq!(whole.intermediates(), 1);
    assert!(!whole.is_resumed());
    assert!(accepts(whole));

    let bare = presented(&root, Some(&good.clone().with(&[]))).unwrap();
    assert_eq!(bare.intermediates(), 0);
    assert!(!accepts(bare));

    let bad = leaf("acme").self_signed();
    assert!(!accepts(presented(&root, Some(&bad)).unwrap()));
    assert!(presented(&root, None).is_none());
}
