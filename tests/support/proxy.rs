//! A TCP proxy that does to connections what networks and hosts do to them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything goes through.
    Pass,
    /// Every piece waits so long, in both directions.
    Delay(Duration),
    /// No more than so many bytes go at once, and each time after a pause.
    Trickle(usize, Duration),
    /// A black hole: it is open, and nothing goes through. What was said comes when this is over, as
    /// with TCP.
    Hold,
    /// What the client says goes through, and nothing comes back.
    Deaf,
    /// The server is gone without a word. Its side is closed and the client never hears of it.
    Vanish,
    /// The next answer ends after so many bytes, and the connection is reset.
    Cut(usize),
    /// It is reset (RST).
    Reset,
    /// It is ended in good order (FIN).
    End,
    /// Nobody listens; who was connected is reset.
    Refuse,
}

impl Mode {
    const fn is_final(self) -> bool {
        matches!(self, Self::Vanish | Self::Reset | Self::End | Self::Refuse)
    }
}

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Nobody else gets the port while nobody listens.
    _holder: TcpSocket,
    runtime: Option<Runtime>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    /// What becomes of connections to come.
    new: watch::Sender<Mode>,
    live: Mutex<Vec<watch::Sender<Mode>>>,
}

impl Proxy {
    /// A proxy that leads to this port, and lets everything through.
    pub(crate) fn to(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let context = runtime.enter();
        let holder = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = holder.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            target: Mutex::new(local(port)),
            new: watch::Sender::new(Mode::Pass),
            live: Mutex::default(),
        });
        let first = socket(address).listen(128).expect("our own port");
        runtime.spawn(listen(first, address, Arc::clone(&shared)));
        drop(context);
        Self {
            address,
            shared,
            _holder: holder,
            runtime: Some(runtime),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it is, for a client of Redis without a password.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Leads connections to come to another port.
    pub(crate) fn aim(&self, port: u16) {
        *lock(&self.shared.target) = local(port);
    }

    /// So it is from now on, for all connections.
    pub(crate) fn set(&self, mode: Mode) {
        // These first: whoever is reset may come again at once.
        self.set_new(mode);
        self.set_live(mode);
    }

    /// So it is for connections to come.
    pub(crate) fn set_new(&self, mode: Mode) {
        self.shared.new.send_replace(mode);
    }

    /// So it is for the connections that there are.
    pub(crate) fn set_live(&self, mode: Mode) {
        for connection in &*lock(&self.shared.live) {
            connection.send_replace(mode);
        }
    }

    /// How many connections there are.
    pub(crate) fn live(&self) -> usize {
        let mut live = lock(&self.shared.live);
        live.retain(|connection| !connection.is_closed());
        live.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that may be bound to a port that another one of ours has.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("a plain socket");
    socket.bind(address).expect("a free port");
    socket
}

async fn listen(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut new = shared.new.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => Some(accepted),
            refused = new.wait_for(|mode| *mode == Mode::Refuse) => {
                drop(refused);
                None
            }
        };
        match accepted {
            Some(Ok((client, _))) => {
                // Under the lock, so that no change of the mode passes between.
                let mut live = lock(&shared.live);
                let mode = watch::Sender::new(*shared.new.borrow());
                tokio::spawn(serve(client, Arc::clone(&shared), mode.subscribe()));
                live.push(mode);
            }
            Some(Err(_)) => {}
            None => {
                drop(listener);
                drop(new.wait_for(|mode| *mode != Mode::Refuse).await);
                listener = socket(address).listen(128).expect("our own port");
            }
        }
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>, mode: watch::Receiver<Mode>) {
    let _plain = client.set_nodelay(true);
    let mut ends = mode.clone();
    let end = tokio::select! {
        end = ends.wait_for(|mode| mode.is_final()) => end.map_or(Mode::Reset, |mode| *mode),
        end = carry_both(&mut client, &shared, mode) => end,
    };
    match end {
        Mode::End => drop(client.shutdown().await),
        Mode::Vanish => {
            let mut unheard = [0; 4096];
            while client.read(&mut unheard).await.is_ok_and(|read| read > 0) {}
        }
        _ => drop(client.set_zero_linger()),
    }
}

/// Gives how the client's connection ends when it does by itself.
async fn carry_both(
    client: &mut TcpStream,
    shared: &Shared,
    mut mode: watch::Receiver<Mode>,
) -> Mode {
    drop(mode.wait_for(|mode| *mode != Mode::Hold).await);
    let target = *lock(&shared.target);
    let Ok(mut server) = TcpStream::connect(target).await else {
        return Mode::Reset;
    };
    let _plain = server.set_nodelay(true);
    let (client_says, to_client) = client.split();
    let (server_says, to_server) = server.split();
    let both = tokio::try_join!(
        carry(client_says, to_server, mode.clone(), false),
        carry(server_says, to_client, mode, true),
    );
    both.map_or(Mode::Reset, |_| Mode::End)
}

/// Carries what comes from one side to the other until the first says no more. Fails when the whole
/// connection is over.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut mode: watch::Receiver<Mode>,
    is_answer: bool,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        let mut rest = &bytes[..read];
        loop {
            let is_open = |mode: &Mode| *mode != Mode::Hold && !(is_answer && *mode == Mode::Deaf);
            let now = mode
                .wait_for(is_open)
                .await
                .map_or(Mode::Reset, |mode| *mode);
            // Its end waits like everything else.
            if rest.is_empty() {
                break;
            }
            let (most, pause) = match now {
                Mode::Delay(pause) => (rest.len(), pause),
                Mode::Trickle(most, pause) => (most, pause),
                Mode::Cut(most) if is_answer => (most, Duration::ZERO),
                _ => (rest.len(), Duration::ZERO),
            };
            tokio::time::sleep(pause).await;
            let (part, later) = rest.split_at(most.min(rest.len()));
            to.write_all(part).await?;
            rest = later;
            if is_answer && matches!(now, Mode::Cut(_)) {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
        }
        if read == 0 {
            return to.shutdown().await;
        }
    }
}
