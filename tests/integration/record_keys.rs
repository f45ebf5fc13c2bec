//! Record keys come to a store that is in use, and go from it, without a request lost.

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::World;

/// What a client has after its first sight: itself, its key, its certificate in both forms.
const RECORDS: u64 = 4;

#[test]
fn a_store_of_an_earlier_version_is_signed_while_gateways_run() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let replica = |keys: &[(i64, &str)], unsigned: &str| {
        let keys: Vec<toml::Value> = keys
            .iter()
            .map(|(version, file)| {
                let mut key = toml::Table::new();
                key.insert("version".to_owned(), (*version).into());
                key.insert("file".to_owned(), (*file).into());
                key.into()
            })
            .collect();
        Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .file("second.key", "the second record key, of 32 bytes or more")
            .set("store.record_keys", keys)
            .set("store.unsigned_records", unsigned)
            .start()
    };
    let earlier = replica(&[], "accept");
    let key = earlier.claim_key(&world.client("alice"));
    assert_eq!(status(&earlier)["unsigned"], RECORDS);
    let nothing = earlier.cli(&["store", "reseal"]);
    assert_eq!(nothing.status.code(), Some(64), "{nothing:#?}");

    let now = replica(&[(1, "record.key")], "accept");
    now.curl("/").key(&key).send().expect_status(200);
    let told = now.cli(&["store", "reseal", "--output", "json"]);
    assert_eq!(told.expect_success().json()["written"], RECORDS);
    assert_eq!(status(&now)["by_key"]["1"], RECORDS);
    earlier.curl("/").key(&key).send().expect_status(200);

    let strict = replica(&[(1, "record.key"), (2, "second.key")], "refuse");
    strict.curl("/").key(&key).send().expect_status(200);
    strict.claim_key(&world.client("bob"));
    now.cli(&["client", "list"]).expect_success();

    let next = replica(&[(2, "second.key"), (1, "record.key")], "refuse");
    // Also a gateway that signs with the old one, and hears of no change.
    let counted = |first: u64, second: u64| {
        let line =
            |key: u64, records| format!("keyferry_store_records{{record_key=\"{key}\"}} {records}");
        let lines = [line(1, first), line(2, second)];
        for gateway in [&strict, &next] {
            wait_for(&lines.join(", "), || {
                let page = gateway.metrics();
                let has = |line: &String| page.lines().any(|one| one == line);
                lines.iter().all(has).then_some(())
            });
        }
    };
    counted(2 * RECORDS, 0);
    next.cli(&["store", "reseal"]).expect_success();
    counted(0, 2 * RECORDS);
    let told = status(&next);
    assert_eq!(told["by_key"]["2"], 2 * RECORDS, "{told}");
    assert_eq!(told["refused"], 0, "{told}");
    let last = replica(&[(2, "second.key")], "refuse");
    last.curl("/").key(&key).send().expect_status(200);
    // Who knows both still follows.
    let carol = last.claim_key(&world.client("carol"));
    strict.curl("/").key(&carol).send().expect_status(200);
}

/// Who signed the records.
fn status(gateway: &Gateway) -> serde_json::Value {
    let told = gateway.cli(&["store", "status", "--output", "json"]);
    let mut told = told.expect_success().json();
    assert!(told["keys_by_pepper"]["1"].as_u64() > Some(0), "{told}");
    told["records"].take()
}
