//! Cases V11, V16 and C1 of certificates that have ended: what they may still do, where the
//! operator allows it, and what they may not.

use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::Gateway;
use crate::support::pki::{Spec, leaf};
use crate::support::wait_for;
use crate::support::world::{Identity, World};

const BASE: &str = "/.well-known/keyferry";

struct Scene {
    world: World,
    backend: Backend,
    gateway: Gateway,
}

impl Scene {
    /// With this `expired_grace`; none when it is empty.
    fn new(grace: &str) -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let mut builder = Gateway::builder(&world).echo(&backend);
        if !grace.is_empty() {
            builder = builder.set("self_service.expired_grace", grace);
        }
        let gateway = builder.start();
        Self {
            world,
            backend,
            gateway,
        }
    }

    /// A client whose certificate was used while it was good, and has ended since.
    fn ended(&self, name: &str) -> Identity {
        let client = self.world.client_like(brief(name));
        self.call(&client).expect_status(200);
        self.wait_for_the_end(&client);
        client
    }

    #[track_caller]
    fn wait_for_the_end(&self, client: &Identity) {
        wait_for("the certificate's end", || {
            (self.call(client).status == 401).then_some(())
        });
    }

    fn call(&self, client: &Identity) -> Answer {
        self.gateway.curl("/").certificate(client).send()
    }

    fn at(&self, path: &str, client: &Identity) -> Curl {
        let ask = self.gateway.curl(&format!("{BASE}/{path}"));
        ask.certificate(client)
    }

    fn claim(&self, client: &Identity) -> Answer {
        self.at("key", client).method("POST").send()
    }

    /// It is refused as any certificate that has ended is.
    #[track_caller]
    fn claims_nothing(&self, client: &Identity) {
        let refused = self.claim(client);
        assert!(!refused.text().contains("kf_live_"), "{}", refused.text());
        let refused = refused.expect_refusal(401, "certificate_expired");
        let next = refused.json()["next_step"].as_str().unwrap().to_owned();
        assert!(!next.contains("-X POST"), "{next}");
    }
}

/// Good for some seconds yet.
fn brief(name: &str) -> Spec {
    leaf(name).dates(-60, 4)
}

fn fingerprint(client: &Identity) -> String {
    let der = client.issued.x509.to_der().unwrap();
    keyferry::certificate::Fingerprint::of(&der).to_string()
}

#[test]
fn v11_a_certificate_that_has_ended_claims_its_key_and_does_nothing_else() {
    let scene = Scene::new("1h");
    let alice = scene.ended("alice");
    let count = scene.backend.requests().len();
    // The answer to anything else says what it can still do.
    let refused = scene
        .call(&alice)
        .expect_refusal(401, "certificate_expired");
    let told = refused.json();
    let next = told["next_step"].as_str().unwrap();
    assert!(
        next.starts_with("curl ") && next.contains("-X POST"),
        "{next}"
    );
    assert!(told["detail"].as_str().unwrap().contains("still fetch"));
    for (path, method) in [("whoami", "GET"), ("keys", "GET"), ("key/rotate", "POST")] {
        let ask = scene.at(path, &alice).method(method).send();
        ask.expect_refusal(401, "certificate_expired");
    }
    assert_eq!(scene.backend.requests().len(), count);

    let issued = scene.claim(&alice).expect_status(201).json();
    let key = issued["key"].as_str().unwrap();
    let by_key = scene.gateway.curl("/").key(key).send();
    by_key.expect_status(200);
    assert_eq!(issued["key_id"], scene.backend.last().header("x-key-id"));
    scene
        .claim(&alice)
        .expect_refusal(409, "key_already_issued");
    scene
        .call(&alice)
        .expect_refusal(401, "certificate_expired");
}

#[test]
fn v11_without_grace_and_after_it_nothing_is_claimed() {
    let off = Scene::new("");
    off.claims_nothing(&off.ended("alice"));
    let short = Scene::new("2s");
    let alice = short.ended("alice");
    // Within the grace it is told that it could claim; it does not, and then it is too late.
    wait_for("the end of the grace", || {
        let told: Value = short.call(&alice).json();
        let next = told["next_step"].as_str().unwrap();
        (!next.contains("-X POST")).then_some(())
    });
    short.claims_nothing(&alice);
}

