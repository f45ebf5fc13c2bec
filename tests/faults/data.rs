//! What Redis holds: all of it gone, an older state of it, or the events trimmed away.

use super::load::Load;
use super::network::{felt, too_old};
use super::people::Group;
use super::scene::{LONG, SHORT, Single, knows};
use crate::support::proxy::Mode;

/// Waits until so many keys were revoked and issued from now on.
fn changes(load: &Load<'_>, count: usize) {
    for status in [201, 204] {
        load.until("keys to be issued and revoked", count, |heard| {
            heard.group == Group::Asking && heard.status == status
        });
    }
}

#[test]
fn everything_flushed() {
    let Single {
        one,
        other,
        scene,
        mut redis,
        proxy: _proxy,
    } = Single::start(&[], SHORT);
    let url = redis.url();
    let knows = |id: &str| knows(&url, id);
    let load = Load::new(&scene.world, [&one, &other], &knows);
    // What was written between the backup and the fault.
    let load = load.known_may_wait().may_lose();
    load.through("everything flushed", |load| {
        redis.tell("SAVE");
        load.fault(|| redis.tell("FLUSHALL"));
        felt(load, 3);
        too_old(load);
        // What was seen may be told again; but no record.
        let changed = redis.tell("EXISTS kf:{kf}:epoch");
        assert_eq!(changed, redis::Value::Int(0), "nobody writes to it");
        for gateway in [&one, &other] {
            assert!(gateway.metric("keyferry_store_lost") > 0.5);
        }
        load.lift("the backup was restored", || {
            redis.stop();
            assert!(scene.wait(redis.start_again()));
        });
    });
}

/// Keys were issued and revoked since.
#[test]
fn an_older_data_set_restored() {
    let Single {
        one,
        other,
        scene,
        mut redis,
        proxy: _proxy,
    } = Single::start(&[], LONG);
    let url = redis.url();
    let knows = |id: &str| knows(&url, id);
    let load = Load::new(&scene.world, [&one, &other], &knows).may_lose();
    load.through("an older data set restored", |load| {
        redis.tell("SAVE");
        changes(load, 3);
        let epoch = |redis: &crate::support::redis::RedisServer| {
            let told = redis.tell("GET kf:{kf}:epoch");
            redis::from_redis_value::<u64>(told).unwrap()
        };
        let had = load.fault(|| epoch(&redis));
        redis.stop();
        assert!(scene.wait(redis.start_again()));
        load.lift("the gateways, which made the revocations again", || ());
        assert!(epoch(&redis) < had);
    });
    for gateway in [&one, &other] {
        assert!(gateway.metric("keyferry_store_epoch_regressions_total") > 0.5);
        assert!(gateway.metric("keyferry_tombstones") < 0.5);
    }
}

/// One gateway is cut off, and the events that it has not seen are gone by the time that it is back.
#[test]
fn a_stream_that_was_trimmed() {
    let single = Single::start(&[], LONG);
    single.load().through("a stream that was trimmed", |load| {
        load.fault(|| single.proxy.set(Mode::Hold));
        felt(load, 3);
        changes(load, 2);
        single.redis.tell("XTRIM kf:{kf}:events MAXLEN 0");
        load.lift("the gateway, which loaded everything again", || {
            single.proxy.set(Mode::Reset);
            single.proxy.set(Mode::Pass);
        });
    });
    let log = single.one.log();
    assert!(log.contains("events are missing; loading everything again"));
}
