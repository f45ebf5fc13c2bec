//! What every row is set up with.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::load::Load;
use super::people::DAY;
use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::root;
use crate::support::proxy::Proxy;
use crate::support::redis::{Deployment, RedisServer};
use crate::support::world::World;

/// How long known clients are served without the store, in rows in which that is to end.
pub(crate) const SHORT: &str = "5s";
/// And in rows in which it is not.
pub(crate) const LONG: &str = "2m";

/// Authorities, a backend, and where servers of Redis are started from.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) backend: Backend,
    runtime: Runtime,
}

/// One server of Redis. One gateway reaches it through a proxy, the other one directly.
pub(crate) struct Single {
    // Ends before what it uses.
    pub(crate) one: Gateway,
    pub(crate) other: Gateway,
    pub(crate) proxy: Proxy,
    pub(crate) redis: RedisServer,
    pub(crate) scene: Scene,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let mut world = World::new();
        // Good also where a clock is a day off.
        world.clients = root("Clients Root")
            .dates(-10 * DAY, 10 * DAY)
            .self_signed();
        Self {
            world,
            backend: Backend::start(),
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Waits for what is told in a future.
    pub(crate) fn wait<T>(&self, for_it: impl Future<Output = T>) -> T {
        self.runtime.block_on(for_it)
    }

    /// A gateway that is not started yet; where its store is has still to be said.
    pub(crate) fn gateway(&self) -> Builder<'_> {
        Gateway::builder(&self.world)
            .echo(&self.backend)
            .set("self_service.per_address", 1_000_000)
    }

    /// Two gateways of this Redis.
    pub(crate) fn two(&self, redis: &Deployment, max_stale: &str) -> [Gateway; 2] {
        [(); 2].map(|()| {
            let gateway = self.gateway().in_redis(redis);
            gateway.set("store.max_stale", max_stale).start()
        })
    }
}

impl Single {
    pub(crate) fn start(options: &[&str], max_stale: &str) -> Self {
        Self::start_with(options, |gateway, _| {
            gateway.set("store.max_stale", max_stale)
        })
    }

    /// The same, with gateways that `adapt` has made different.
    pub(crate) fn start_with(
        options: &[&str],
        adapt: impl for<'a> Fn(Builder<'a>, &World) -> Builder<'a>,
    ) -> Self {
        let scene = Scene::new();
        let redis = scene.wait(RedisServer::start(options));
        let proxy = Proxy::to(redis.port());
        let [one, other] = [proxy.url(), redis.url()]
            .map(|url| adapt(scene.gateway().redis(&url), &scene.world).start());
        Self {
            one,
            other,
            proxy,
            redis,
            scene,
        }
    }

    /// The load of a row in which the store loses nothing.
    pub(crate) fn load(&self) -> Load<'_> {
        Load::new(&self.scene.world, [&self.one, &self.other], &|_| true)
    }
}

/// Whether the server there knows the key of that id as one that was issued. Before that it is a
/// name that a certificate maps to.
pub(crate) fn knows(url: &str, id: &str) -> bool {
    let told = told_at(url, &format!("HGET kf:{{kf}}:key {id}"));
    let told = told.expect("an answer after the fault");
    told.contains("digest") && !told.contains(r#"digest\":null"#)
}

/// Whether the server there says this of itself in its `INFO`.
pub(crate) fn informs(url: &str, line: &str) -> bool {
    // Sentinels end connections as they please.
    told_at(url, "INFO").is_ok_and(|told| told.contains(line))
}

/// What is answered there, or why nothing is.
pub(crate) fn told_at(url: &str, command: &str) -> Result<String, String> {
    let asked = || {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_connection_with_timeout(WITHIN)?;
        connection.set_read_timeout(Some(WITHIN))?;
        let mut words = command.split(' ');
        let mut question = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            question.arg(word);
        });
        question.query::<redis::Value>(&mut connection)
    };
    let answered: redis::RedisResult<_> = asked();
    answered
        .map(|answer| format!("{answer:?}"))
        .map_err(|error| format!("{} {error}", error.code().unwrap_or_default()))
}

/// How long a control waits for an answer that should not come.
const WITHIN: Duration = Duration::from_millis(500);
