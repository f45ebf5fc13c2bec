//! Phases as every store keeps them.

use std::sync::Arc;
use std::time::Duration;

use keyferry::client::ClientRecord;
use keyferry::directory::Directory;
use keyferry::phase::{
    self, Brownout, PhaseRecord, Plan, Schedule, Setting, Step, Target, Windows,
};
use keyferry::store::{Actor, Epoch, Record, RecordId, Store};

use super::adapter::{Kind, Rig};
use super::records::{NOW, client, client_id, create};

/// A setting with everything that one can have.
pub(crate) fn brownout() -> Setting {
    let windows = vec!["Tue 10:00-11:00".parse().unwrap()];
    let windows = Windows::new("Europe/Berlin".parse().unwrap(), windows).unwrap();
    let plan = Plan {
        begins: NOW,
        ends: Some(NOW.plus(Duration::from_hours(1000))),
        schedule: Schedule::Windows(windows),
    };
    let operator = Actor::Operator {
        name: "root".to_owned(),
    };
    let budget = Some(500);
    let mut setting = Setting::new(Step::Brownout(Brownout { plan, budget }), operator, NOW);
    setting.reason = "to see \"who\" notices".parse().ok();
    setting.sunset = Some(NOW.plus(Duration::from_hours(2000)));
    setting.guide = "https://docs.example.com/move?a=1".parse().ok();
    setting.expired_for = Some(Duration::from_hours(24));
    setting
}

async fn read(store: &dyn Store, target: &Target) -> Option<(Epoch, PhaseRecord)> {
    let found = store.get(&RecordId::Phase(target.clone())).await.unwrap()?;
    match found.record {
        Record::Phase(record) => Some((found.version, record)),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn set(store: &dyn Store, target: &Target, setting: Setting) {
    let change = phase::set(read(store, target).await, target.clone(), setting);
    store.commit(&change).await.unwrap();
}

/// What holds for a client, by all that the store has now.
async fn in_force(store: Arc<dyn Store>, client: &str) -> Option<Setting> {
    let directory = Directory::new(store);
    tokio::select! {
        () = directory.follow() => unreachable!("it follows for ever"),
        () = async { while !directory.is_loaded() { tokio::task::yield_now().await } } => {}
    }
    let found = directory.view().phase_of(&client_id(client));
    found.map(|found| found.setting.clone())
}

pub(crate) async fn o12_retiring_and_undoing_it_changes_nothing(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let mobile = ClientRecord {
        tags: ["mobile".parse().unwrap()].into(),
        ..client("acme")
    };
    store.commit(&create(mobile)).await.unwrap();
    store.commit(&create(client("other"))).await.unwrap();
    let cohort: Target = "cohort:mobile".parse().unwrap();

    set(&*store, &cohort, brownout()).await;
    let before = read(&*store, &cohort).await.unwrap().1;
    assert_eq!(before.present(), Some(&brownout()));
    assert_eq!(in_force(rig.handle().await, "acme").await, Some(brownout()));
    assert_eq!(in_force(rig.handle().await, "other").await, None);

    let retired = Setting::new(Step::Retired, Actor::Gateway, NOW);
    set(&*store, &cohort, retired.clone()).await;
    assert_eq!(in_force(rig.handle().await, "acme").await, Some(retired));

    let now = read(&*store, &cohort).await.unwrap();
    let undone = phase::undo(now, Actor::Gateway, NOW).unwrap();
    store.commit(&undone).await.unwrap();
    let after = read(&*rig.handle().await, &cohort).await.unwrap().1;
    assert_eq!(after, before);
    assert_eq!(in_force(rig.handle().await, "acme").await, Some(brownout()));

    let first = read(&*store, &cohort).await.unwrap();
    let undone = phase::undo(first, Actor::Gateway, NOW).unwrap();
    store.commit(&undone).await.unwrap();
    assert_eq!(in_force(rig.handle().await, "acme").await, None);
}
