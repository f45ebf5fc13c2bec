//! TLS of the admin listener, and certificates of operators.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::Tokens;
use super::through::{command, told};
use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::{Gateway, Told};
use crate::support::pki::{Issued, leaf, root, server};
use crate::support::wait_for;
use crate::support::world::{Identity, World};

const NAME: &str = "admin.example.com";

struct Scene {
    gateway: Gateway,
    tokens: Tokens,
    /// Signs what operators show.
    operators: Issued,
    world: World,
    _backend: Backend,
}

impl Scene {
    /// A gateway whose listener has a certificate, and demands one where that `is_mutual`.
    fn new(is_mutual: bool) -> Self {
        let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
        let own = server(NAME).signed_by(&world.servers);
        let operators = root("Operators Root").self_signed();
        let mut builder = tokens
            .of(Gateway::builder(&world).echo(&backend))
            .file("admin.pem", own.chain_pem())
            .file("admin.key", own.key_pem())
            .file("operators.pem", operators.pem())
            .set("admin.tls.certificate_file", "admin.pem")
            .set("admin.tls.key_file", "admin.key");
        if is_mutual {
            builder = builder.set("admin.tls.client_ca_file", "operators.pem");
        }
        Self {
            gateway: builder.start(),
            tokens,
            operators,
            world,
            _backend: backend,
        }
    }

    fn curl(&self) -> Curl {
        let address = self.gateway.admin_address();
        let url = format!("https://{NAME}:{}/v1/client/list", address.port());
        let ask = Curl::get(&url).resolve(NAME, address);
        ask.authority(&self.world.authority)
    }

    fn through(&self, arguments: &[&str]) -> Told {
        let url = format!("https://localhost:{}", self.gateway.admin_address().port());
        let ca = self.world.authority.to_str().unwrap();
        let arguments = [arguments, &["--server-ca", ca]].concat();
        let token = self.tokens.file("viewer");
        told(command(self.gateway.folder(), &url, &token, &arguments))
    }

    fn operator(&self, name: &str) -> Identity {
        self.world.files(leaf(name).signed_by(&self.operators))
    }
}

#[test]
fn the_admin_listener_speaks_tls_and_takes_a_renewed_certificate_over() {
    let scene = Scene::new(false);
    let token = scene.tokens.text("viewer");
    scene.curl().key(&token).send().expect_status(200);
    scene.curl().send().expect_status(401);
    let clear = scene
        .tokens
        .get(&scene.gateway, "viewer", "/v1/client/list");
    assert_eq!(clear.send().status, 0);
    let list = ["client", "list", "--server-name", NAME];
    scene.through(&list).expect_success();
    // Another name, and an authority that did not sign it.
    for wrong in [
        &["client", "list"][..],
        &["client", "list", "--server-name", "other.example.com"],
    ] {
        let told = scene.through(wrong);
        assert_eq!(told.status.code(), Some(69), "{told:#?}");
    }

    let renewed = server(NAME).signed_by(&root("Other Root").self_signed());
    fs::write(scene.gateway.path("admin.key"), renewed.key_pem()).unwrap();
    fs::write(scene.gateway.path("admin.pem"), renewed.chain_pem()).unwrap();
    wait_for("the renewed certificate", || {
        let answer = scene.curl().key(&token).send();
        (answer.status == 0).then_some(())
    });
}

/// A token that was stolen is not enough where a certificate is demanded beside it.
#[test]
fn where_a_certificate_is_demanded_a_token_alone_does_nothing() {
    let open = Scene::new(false);
    let stolen = open.tokens.text("viewer");
    open.curl().key(&stolen).send().expect_status(200);

    let scene = Scene::new(true);
    let token = scene.tokens.text("viewer");
    assert_eq!(scene.curl().key(&token).send().status, 0);
    // A client of the API is no operator.
    let client = scene.world.client("alice");
    assert_eq!(
        scene.curl().key(&token).certificate(&client).send().status,
        0
    );
    let operator = scene.operator("olivia");
    let ask = || scene.curl().certificate(&operator);
    ask().key(&token).send().expect_status(200);
    // And a certificate alone does nothing either.
    ask().send().expect_status(401);
    let ended = leaf("ended").dates(-2, -1).signed_by(&scene.operators);
    let ended = scene.world.files(ended);
    assert_eq!(
        scene.curl().key(&token).certificate(&ended).send().status,
        0
    );

    fs::set_permissions(&operator.key, fs::Permissions::from_mode(0o600)).unwrap();
    let (own, key) = (
        operator.chain.to_str().unwrap(),
        operator.key.to_str().unwrap(),
    );
    let list = ["client", "list", "--server-name", NAME];
    let shown = ["--server-certificate", own, "--server-key", key];
    scene
        .through(&[&list[..], &shown].concat())
        .expect_success();
    let told = scene.through(&list);
    assert_eq!(told.status.code(), Some(69), "{told:#?}");
}

#[test]
fn an_address_that_others_reach_needs_tls_and_a_token() {
    let world = World::new();
    let own = server(NAME).signed_by(&world.servers);
    let builder = || {
        Gateway::builder(&world)
            .file("admin.pem", own.chain_pem())
            .file("admin.key", own.key_pem())
            .environment("KEYFERRY__admin__address", "0.0.0.0:9443")
    };
    let with_tls = |builder: crate::support::gateway::Builder<'_>| {
        builder
            .set("admin.tls.certificate_file", "admin.pem")
            .set("admin.tls.key_file", "admin.key")
            .write()
            .cli(&["check"])
    };
    let tokens = Tokens::new();
    let clear = tokens.of(builder()).write().cli(&["check"]);
    assert!(clear.output.contains("is not encrypted"), "{clear:#?}");
    let nobody = with_tls(builder());
    assert!(nobody.output.contains("nobody has a token"), "{nobody:#?}");
    let both = with_tls(tokens.of(builder()));
    assert!(!both.output.contains("admin"), "{both:#?}");
}
