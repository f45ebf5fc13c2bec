//! A Service: which pods it leads to, when the nodes hear of it, and a balancer of TCP that goes by it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyferry::clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// How a pod is, for its Service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unready,
    Ready,
    /// Whatever its probes say from now on.
    Terminating,
}

/// The pods of a Service, and what was true of them when.
pub(super) struct Endpoints {
    /// After which everybody knows.
    news: Duration,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    pods: BTreeMap<SocketAddr, State>,
    history: Vec<(Instant, Vec<SocketAddr>)>,
    turn: usize,
}

impl Endpoints {
    pub(super) fn new(news: Duration) -> Self {
        Self {
            news,
            now: Mutex::default(),
        }
    }

    /// Notes how a pod is; one that terminates stays so.
    pub(super) fn set(&self, pod: SocketAddr, state: State) {
        let mut now = self.lock();
        let known = now.pods.entry(pod).or_insert(State::Unready);
        if *known == state || *known == State::Terminating {
            return;
        }
        *known = state;
        let ready = now.pods.iter().filter(|(_, state)| **state == State::Ready);
        let ready = ready.map(|(pod, _)| *pod).collect();
        now.history.push((clock::monotonic(), ready));
    }

    /// The pod for the next connection, by what has got around: none when no pod is known.
    fn pick(&self) -> Option<SocketAddr> {
        let mut now = self.lock();
        now.turn = now.turn.wrapping_add(1);
        let mut latest_first = now.history.iter().rev();
        let (_, known) = latest_first.find(|(since, _)| since.elapsed() >= self.news)?;
        known.get(now.turn.checked_rem(known.len())?).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where clients call; it ends when dropped.
pub(crate) struct Service {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Service {
    pub(super) fn start(endpoints: Arc<Endpoints>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(TcpListener::bind(local));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, endpoints.pick()));
            }
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client whose pod is gone hears so at once, as from the node.
async fn carry(mut client: TcpStream, pod: Option<SocketAddr>) {
    let pod = match pod {
        Some(pod) => TcpStream::connect(pod).await.ok(),
        None => None,
    };
    let Some(mut pod) = pod else {
        let _gone_already = client.set_zero_linger();
        return;
    };
    let _plain = (client.set_nodelay(true), pod.set_nodelay(true));
    let _ended = tokio::io::copy_bidirectional(&mut client, &mut pod).await;
}
