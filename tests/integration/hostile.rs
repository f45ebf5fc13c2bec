//! Attacks that a hostile reading of the program found.

use std::net::SocketAddr;
use std::time::Duration;

use openssl::bn::{BigNum, BigNumContext};
use openssl::ecdsa::EcdsaSig;
use openssl::x509::X509;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::pki::{Issued, leaf, root, tlv};
use crate::support::redis::RedisServer;
use crate::support::wait_for;
use crate::support::world::{HOST, World};

const KEY: &str = "/.well-known/keyferry/key";

/// C6: whoever stole the certificate of a client that has moved gets nothing, does not even cost
/// the owner its key, and is noticed.
#[test]
fn c6_a_stolen_certificate_does_not_take_over_a_client_that_has_moved() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let stolen = world.client("alice");
    let claim = || gateway.curl(KEY).certificate(&stolen).method("POST").send();
    let key = gateway.claim_key(&stolen);
    let one = format!(
        "/.well-known/keyferry/keys/{}",
        key.split('_').nth(2).unwrap()
    );

    claim().expect_refusal(409, "key_already_issued");
    assert!(
        gateway
            .log()
            .contains("a claim for a key that was fetched before")
    );
    let delete = gateway.curl(&one).certificate(&stolen).method("DELETE");
    delete.send().expect_refusal(403, "key_required");
    gateway.curl("/").key(&key).send().expect_status(200);

    gateway
        .curl(&one)
        .key(&key)
        .method("DELETE")
        .send()
        .expect_status(204);
    gateway
        .curl("/")
        .key(&key)
        .send()
        .expect_refusal(401, "key_invalid");
    claim().expect_refusal(409, "key_already_issued");
}

/// Of a certificate that is signed with ECDSA anybody can make a second one, as good and with
/// another fingerprint. It must not bring back whom the operator shut out.
#[test]
fn k11_the_twin_of_a_certificate_does_not_enrol_as_somebody_new() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let twin = world.files(twin(&alice.issued, &world.clients));
    assert_ne!(
        alice.issued.x509.to_der().unwrap(),
        twin.issued.x509.to_der().unwrap()
    );
    // The attack: to whoever has not seen the first form, the second is a good certificate.
    let unseen = Gateway::start(&world, &backend);
    unseen
        .curl("/")
        .certificate(&twin)
        .send()
        .expect_status(200);

    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    gateway
        .curl("/")
        .certificate(&twin)
        .send()
        .expect_refusal(403, "client_unregistered");
    let client = backend.last().header("x-client-id").to_owned();
    gateway
        .cli(&["client", "disable", &client])
        .expect_success();
    for identity in [&alice, &twin] {
        wait_for("the gateway to follow", || {
            let answer = gateway.curl("/").certificate(identity).send();
            (answer.status == 403).then_some(())
        });
    }
    unseen
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_refusal(403, "client_unregistered");
}

/// The other form of a certificate: its signature (r, s) as (r, n - s).
pub(super) fn twin(issued: &Issued, authority: &Issued) -> Issued {
    let mut context = BigNumContext::new().unwrap();
    let (mut order, mut other) = (BigNum::new().unwrap(), BigNum::new().unwrap());
    let key = authority.x509.public_key().unwrap().ec_key().unwrap();
    key.group().order(&mut order, &mut context).unwrap();
    let signature = EcdsaSig::from_der(issued.x509.signature().as_slice()).unwrap();
    other.checked_sub(&order, signature.s()).unwrap();
    let other = EcdsaSig::from_private_components(signature.r().to_owned().unwrap(), other);
    let other = other.unwrap().to_der().unwrap();

    let der = issued.x509.to_der().unwrap();
    let old = issued.x509.signature().as_slice();
    let signed = &der[4..der.len() - old.len() - 3];
    let bits = tlv(3, &[&[0], other.as_slice()].concat());
    let x509 = X509::from_der(&tlv(0x30, &[signed, bits.as_slice()].concat())).unwrap();
    let mut made = issued.clone();
    made.x509 = x509;
    made
}

