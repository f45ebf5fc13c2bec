//! Backends whose TLS is too weak, by either library, or none: they get no byte of a request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::TransportConnector;
use pingora::http::RequestHeader;
use pingora::prelude::HttpPeer;
use pingora::protocols::http::v1::client::HttpSession;
use tokio::task::{JoinHandle, spawn_blocking};

use super::backend::template;
use super::probe::greet;
use super::{Protocol, Settings, Tls};
use crate::pki::{Issued, Kind, Spec, intermediate, leaf, root, server};
use crate::secret::Secret;
use crate::tls::hash::MessageDigest;
use crate::tls::ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod, SslVersion};
use crate::tls::x509::X509;

const BORINGSSL: bool = cfg!(feature = "boringssl");

type Adjust = fn(&mut SslAcceptorBuilder);

fn as_it_is(_: &mut SslAcceptorBuilder) {}

fn only(builder: &mut SslAcceptorBuilder, version: SslVersion) {
    builder.set_min_proto_version(Some(version)).unwrap();
    builder.set_max_proto_version(Some(version)).unwrap();
}

fn old(builder: &mut SslAcceptorBuilder) {
    only(builder, SslVersion::TLS1_1);
}

fn oldest(builder: &mut SslAcceptorBuilder) {
    only(builder, SslVersion::TLS1);
}

fn weak_proof(builder: &mut SslAcceptorBuilder) {
    let sha1 = if BORINGSSL {
        "rsa_pkcs1_sha1"
    } else {
        "RSA+SHA1"
    };
    only(builder, SslVersion::TLS1_2);
    builder.set_sigalgs_list(sha1).unwrap();
}

/// A server that takes `connections` and tells of each whether anything came over TLS.
fn serve(own: &Issued, adjust: Adjust, connections: usize) -> (SocketAddr, JoinHandle<Vec<bool>>) {
    let mut builder = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
    builder
        .set_cipher_list(if BORINGSSL { "ALL" } else { "ALL:@SECLEVEL=0" })
        .unwrap();
    builder.set_certificate(&own.x509).unwrap();
    builder.set_private_key(&own.key).unwrap();
    adjust(&mut builder);
    let acceptor = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = spawn_blocking(move || {
        let came = (0..connections).map(|_| {
            let (stream, _) = listener.accept().unwrap();
            let read = acceptor
                .accept(stream)
                .map(|mut stream| stream.read(&mut [0; 1]));
            matches!(read, Ok(Ok(1..)))
        });
        came.collect()
    });
    (address, serving)
}

fn settings(root: &Issued, address: SocketAddr) -> Settings {
    Settings {
        name: "orders".to_owned(),
        addresses: vec![address.to_string()],
        protocol: Protocol::Http1,
        tls: Some(Tls {
            ca_pem: root.pem(),
            server_name: "localhost".to_owned(),
            identity: None,
        }),
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        health_check: None,
    }
}

/// Sends a request as Pingora would; whether it was sent.
async fn send(mut peer: HttpPeer, address: SocketAddr) -> bool {
    peer._address = address.into();
    let Ok(stream) = TransportConnector::new(None).new_stream(&peer).await else {
        return false;
    };
    let request = RequestHeader::build("GET", b"/", None).unwrap();
    let mut session = HttpSession::new(stream);
    session
        .write_request_header(Box::new(request))
        .await
        .is_ok()
}

async fn is_served(root: &Issued, own: Spec, adjust: Adjust, is_good: bool) {
    let own = own.signed_by(root);
    let (address, serving) = serve(&own, adjust, if BORINGSSL { 3 } else { 2 });
    let settings = settings(root, address);
    let peer = template(&settings).unwrap();
    if BORINGSSL {
        // The control: without our demands it gets what is sent. OpenSSL has its own.
        let mut control = peer.clone();
        control.options.upstream_tls_handshake_complete_hook = None;
        let authorities = X509::stack_from_pem(&root.pem()).unwrap();
        control.options.ca = Some(Arc::new(authorities.into_boxed_slice()));
        assert!(send(control, address).await, "{:?}", own.x509);
    }
    assert_eq!(send(peer, address).await, is_good);
    let greeted = greet(&settings, address).await;
    assert_eq!(greeted.is_ok(), is_good, "{greeted:?}");
    let expected = [BORINGSSL, is_good, false];
    let expected = expected.get(usize::from(!BORINGSSL)..).unwrap();
    assert_eq!(serving.await.unwrap(), expected);
}

#[tokio::test]
async fn a_backend_whose_tls_is_too_weak_gets_nothing_with_either_library() {
    let strong = root("Backends").self_signed();
    let own = || server("localhost").kind(Kind::Rsa(2048));
    is_served(&strong, own(), as_it_is, true).await;
    is_served(&strong, own(), old, false).await;
    is_served(&strong, own(), oldest, false).await;
    is_served(&strong, own(), weak_proof, false).await;
    let short = own().kind(Kind::Rsa(1024));
    is_served(&strong, short, as_it_is, false).await;
    let sha1 = own().digest(MessageDigest::sha1());
    is_served(&strong, sha1, as_it_is, false).await;
    let short = root("Backends").kind(Kind::Rsa(1024)).self_signed();
    is_served(&short, own(), as_it_is, false).await;
}

#[tokio::test]
async fn a_backend_without_tls_is_told_from_one_whose_certificate_is_not_accepted() {
    let (trusted, other) = (root("Backends").self_signed(), root("Others").self_signed());
    let (address, serving) = serve(&server("localhost").signed_by(&other), as_it_is, 1);
    let refused = greet(&settings(&trusted, address), address)
        .await
        .unwrap_err();
    assert!(
        refused.contains("its certificate is not accepted"),
        "{refused}"
    );
    serving.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        let _ = stream.read(&mut [0; 1024]);
    });
    let refused = greet(&settings(&trusted, address), address)
        .await
        .unwrap_err();
    assert!(refused.contains("the TLS handshake failed"), "{refused}");
    serving.await.unwrap();
}

/// What the configuration refuses (`config/tests/own.rs`): OpenSSL connects to nobody with it, and BoringSSL
/// would.
#[tokio::test]
async fn with_a_weak_certificate_of_our_own_openssl_alone_connects_to_nobody() {
    let backends = root("Backends").self_signed();
    let clients = root("Clients").self_signed();
    let own = || leaf("keyferry");
    let issuing = || intermediate("Issuing");
    let below = |issuer: Spec| own().signed_by(&issuer.signed_by(&clients));
    let (short, sha1) = (Kind::Rsa(1024), MessageDigest::sha1());
    for (identity, is_good) in [
        (below(issuing()), true),
        (own().kind(short).signed_by(&clients), BORINGSSL),
        (own().digest(sha1).signed_by(&clients), BORINGSSL),
        (below(issuing().kind(short)), BORINGSSL),
        (below(issuing().digest(sha1)), BORINGSSL),
    ] {
        let (address, serving) = serve(&server("localhost").signed_by(&backends), as_it_is, 1);
        let mut settings = settings(&backends, address);
        let key = Secret::new(identity.key_pem());
        settings.tls.as_mut().unwrap().identity = Some((identity.chain_pem(), key));
        let peer = template(&settings).unwrap();
        assert_eq!(send(peer, address).await, is_good, "{:?}", identity.x509);
        assert_eq!(serving.await.unwrap(), [is_good]);
    }
}