#[test]
fn c1_grace_is_for_certificates_that_were_used_are_the_newest_and_are_somebodys() {
    let scene = Scene::new("1h");
    // Never seen: nobody's.
    scene.claims_nothing(&scene.world.client_like(leaf("never").dates(-3600, -1)));
    // Given to a client by the operator, but never used while it was good.
    let given = scene.world.client_like(leaf("given").dates(-3600, -1));
    let pem = given.chain.to_str().unwrap();
    let told = scene.gateway.cli(&["client", "add", "given"]);
    told.expect_success();
    let add = ["certificate", "add", pem, "--client", "given"];
    scene.gateway.cli(&add).expect_success();
    scene.claims_nothing(&given);

    // The control, then each thing that the operator may have done since.
    let [fine, superseded, removed, disabled] =
        ["fine", "superseded", "removed", "disabled"].map(|name| {
            let client = scene.world.client_like(brief(name));
            scene.call(&client).expect_status(200);
            client
        });
    let client = scene.backend.last().header("x-client-id").to_owned();
    scene.wait_for_the_end(&disabled);
    for arguments in [
        ["certificate", "supersede", &fingerprint(&superseded)],
        ["certificate", "remove", &fingerprint(&removed)],
        ["client", "disable", &client],
    ] {
        scene.gateway.cli(&arguments).expect_success();
    }
    wait_for("the gateway to follow", || {
        (scene.claim(&disabled).status == 403).then_some(())
    });
    scene.claims_nothing(&superseded);
    scene.claims_nothing(&removed);
    let refused = scene.claim(&disabled);
    refused.expect_refusal(403, "client_disabled");
    scene.claim(&fine).expect_status(201);
}

#[test]
fn v16_grace_hides_no_other_problem_and_no_resumed_session_claims() {
    let scene = Scene::new("1h");
    let server = leaf("acme").purposes(&["serverAuth"]).dates(-3600, -1);
    let server = scene.world.client_like(server);
    for answer in [scene.claim(&server), scene.call(&server)] {
        let problem = answer
            .expect_refusal(401, "certificate_wrong_purpose")
            .json();
        assert_eq!(problem["problems"].as_array().unwrap().len(), 2);
        assert!(!problem["next_step"].as_str().unwrap().contains("-X POST"));
    }
    // R7: what was proven in an earlier session is not enough; once it has ended, it is proven anew.
    let alice = scene.ended("alice");
    let session = scene.world.path("session");
    let post = format!(
        "POST {BASE}/key HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let get = b"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";
    let first = scene.gateway.s_client().certificate(&alice);
    first.keep_session(&session).send(get);
    let resumed = scene.gateway.s_client().certificate(&alice);
    let resumed = resumed.resume_session(&session).send(post.as_bytes());
    assert!(!resumed.was_resumed(), "{resumed:#?}");
    assert!(resumed.output.contains("201 Created"), "{resumed:#?}");
}

#[test]
fn a_phase_can_accept_certificates_for_a_while_after_their_end() {
    let scene = Scene::new("");
    let alice = scene.ended("alice");
    let set = ["phase", "accept", "--all", "--expired-for", "1h"];
    scene.gateway.cli(&set).expect_success();
    wait_for("the phase to hold", || {
        (scene.call(&alice).status == 200).then_some(())
    });
    scene.claim(&alice).expect_status(201);
    // Nobody else gains by it.
    let never = scene.world.client_like(leaf("never").dates(-3600, -1));
    scene
        .call(&never)
        .expect_refusal(401, "certificate_expired");
    let server = leaf("alice").purposes(&["serverAuth"]).dates(-3600, -1);
    let server = scene.call(&scene.world.client_like(server));
    server.expect_refusal(401, "certificate_wrong_purpose");
    scene.gateway.cli(&["phase", "undo"]).expect_success();
    wait_for("the phase to end", || {
        (scene.call(&alice).status == 401).then_some(())
    });
}

/// A letter tells whoever can still fetch a key how to, and nobody else.
#[test]
fn letters_tell_of_the_grace_as_the_gateway_keeps_it() {
    for (grace, can_claim) in [("", false), ("1h", true)] {
        let scene = Scene::new(grace);
        let client = scene.ended("late");
        let letter = || {
            let words = "letter --url https://api.example.com --output json";
            let words: Vec<_> = words.split(' ').collect();
            let told = scene.gateway.cli(&words).expect_success().json();
            told["letters"][0].clone()
        };
        let letter = wait_for("what was seen of it", || {
            Some(letter()).filter(|letter| !letter["certificates"][0]["last_used"].is_null())
        });
        assert_eq!(letter["certificates"][0]["has_ended"], true, "{letter:#}");
        assert_eq!(letter["can_claim"], can_claim, "{letter:#}");
        let claimed = scene.claim(&client);
        assert_eq!(claimed.status == 201, can_claim, "{claimed:#?}");
    }
}
