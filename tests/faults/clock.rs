//! Clocks that jump a day ahead or back, of Redis and of a gateway, as when they are set by hand.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use keyferry::clock;
use tempfile::TempDir;

use super::load::Load;
use super::people::{DAY, Group};
use super::scene::{LONG, Scene};
use crate::support::redis::RedisServer;
use crate::support::wait_for;

/// The clock of a program that is started in its environment.
struct Clock {
    folder: TempDir,
}

impl Clock {
    /// One that is right.
    fn new() -> Self {
        let this = Self {
            folder: TempDir::new().expect("a temporary folder"),
        };
        this.set(0);
        this
    }

    /// Sets it so many seconds ahead, or back.
    fn set(&self, ahead: i64) {
        // Whole or not at all: it is read with every look at the clock.
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{ahead:+}")).expect("our own file");
        fs::rename(new, self.file()).expect("our own file");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn environment(&self) -> Vec<(String, String)> {
        // It names the library that it would put before the program.
        let told = Command::new("faketime")
            .args(["-f", "+0", "printenv", "LD_PRELOAD"])
            .output();
        let library = told.expect("faketime is needed for this test: make setup");
        let library = String::from_utf8(library.stdout).expect("a path");
        // Redis brings an allocator that asks for the time before the library can tell it; so the
        // system's own goes before that.
        let libraries = format!("libc_malloc_debug.so.0:{}", library.trim());
        let file = self.file().to_str().expect("a path").to_owned();
        [
            ("LD_PRELOAD", libraries.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

fn of_redis(fault: &'static str, ahead: i64) {
    let (scene, clock) = (Scene::new(), Clock::new());
    let environment = clock.environment();
    let redis = scene.wait(RedisServer::start_in(&environment, &[]));
    let [one, other] = [(); 2].map(|()| {
        let gateway = scene.gateway().redis(&redis.url());
        gateway.set("store.max_stale", LONG).start()
    });
    let off = || {
        let (now, _): (i64, u64) = redis::from_redis_value(redis.tell("TIME")).unwrap();
        now - clock::now().as_unix()
    };
    assert!(off().abs() < 60);
    let load = Load::new(&scene.world, [&one, &other], &|_| true);
    load.through(fault, |load| {
        load.fault(|| clock.set(ahead));
        wait_for("the clock to jump", || {
            ((off() - ahead).abs() < 60).then_some(())
        });
        stays(load);
        load.lift("the clock was set right", || clock.set(0));
    });
}

/// Longer than any wait for events takes: whoever waited by the clock would show.
fn stays(load: &Load<'_>) {
    for group in [Group::Known, Group::Unknown, Group::New, Group::Asking] {
        load.until("everybody to call", 20, |heard| heard.group == group);
    }
}

#[test]
fn the_clock_of_redis_a_day_ahead() {
    of_redis("the clock of redis a day ahead", DAY);
}

#[test]
fn the_clock_of_redis_a_day_back() {
    of_redis("the clock of redis a day back", -DAY);
}

/// Certificates are good by the clock of the gateway: one that begins or ends within the day is not
/// while the clock is wrong, and is when it is right again.
fn of_a_gateway(fault: &'static str, ahead: i64, dates: (i64, i64), reason: &str) {
    let (scene, clock) = (Scene::new(), Clock::new());
    let redis = scene.wait(RedisServer::start(&[]));
    let builder = || {
        let gateway = scene.gateway().redis(&redis.url());
        gateway.set("store.max_stale", LONG)
    };
    let environment = clock.environment();
    let one = environment
        .iter()
        .fold(builder(), |builder, (name, value)| {
            builder.environment(name, value)
        });
    let (one, other) = (one.start(), builder().start());
    let spec = crate::support::pki::leaf("of-the-day").dates(dates.0, dates.1);
    let of_the_day = scene.world.client_like(spec);
    let ask = || one.curl("/").certificate(&of_the_day).send();
    ask().expect_status(200);
    let load = Load::new(&scene.world, [&one, &other], &|_| true);
    load.through(fault, |load| {
        load.fault(|| clock.set(ahead));
        ask().expect_refusal(401, reason);
        stays(load);
        assert!(one.metric("keyferry_directory_age_seconds") < 60.0);
        load.lift("the clock was set right", || clock.set(0));
        ask().expect_status(200);
    });
}

#[test]
fn the_clock_of_a_gateway_a_day_ahead() {
    let until_tonight = (-DAY, DAY / 2);
    let fault = "the clock of a gateway a day ahead";
    of_a_gateway(fault, DAY, until_tonight, "certificate_expired");
}

#[test]
fn the_clock_of_a_gateway_a_day_back() {
    let since_this_morning = (-DAY / 2, DAY);
    let fault = "the clock of a gateway a day back";
    of_a_gateway(fault, -DAY, since_this_morning, "certificate_not_yet_valid");
}
