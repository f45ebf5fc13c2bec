//! The side of the gateway that follows.

use std::io::{self, IoSliceMut, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream as Line;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::background::BackgroundService;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use super::super::health;
use super::super::stages::Stages;
use super::{LINE, QUESTION, SERVING, SOCKETS};
use crate::directory::Directory;
use crate::socket;

/// How long a gateway that follows may take until it could serve.
pub(super) const READY: Duration = Duration::from_mins(1);
/// How long the one that runs may take to answer.
const ANSWERED: Duration = Duration::from_secs(10);
/// How often it is looked whether it could.
const LOOK: Duration = Duration::from_millis(20);

/// The gateway that runs did not give its sockets.
#[derive(Debug, thiserror::Error)]
#[error("the gateway that runs does not hand over at {path}: {source}")]
pub struct NotGiven {
    path: PathBuf,
    source: io::Error,
}

/// The sockets that another process gave, and whether it is time to use them. The default: none, and
/// it is.
#[derive(Clone, Default)]
pub(in crate::server) struct Taken(Option<Given>);

#[derive(Clone)]
struct Given {
    sockets: Arc<[(String, RawFd)]>,
    go: watch::Receiver<bool>,
}

impl Taken {
    /// Waits until it is time, and puts the sockets where Pingora's listeners look for them. False
    /// when that time will not come.
    pub(in crate::server) async fn begin(&mut self, table: Option<&ListenFds>) -> bool {
        let Some(given) = &mut self.0 else {
            return true;
        };
        if given.go.wait_for(|go| *go).await.is_err() {
            return false;
        }
        if let Some(table) = table {
            let mut table = table.lock();
            for (name, socket) in given.sockets.iter() {
                table.add(name.clone(), *socket);
            }
        }
        true
    }

    /// Whether it has the socket of that address.
    pub(in crate::server) fn has(&self, address: SocketAddr) -> bool {
        let name = address.to_string();
        let mut names = self.0.iter().flat_map(|given| given.sockets.iter());
        names.any(|(taken, _)| *taken == name)
    }
}

/// A gateway that is to follow another, which has given its sockets.
pub(in crate::server) struct Follower {
    line: Line,
    go: watch::Sender<bool>,
}

/// Asks the gateway that runs for the sockets of these addresses. None when none runs.
pub(in crate::server) fn ask(
    path: &Path,
    addresses: impl Iterator<Item = SocketAddr>,
) -> Result<(Taken, Option<Follower>), NotGiven> {
    let question = addresses.fold(QUESTION.to_owned(), |question, address| {
        format!("{question} {address}")
    });
    let asked = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build()?;
        runtime.block_on(async { timeout(ANSWERED, converse(path, &question)).await? })
    };
    match asked() {
        Ok((sockets, line)) => {
            let (go, begin) = watch::channel(false);
            let given = Given {
                sockets: sockets.into(),
                go: begin,
            };
            Ok((Taken(Some(given)), Some(Follower { line, go })))
        }
        Err(error) if is_nobody(&error) => {
            tracing::info!(path = %path.display(), "no gateway runs that could be followed");
            Ok((Taken::default(), None))
        }
        Err(source) => Err(NotGiven {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The socket is not there, or nobody listens at it.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

async fn converse(path: &Path, question: &str) -> io::Result<(Vec<(String, RawFd)>, Line)> {
    let mut runner = UnixStream::connect(path).await?;
    // Somebody else's gateway would give sockets of its own choice.
    let ourselves = std::fs::metadata("/proc/self")?.uid();
    if !socket::is_of(&runner, ourselves, "upgrade") {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    runner.write_all(format!("{question}\n").as_bytes()).await?;
    let receive = || receive(runner.as_raw_fd());
    let (names, sockets) = runner.async_io(Interest::READABLE, receive).await?;
    let names: Vec<_> = names.split_ascii_whitespace().map(str::to_owned).collect();
    if names.len() != sockets.len() {
        return Err(io::Error::other(
            "it stops, or gave other sockets than it says",
        ));
    }
    let line = runner.into_std()?;
    line.set_nonblocking(false)?;
    Ok((names.into_iter().zip(sockets).collect(), line))
}

/// One message, and the sockets that it brings.
fn receive(from: RawFd) -> io::Result<(String, Vec<RawFd>)> {
    let mut text = [0; LINE];
    let mut space = cmsg_space!([RawFd; SOCKETS]);
    let mut into = [IoSliceMut::new(&mut text)];
    // A program that is started later must not hold them.
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(from, &mut into, Some(&mut space), flags)?;
    let mut sockets = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(given) = part {
            sockets.extend(given);
        }
    }
    let length = message.bytes;
    let text = text.get(..length).unwrap_or_default();
    match String::from_utf8_lossy(text).strip_suffix('\n') {
        Some(line) => Ok((line.to_owned(), sockets)),
        None => Err(io::Error::other("it stops, and gives nothing any more")),
    }
}

/// Begins to serve as soon as this gateway can, and tells the other.
pub(in crate::server) struct TakeOver {
    follower: Mutex<Option<Follower>>,
    directory: Arc<Directory>,
    max_stale: Duration,
    stages: Stages,
}

impl TakeOver {
    pub(in crate::server) fn new(
        follower: Follower,
        directory: &Arc<Directory>,
        max_stale: Duration,
        stages: &Stages,
    ) -> Self {
        Self {
            follower: Mutex::new(Some(follower)),
            directory: Arc::clone(directory),
            max_stale,
            stages: stages.clone(),
        }
    }
}

#[async_trait]
impl BackgroundService for TakeOver {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Some(mut follower) = self.follower.lock().await.take() else {
            return;
        };
        let ready = async {
            while !health::is_ready(&self.directory, self.max_stale) {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            ready = timeout(READY, ready) => if ready.is_err() {
                tracing::error!(
                    "what the store knows could not be loaded in time: the other gateway goes on"
                );
                self.stages.give_up().await;
                return;
            },
            _ = shutdown.changed() => return,
        }
        follower.go.send_replace(true);
        // Its listeners have them now, or are about to; connections wait for them meanwhile.
        match follower.line.write_all(SERVING.as_bytes()) {
            Ok(()) => tracing::info!("has taken over, and serves"),
            Err(error) => tracing::warn!(%error, "serves; the gateway before is gone already"),
        }
    }
}