/// A Redis that lost changes counts again from epochs that the gateway has seen. A revocation among
/// the changes that take these numbers must not pass for something that is known.
#[tokio::test(flavor = "multi_thread")]
async fn k8_a_revocation_after_redis_lost_changes_is_not_missed() {
    let (world, backend) = (World::new(), Backend::start());
    let mut redis = RedisServer::start(&[]).await;
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .redis(&redis.url())
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    let id = key.split('_').nth(2).unwrap();
    let by_key = || gateway.curl("/").key(&key).send().status;
    redis::cmd("SAVE").exec(&mut redis.connection()).unwrap();
    gateway.cli(&["client", "add", "lost"]).expect_success();
    assert_eq!(by_key(), 200);
    let epoch = || gateway.metric("keyferry_store_epoch");
    wait_for("the change to arrive", || (epoch() > 2.5).then_some(()));

    // The gateway sees nothing between the loss and the revocation, which becomes change 3 again.
    gateway.signal("STOP");
    redis.stop();
    assert!(redis.start_again().await);
    gateway.cli(&["key", "revoke", id]).expect_success();
    gateway.signal("CONT");
    wait_for("the key to be refused", || (by_key() == 401).then_some(()));
}

/// Reserved paths reach no backend, however they are written.
#[test]
fn a_reserved_path_in_disguise_reaches_no_backend() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    gateway
        .curl("/.well-known/other")
        .certificate(&alice)
        .send()
        .expect_status(200);
    let before = backend.requests().len();
    for path in [
        "/.well-known//keyferry/whoami",
        "/%2ewell-known/keyferry/whoami",
        "/.well-known/keyferry%2fwhoami",
        "/.well-known/keyferry;x/key",
        "/.well-known/keyferry/%77hoami/../x",
    ] {
        let status = gateway.curl(path).certificate(&alice).send().status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(backend.requests().len(), before);
}

/// What is signed is what a backend acts on: headers that some frameworks take for another method,
/// URL or origin are removed.
#[test]
fn headers_that_mislead_about_method_url_or_origin_do_not_arrive() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let mut request = gateway
        .curl("/")
        .certificate(&world.client("alice"))
        .header("X-Unrelated: arrives");
    for name in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X_HTTP_Method_Override",
        "Forwarded",
        "X-Real-IP",
        "X-Forwarded-Host",
        "X-Forwarded-For",
        "X-Remote-User",
        "X-Client-DN",
    ] {
        request = request.header(&format!("{name}: /misled"));
    }
    request.send().expect_status(200);
    let seen = backend.last();
    assert_eq!(seen.header("x-unrelated"), "arrives");
    assert!(
        !String::from_utf8(seen.head.clone())
            .unwrap()
            .contains("misled")
    );
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
}

/// A certificate that is sent along and whose signature does not fit leaves an error in OpenSSL's
/// queue. When the rest of the client's flight comes later, that must not end the handshake.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_in_pieces_survives_a_certificate_that_does_not_fit() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let former = root("Clients Root").no_key_ids().self_signed();
    let alice = world.files(
        leaf("alice")
            .signed_by(&world.clients)
            .with(&[&former.x509]),
    );
    let in_pieces = in_pieces(gateway.address()).await;
    for address in [gateway.address(), in_pieces] {
        let url = format!("https://{HOST}:{}/", address.port());
        let request = Curl::get(&url)
            .resolve(HOST, address)
            .authority(&world.authority);
        let answer = tokio::task::block_in_place(|| request.certificate(&alice).send());
        answer.expect_status(200);
    }
}

/// An address that passes connections on to `target`, one TLS record at a time.
async fn in_pieces(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass_on(client, target));
        }
    });
    address
}

async fn pass_on(client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let gateway = TcpStream::connect(target).await?;
    gateway.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_gateway, mut to_gateway) = gateway.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_gateway, &mut to_client).await });
    loop {
        let mut head = [0; 5];
        from_client.read_exact(&mut head).await?;
        let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        from_client.read_exact(&mut record).await?;
        to_gateway.write_all(&head).await?;
        to_gateway.write_all(&record).await?;
        // The pause is the attack: the gateway reads what there is, and has to wait for more.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}
