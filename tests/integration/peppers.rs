//! A pepper comes and the one before it goes, while clients call.

use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::World;

const FIRST: (i64, &str) = (1, "pepper.key");
const SECOND: (i64, &str) = (2, "second.key");

/// With these peppers instead of the usual one, which has version 1.
fn with(builder: Builder<'_>, peppers: &[(i64, &str)], current: Option<i64>) -> Gateway {
    let peppers = peppers.iter().map(|(version, file)| {
        let mut pepper = toml::Table::new();
        pepper.insert("version".to_owned(), (*version).into());
        pepper.insert("file".to_owned(), (*file).into());
        toml::Value::from(pepper)
    });
    let builder = builder
        .file("second.key", "the second pepper, of 32 bytes or more")
        .set("key.pepper", peppers.collect::<Vec<_>>());
    match current {
        Some(current) => builder.set("key.current_pepper", current).start(),
        None => builder.start(),
    }
}

fn keys_by_pepper(gateway: &Gateway) -> String {
    let told = gateway.cli(&["store", "status", "--output", "json"]);
    told.expect_success().json()["keys_by_pepper"].to_string()
}

#[test]
fn a_key_outlives_the_pepper_that_it_was_issued_under() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let builder = || Gateway::builder(&world).redis(&store.url()).echo(&backend);
    let earlier = builder().start();
    let key = earlier.claim_key(&world.client("alice"));
    let idle = earlier.claim_key(&world.client("idle"));

    // Every gateway knows the new pepper before any uses it.
    let knows = with(builder(), &[FIRST, SECOND], Some(1));
    knows.curl("/").key(&key).send().expect_status(200);
    let uses = with(builder(), &[FIRST, SECOND], None);
    assert_eq!(keys_by_pepper(&uses), r#"{"1":2}"#);
    uses.curl("/").key(&key).send().expect_status(200);
    wait_for("the digest to be made anew", || {
        (keys_by_pepper(&uses) == r#"{"1":1,"2":1}"#).then_some(())
    });
    // One that only knows it changes nothing back.
    for _ in 0..3 {
        knows.curl("/").key(&key).send().expect_status(200);
    }
    // The control: who does not know it cannot tell.
    let refused = earlier.curl("/").key(&key).send();
    refused.expect_refusal(401, "key_invalid");

    let last = with(builder(), &[SECOND], None);
    last.curl("/").key(&key).send().expect_status(200);
    assert_eq!(keys_by_pepper(&last), r#"{"1":1,"2":1}"#);
    let refused = last.curl("/").key(&idle).send();
    refused.expect_refusal(401, "key_invalid");
    uses.curl("/").key(&idle).send().expect_status(200);
    wait_for("nothing to be left of the first", || {
        (keys_by_pepper(&uses) == r#"{"2":2}"#).then_some(())
    });
    last.curl("/").key(&idle).send().expect_status(200);
    // A gateway that counted some of the first says that there are none.
    wait_for("the gauge to say so", || {
        let page = uses.metrics();
        let has = |line: &str| page.lines().any(|one| one == line);
        (has(r#"keyferry_keys{pepper="1"} 0"#) && has(r#"keyferry_keys{pepper="2"} 2"#))
            .then_some(())
    });
}
