//! What the core costs a request: admission among 10 000 identities, signing, verifying, reading
//! and matching a key. No socket is open while anything is measured.
//!
//! Run it with `make bench`, in time, or with `make bench-instructions`, in instructions;
//! docs/PERFORMANCE.md says what the figures mean.

#[path = "compare/identities.rs"]
mod identities;
#[path = "core/meter.rs"]
mod meter;
#[path = "../tests/support/pki.rs"]
#[expect(
    clippy::indexing_slicing,
    reason = "a fixture of the tests, where that is fine"
)]
mod pki;
#[path = "core/world.rs"]
mod world;

use std::hint::black_box;

use anyhow::{Result, anyhow, ensure};
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use keyferry::client::{CredentialId, LastUse};
use keyferry::directory::Sightings;
use keyferry::head::Head;
use keyferry::identity::{Freshness, Identity, Proof};
use keyferry::key::ApiKey;
use keyferry::policy::Permit;
use keyferry::secret::Secret;
use keyferry::sign::{self, Message, Names, Signer, SigningKey};
use meter::Meter;
use uuid::Uuid;
use world::World;

const TARGET: &str = "/v1/orders?limit=10";
/// The example of RFC 9421 appendix B.1.4.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
";

fn main() -> Result<()> {
    let world = World::new()?;
    let mut meter = Meter::from_arguments();
    admission(&mut meter, &world)?;
    signatures(&mut meter, &world)?;
    keys(&mut meter, &world)?;
    sightings(&mut meter, &world)?;
    meter.finish();
    Ok(())
}

/// `Gateway::admit`, the decision from the request's head to the permit.
fn admission(meter: &mut Meter, world: &World) -> Result<()> {
    let key = world.first()?.key.reveal();
    let cases = [
        ("admit/key", "/", Some(key), &world.without_certificate),
        ("admit/certificate", "/", None, &world.with_certificate),
        ("admit/both", "/", Some(key), &world.with_certificate),
        (
            "admit/nobody_on_an_open_route",
            "/open",
            None,
            &world.without_certificate,
        ),
    ];
    for (name, path, key, connection) in cases {
        let request = request(path, key)?;
        let head = Head::read(&request, path.as_bytes(), &world.format)?;
        let admit = || {
            let (head, now) = (black_box(&head), world.now);
            world
                .gateway
                .admit(head, connection, &world.live, Freshness::Following, now)
        };
        // What is measured must be what the name says.
        let permit = admit().map_err(|refusal| anyhow!("{name} is refused: {refusal:?}"))?;
        let proof = permit.identity().map(Identity::proof);
        let expected = match name {
            "admit/key" => matches!(proof, Some(Proof::Key)),
            "admit/certificate" => matches!(proof, Some(Proof::Certificate(_))),
            "admit/both" => matches!(proof, Some(Proof::Both(_))),
            _ => proof.is_none(),
        };
        ensure!(expected, "{name} was proven by {proof:?}");
        meter.measure(name, admit)?;
    }
    let request = request(TARGET, Some(key))?;
    meter.measure("admit/read_the_head", || {
        Head::read(black_box(&request), TARGET.as_bytes(), &world.format)
    })
}

/// `Signer::sign`, and `sign::Verifier::verify` as a backend runs it.
fn signatures(meter: &mut Meter, world: &World) -> Result<()> {
    let secret = Secret::new((0..32).collect());
    let shared = SigningKey::new("orders-2026-11", &secret)?;
    let pem = Secret::new(PRIVATE_KEY.as_bytes().to_vec());
    let private = SigningKey::ed25519("orders-2026-11", &pem)?;
    signature(meter, world, shared, ["sign", "verify"])?;
    signature(meter, world, private, ["sign/ed25519", "verify/ed25519"])
}

fn signature(meter: &mut Meter, world: &World, key: SigningKey, names: [&str; 2]) -> Result<()> {
    let [sign, verify] = names;
    let signer = Signer::new(key.clone(), Names::default());
    let verifier = sign::Verifier::new(vec![key], Names::default());
    let permit = permit(world)?;
    let nonce = Uuid::now_v7();
    let message = Message {
        method: "GET",
        authority: "api.example.com",
        path: "/v1/orders",
        query: Some("limit=10"),
        content_digest: None,
    };
    let headers: HeaderMap = signer
        .sign(&message, &permit, nonce, world.now)?
        .into_headers()
        .collect();
    verifier.verify(&message, &headers, world.now)?;

    meter.measure(sign, || {
        signer.sign(black_box(&message), &permit, nonce, world.now)
    })?;
    meter.measure(verify, || {
        verifier.verify(black_box(&message), &headers, world.now)
    })
}

/// `ApiKey::parse` and `ApiKey::matches`.
fn keys(meter: &mut Meter, world: &World) -> Result<()> {
    let key = &world.first()?.key;
    let (text, digest) = (key.reveal().as_bytes(), key.digest(&world.live.peppers));
    let read = || ApiKey::parse(black_box(text), &world.format);
    ensure!(read()?.matches(Some(&digest), &world.live.peppers));

    meter.measure("key/parse", read)?;
    meter.measure("key/parse_and_match", || {
        read().map(|key| key.matches(Some(&digest), &world.live.peppers))
    })
}

/// `Sightings::served` and `Sightings::used`: what a request leaves in memory.
fn sightings(meter: &mut Meter, world: &World) -> Result<()> {
    let sightings = Sightings::default();
    let last = LastUse {
        at: world.now,
        from: [192, 0, 2, 1].into(),
    };
    let note = |identity: &identities::Identity| {
        let seen = Proof::Key.seen(world.now);
        sightings.served(&identity.client, seen, world.now);
        sightings.used(CredentialId::Key(identity.key.id()), last);
    };
    world.identities.iter().for_each(note);
    let known = sightings.of(&world.first()?.client);
    ensure!(known == Proof::Key.seen(world.now));
    let mut turn = world.identities.iter().cycle();
    meter.measure("note_a_sighting", || {
        turn.next().map(|identity| note(black_box(identity)))
    })
}

/// A request like those of an API's clients.
fn request(target: &str, key: Option<&str>) -> Result<http::request::Parts> {
    let mut request = http::Request::get(target)
        .header(HOST, "api.example.com")
        .header("accept", "application/json")
        .header("user-agent", "bench/1")
        .body(())?;
    if let Some(key) = key {
        let name = HeaderName::from_static("x-api-key");
        request
            .headers_mut()
            .insert(name, HeaderValue::from_str(key)?);
    }
    Ok(request.into_parts().0)
}

fn permit(world: &World) -> Result<Permit> {
    let request = request(TARGET, Some(world.first()?.key.reveal()))?;
    let head = Head::read(&request, TARGET.as_bytes(), &world.format)?;
    world
        .gateway
        .admit(
            &head,
            &world.without_certificate,
            &world.live,
            Freshness::Following,
            world.now,
        )
        .map_err(|refusal| anyhow!("a good key is refused: {refusal:?}"))
}
