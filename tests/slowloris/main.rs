//! Thousands of clients that drip: on the handshake, on the head of a request, on its body. Others
//! are served meanwhile, and memory does not grow with the time that it takes.
//!
//! `make test` takes 200 of them, `make slowloris` 5,000 (`KEYFERRY_SLOWLORIS`), against a gateway
//! with its default deadlines and against one without any, and prints what came of it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

#[cfg(test)]
mod drip;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use keyferry::clock;

    use crate::drip::Dripping;
    use crate::support::backend::Backend;
    use crate::support::gateway::Gateway;
    use crate::support::wire::{Shown, Tls, Wire};
    use crate::support::world::World;
    use crate::support::{Over, linger};

    const MIB: u64 = 1024 * 1024;

    /// What one phase came to.
    struct Phase {
        name: &'static str,
        open: f64,
        median: Duration,
        p99: Duration,
        requests: usize,
        memory: u64,
    }

    /// How many drip, and for how long that is watched.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's only way to be told how much to do"
    )]
    fn size() -> (usize, Duration) {
        let told = std::env::var("KEYFERRY_SLOWLORIS").ok();
        let told = told.map(|count| count.parse().expect("a number of connections"));
        told.map_or((200, Duration::from_secs(4)), |count| {
            (count, Duration::from_secs(30))
        })
    }

    /// What a client in good standing sees while `going` on.
    fn serve(wire: &mut Wire, gateway: &Gateway, name: &'static str, time: Duration) -> Phase {
        let (begun, mut took) = (clock::monotonic(), Vec::new());
        while begun.elapsed() < time {
            let sent = clock::monotonic();
            let answer = wire.call("GET", "/", &[]).unwrap();
            assert_eq!(answer.status, 200);
            took.push(sent.elapsed());
            linger(Duration::from_millis(2));
        }
        took.sort_unstable();
        let rank = |percent: usize| took[(took.len() - 1) * percent / 100];
        Phase {
            name,
            // Open, or pending while the handshake goes on.
            open: gateway.metric("keyferry_connections{"),
            median: rank(50),
            p99: rank(99),
            requests: took.len(),
            memory: gateway.resident_bytes(),
        }
    }

    /// Before, during and after the attack, with deadlines or without.
    fn run(world: &World, backend: &Backend, has_deadlines: bool) -> (Vec<Phase>, f64) {
        let (count, time) = size();
        let mut builder = Gateway::builder(world)
            .set("http.requests_per_connection", 1_000_000)
            .echo(backend)
            .route("/open", "echo", "none");
        if !has_deadlines {
            for setting in [
                "listener.handshake_timeout",
                "connections.head_timeout",
                "connections.write_timeout",
                "connections.max_age",
            ] {
                builder = builder.set(setting, "1h");
            }
            builder = builder.set("connections.body_minimum_rate", 0);
        } else if count < 1_000 {
            builder = builder
                .set("listener.handshake_timeout", "1s")
                .set("connections.head_timeout", "1s");
        }
        let gateway = builder.start();
        let alice = Shown {
            issued: world.client("alice").issued,
            whole: true,
        };
        let tls = Tls::trusting(&world.servers.x509);
        let wire = &mut tls.connect(gateway.address(), Some(&alice)).unwrap();
        let mut phases = vec![serve(wire, &gateway, "before", time / 2)];
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let over = &over;
                let tls = Tls::trusting(&world.servers.x509);
                let mut dripping = Dripping::new(gateway.address(), tls, count / 2, has_deadlines);
                scope.spawn(move || {
                    // They would be on machines of their own.
                    let _nice = rustix::process::nice(19);
                    dripping.open();
                    while !over.load(Ordering::SeqCst) {
                        dripping.drip();
                        linger(Duration::from_millis(20));
                    }
                });
            }
            // Also when this ends in a panic, or they would go on for ever.
            let _over = Over(&over);
            phases.push(serve(wire, &gateway, "while they come", time));
            phases.push(serve(wire, &gateway, "while they drip", time));
            phases.push(serve(wire, &gateway, "and go on", time));
        });
        phases.push(serve(wire, &gateway, "after", time / 2));
        let closed: f64 = gateway
            .metrics()
            .lines()
            .filter(|line| {
                line.starts_with("keyferry_connections_closed_total{")
                    || line.starts_with("keyferry_tls_handshake_failures_total{reason=\"timeout")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        (phases, closed)
    }

    /// R18, O13.
    #[test]
    fn o13_clients_that_drip_hold_nobody_up_and_nothing_for_long() {
        let (world, backend) = (World::new(), Backend::start());
        for has_deadlines in [false, true] {
            let (phases, closed) = run(&world, &backend, has_deadlines);
            eprintln!("with deadlines: {has_deadlines}; closed for being slow: {closed}");
            for phase in &phases {
                eprintln!(
                    "{:16} {:6} open, p50 {:>8.2?}, p99 {:>8.2?} of {:6} requests, {:4} MiB",
                    phase.name,
                    phase.open,
                    phase.median,
                    phase.p99,
                    phase.requests,
                    phase.memory / MIB
                );
            }
            // The attack: without deadlines all of them are held, and nobody is ever closed.
            if has_deadlines {
                assert!(closed > 0.0);
            } else {
                assert!(closed < 1.0);
                let held = phases.iter().map(|phase| phase.open).fold(0.0, f64::max);
                let (count, _) = size();
                assert!(held >= f64::from(u32::try_from(count / 10 * 9).unwrap()));
            }
        }
    }
}
