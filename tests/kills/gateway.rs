//! A gateway, and its Redis, killed while clients and the operator use them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyferry::store::embedded::Settings;
use keyferry::store::redis::Redis;
use keyferry::store::{Store, open_embedded};
use tokio::runtime::Runtime;

use super::ledger::Ledger;
use super::life::{Client, Field, Operator};
use super::rounds;
use super::support::backend::Backend;
use super::support::dice::Dice;
use super::support::gateway::Gateway;
use super::support::redis::RedisServer;
use super::support::wire::Tls;
use super::support::world::World;
use super::support::{Over, linger, wait_for};
use super::whole::Whole;

/// A server that forgets nothing that it acknowledged.
pub(crate) const SAFE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// How many clients there are at a time.
const CLIENTS: usize = 2;

/// How long everybody is left in peace at most, in milliseconds.
const PEACE: u64 = 900;
/// How long a gateway has to start at most before it is killed again, in milliseconds.
const START: u64 = 400;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Gateway,
    /// And once more while it starts.
    GatewayTwice,
    Redis,
    Both,
}

/// A gateway with everybody who uses it.
struct Stage<'a> {
    gateway: Gateway,
    redis: Option<RedisServer>,
    field: Field<'a>,
    clients: Vec<Client>,
    operator: Operator,
    dice: Dice,
    runtime: Runtime,
}

impl<'a> Stage<'a> {
    fn set(world: &'a World, backend: &Backend, redis: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let redis = redis.then(|| runtime.block_on(RedisServer::start(&SAFE)));
        let builder = Gateway::builder(world)
            .echo(backend)
            .set("telemetry.log", "warn")
            .set("self_service.per_address", 1_000_000)
            .set("self_service.per_credential", 1_000_000);
        let gateway = match &redis {
            Some(redis) => builder.redis(&redis.url()).start(),
            None => builder.start(),
        };
        let mut dice = Dice::new();
        let client = |number| Client::new(format!("client-{number}"), &world.clients);
        Self {
            field: Field {
                gateway: gateway.address(),
                tls: Tls::trusting(&world.servers.x509),
                authority: &world.clients,
                ledger: Ledger::default(),
            },
            clients: (0..CLIENTS).map(client).collect(),
            operator: Operator::new(Dice::of(dice.number())),
            gateway,
            redis,
            dice,
            runtime,
        }
    }

    /// Everybody does what they do until the blow falls, and all comes back.
    fn round(&mut self, blow: Blow) {
        let peace = self.dice.within_ms(PEACE);
        let over = AtomicBool::new(false);
        let Self {
            gateway,
            redis,
            field,
            clients,
            operator,
            ..
        } = self;
        let (gateway, field) = (&*gateway, &*field);
        std::thread::scope(|scope| {
            let go_on = |mut turn: Box<dyn FnMut() -> Result<(), String> + Send>| {
                let over = &over;
                move || {
                    while !over.load(Ordering::Relaxed) {
                        if turn().is_err() {
                            linger(Duration::from_millis(10));
                        }
                    }
                }
            };
            for client in clients {
                scope.spawn(go_on(Box::new(|| client.turn(field))));
            }
            scope.spawn(go_on(Box::new(|| operator.turn(gateway, &field.ledger))));
            let _over = Over(&over);
            linger(peace);
            if blow != Blow::Redis {
                gateway.signal("KILL");
            }
            if let (Blow::Redis | Blow::Both, Some(redis)) = (blow, redis) {
                redis.stop();
            }
        });
        self.recover(blow);
    }

    fn recover(&mut self, blow: Blow) {
        if let (Blow::Redis | Blow::Both, Some(redis)) = (blow, &mut self.redis) {
            linger(self.dice.within_ms(START));
            assert!(self.runtime.block_on(redis.start_again()), "Redis");
        }
        if blow == Blow::Redis {
            return;
        }
        self.gateway.kill();
        if blow == Blow::GatewayTwice {
            self.gateway.begin_again();
            linger(self.dice.within_ms(START));
            self.gateway.kill();
        }
        self.gateway.start_again();
    }

    /// All that was acknowledged holds, and nothing was done by half.
    fn judge(&mut self, everything: bool) {
        let store = self.store();
        let whole = self.runtime.block_on(Whole::read(store.as_ref()));
        #[expect(clippy::cast_precision_loss, reason = "no test counts that far")]
        let epoch = whole.epoch().0 as f64;
        wait_for("the gateway to know everything", || {
            (self.gateway.metric("keyferry_store_epoch ") >= epoch).then_some(())
        });
        let wire = self.field.tls.connect(self.field.gateway, None);
        let mut wire = wire.expect("a connection");
        let dice = Some(&mut self.dice).filter(|_| !everything);
        self.field.ledger.holds(&whole, dice, |key| {
            let key = format!("Authorization: Bearer {key}");
            let answer = wire.call("GET", "/", &[key]);
            answer.expect("an answer").status
        });
    }

    fn store(&self) -> Arc<dyn Store> {
        if let Some(redis) = &self.redis {
            return Arc::new(Redis::new(&redis.settings()));
        }
        let settings = Settings::new(self.gateway.store_file());
        let opening = self.runtime.block_on(open_embedded(&settings));
        opening.expect("the store of the running gateway")
    }

    /// Rounds of blows that chance takes from `blows`, and what came of it.
    fn play(&mut self, rounds: u64, blows: &[Blow]) {
        let mut fallen = vec![0; blows.len()];
        for _ in 0..rounds {
            let at = self.dice.below(blows.len() as u64);
            let at = usize::try_from(at).expect("one of them");
            fallen[at] += 1;
            self.round(blows[at]);
            self.judge(false);
        }
        self.judge(true);
        self.gateway.cli(&["audit", "verify"]).expect_success();
        let store = self
            .redis
            .as_ref()
            .map_or("the embedded store", |_| "Redis");
        let fallen: Vec<_> = std::iter::zip(blows, fallen)
            .map(|(blow, times)| format!("{blow:?} {times}"))
            .collect();
        println!(
            "gateway on {store}: {rounds} rounds ({}); {} changes acknowledged, 0 lost",
            fallen.join(", "),
            self.field.ledger.len()
        );
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_a_gateway_on_the_embedded_store_is_killed() {
    let (world, backend) = (World::new(), Backend::start());
    let mut stage = Stage::set(&world, &backend, false);
    stage.play(rounds(5), &[Blow::Gateway, Blow::GatewayTwice]);
}

#[test]
fn nothing_acknowledged_is_lost_when_a_gateway_or_its_redis_is_killed() {
    let (world, backend) = (World::new(), Backend::start());
    let mut stage = Stage::set(&world, &backend, true);
    let blows = [Blow::Gateway, Blow::GatewayTwice, Blow::Redis, Blow::Both];
    stage.play(rounds(5), &blows);
}
