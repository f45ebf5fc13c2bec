//! The server itself: gone for a moment, loading, full, shut, or a replica.

use super::load::Load;
use super::network::{felt, too_old};
use super::people::Group;
use super::scene::{LONG, SHORT, Single, told_at};
use crate::support::wait_for;

/// What an operator does on a connection that was there before; with its own permissions.
fn say(operator: &mut redis::Connection, commands: &[&str]) {
    for command in commands {
        let mut words = command.split(' ');
        let mut told = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            told.arg(word);
        });
        let () = told
            .query(operator)
            .unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// The server refuses with `code`, which `control` shows, from `set` until `unset`. How the load
/// shows that, `felt` waits for.
struct Refusing<'a> {
    set: &'a [&'a str],
    control: &'a str,
    code: &'a str,
    unset: &'a [&'a str],
    recovered_by: &'static str,
}

impl Refusing<'_> {
    fn through(&self, fault: &'static str, max_stale: &str, felt: impl Fn(&Load<'_>)) {
        let single = Single::start(&[], max_stale);
        let load = single.load();
        let load = if max_stale == SHORT {
            load.known_may_wait()
        } else {
            load
        };
        load.through(fault, |load| {
            let mut operator = single.redis.connection();
            load.fault(|| say(&mut operator, self.set));
            let told = told_at(&single.redis.url(), self.control).unwrap_err();
            assert!(told.contains(self.code), "{told}");
            felt(load);
            load.rounds();
            load.lift(self.recovered_by, || say(&mut operator, self.unset));
        });
    }
}

/// Who is new cannot be written down; everything else goes on.
fn not_written(load: &Load<'_>) {
    for who in [Group::New, Group::Asking] {
        load.until("changes to be refused", 2, |heard| {
            heard.group == who && heard.status == 503
        });
    }
    load.until("somebody unknown to be told so", 5, |heard| {
        heard.group == Group::Unknown && heard.status == 401
    });
}

#[test]
fn a_redis_out_of_memory() {
    let refusing = Refusing {
        set: &["CONFIG SET maxmemory 1"],
        control: "SET a b",
        code: "OOM",
        unset: &["CONFIG SET maxmemory 0"],
        recovered_by: "more memory",
    };
    refusing.through("a redis out of memory", LONG, not_written);
}

/// One of them may have taken its place.
#[test]
fn a_redis_with_too_few_replicas_to_write() {
    let refusing = Refusing {
        set: &["CONFIG SET min-replicas-to-write 1"],
        control: "SET a b",
        code: "NOREPLICAS",
        unset: &["CONFIG SET min-replicas-to-write 0"],
        recovered_by: "its replicas",
    };
    refusing.through("a redis with too few replicas to write", LONG, |load| {
        felt(load, 3);
    });
}

#[test]
fn a_user_who_may_not_write_any_more() {
    let refusing = Refusing {
        set: &["ACL SETUSER default -eval -evalsha"],
        control: "EVAL return 0",
        code: "NOPERM",
        unset: &["ACL SETUSER default +eval +evalsha"],
        recovered_by: "the operator gave the command back",
    };
    refusing.through("a user who may not write any more", LONG, not_written);
}

#[test]
fn a_user_who_may_not_read_any_more() {
    let refusing = Refusing {
        set: &["ACL SETUSER default -mget -xread -hscan"],
        control: "MGET a",
        code: "NOPERM",
        unset: &["ACL SETUSER default +mget +xread +hscan"],
        recovered_by: "the operator gave the commands back",
    };
    refusing.through("a user who may not read any more", SHORT, |load| {
        felt(load, 3);
        too_old(load);
    });
}

/// Connections that are there stay, and the gateway goes on with them until they end.
#[test]
fn a_password_from_now_on() {
    let refusing = Refusing {
        set: &[
            "CONFIG SET requirepass another",
            "CLIENT KILL TYPE normal SKIPME yes",
        ],
        control: "PING",
        code: "NOAUTH",
        unset: &["CONFIG SET requirepass "],
        recovered_by: "the password was taken back",
    };
    refusing.through("a password from now on", LONG, |load| felt(load, 3));
}

/// No connection ends.
#[test]
fn a_primary_that_becomes_a_replica() {
    let refusing = Refusing {
        set: &["REPLICAOF 127.0.0.1 1"],
        control: "SET a b",
        code: "READONLY",
        unset: &["REPLICAOF NO ONE"],
        recovered_by: "it is the primary again",
    };
    refusing.through("a primary that becomes a replica", LONG, |load| {
        felt(load, 3);
    });
}

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Ends the server as a crash would; everything that it acknowledged is on its disk.
fn restart(fault: &'static str, max_stale: &str, meanwhile: impl FnOnce(&Load<'_>)) {
    let Single {
        one,
        other,
        scene,
        mut redis,
        proxy: _proxy,
    } = Single::start(&DURABLE, max_stale);
    let load = Load::new(&scene.world, [&one, &other], &|_| true);
    let load = if max_stale == SHORT {
        load.known_may_wait()
    } else {
        load
    };
    load.through(fault, |load| {
        load.fault(|| redis.stop());
        told_at(&redis.url(), "PING").unwrap_err();
        meanwhile(load);
        load.lift("it was started again", || {
            assert!(scene.wait(redis.start_again()));
        });
    });
}

#[test]
fn a_restart() {
    restart("a restart", LONG, |load| {
        felt(load, 3);
        load.rounds();
    });
}

#[test]
fn a_restart_after_longer_than_max_stale() {
    restart("a restart after longer than max stale", SHORT, |load| {
        felt(load, 3);
        too_old(load);
    });
}

/// It takes its time to read its file, and says so to everybody.
#[test]
fn a_restart_that_takes_its_time_to_load() {
    let Single {
        one,
        other,
        scene,
        mut redis,
        proxy: _proxy,
    } = Single::start(&[], LONG);
    let filler = "x".repeat(2048);
    for n in 0..400 {
        redis.tell(&format!("SET filler:{n} {filler}"));
    }
    // So much for each key, and it answers after each.
    redis.add_options(&["--key-load-delay", "8000"]);
    redis.add_options(&["--loading-process-events-interval-bytes", "1024"]);
    let load = Load::new(&scene.world, [&one, &other], &|_| true);
    load.through("a restart that takes its time to load", |load| {
        load.fault(|| {
            // It saves what it has, and ends.
            told_at(&redis.url(), "SHUTDOWN SAVE").unwrap_err();
            redis.stop();
        });
        std::thread::scope(|scope| {
            let url = redis.url();
            let loading = scope.spawn(move || {
                wait_for("it to load", || {
                    let told = told_at(&url, "MGET a").err()?;
                    told.contains("LOADING").then_some(())
                });
                felt(load, 3);
                told_at(&url, "MGET a").unwrap_err()
            });
            assert!(scene.wait(redis.start_again()));
            let told = loading.join().expect("no panic in there");
            assert!(told.contains("LOADING"), "{told}");
        });
        load.lift("it has loaded", || ());
    });
}
