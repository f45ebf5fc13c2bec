//! The side of the gateway that runs.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::super::stages::Stages;
use super::take::READY;
use super::{LINE, QUESTION, SERVING, SOCKETS};
use crate::socket;

/// How long the question may take.
const QUESTIONED: Duration = Duration::from_secs(5);
/// How long to pause when the system has no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// Gives the sockets to whoever asks at the socket `path`.
pub(in crate::server) struct Give {
    path: PathBuf,
    stages: Stages,
}

impl Give {
    pub(in crate::server) fn new(path: PathBuf, stages: &Stages) -> Self {
        let stages = stages.clone();
        Self { path, stages }
    }

    async fn keep(&self, sockets: &ListenFds) -> io::Result<()> {
        let (listener, owner) = socket::bind(&self.path)?;
        let listener = UnixListener::from_std(listener)?;
        loop {
            let follower = match listener.accept().await {
                Ok((follower, _)) => follower,
                Err(error) => {
                    tracing::warn!(%error, "cannot take the connection of another gateway");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if !socket::is_of(&follower, owner, "upgrade") {
                continue;
            }
            match hand_over(follower, sockets).await {
                Ok(()) => {
                    self.stages.handed_over().await;
                    return Ok(());
                }
                Err(error) => tracing::error!(
                    %error,
                    "another gateway was to take over and did not get to serve; this one goes on"
                ),
            }
        }
    }
}

#[async_trait]
impl Service for Give {
    async fn start_service(
        &mut self,
        sockets: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _: usize,
    ) {
        let Some(sockets) = sockets else { return };
        tokio::select! {
            kept = self.keep(&sockets) => if let Err(error) = kept {
                tracing::error!(%error, path = %self.path.display(), "no other gateway can take over");
            },
            _ = shutdown.changed() => {}
        }
    }

    fn name(&self) -> &'static str {
        "upgrade"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

/// Gives the sockets. Succeeds when the other serves with them.
async fn hand_over(follower: UnixStream, sockets: &ListenFds) -> io::Result<()> {
    let mut follower = BufReader::new(follower);
    let question = timeout(QUESTIONED, line(&mut follower)).await??;
    let wanted = question
        .strip_prefix(QUESTION)
        .ok_or_else(|| io::Error::other("it asked in another way than this version can answer"))?;
    let (names, given): (Vec<_>, Vec<_>) = {
        let sockets = sockets.lock();
        let found = wanted.split_ascii_whitespace().take(SOCKETS);
        found
            .filter_map(|name| Some((name, *sockets.get(name)?)))
            .unzip()
    };
    tracing::info!(sockets = ?names, "gives its sockets to another gateway");
    let answer = format!("{}\n", names.join(" "));
    let stream = follower.get_ref();
    let send = || send(stream.as_raw_fd(), &answer, &given);
    stream.async_io(Interest::WRITABLE, send).await?;
    let said = timeout(READY.saturating_add(QUESTIONED), line(&mut follower)).await??;
    if said == SERVING {
        Ok(())
    } else {
        Err(io::Error::other("it went away"))
    }
}

async fn line(from: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    let mut bounded = from.take(LINE as u64);
    bounded.read_line(&mut line).await?;
    Ok(line)
}

/// One message with these sockets.
fn send(to: RawFd, text: &str, sockets: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(sockets)];
    let rights = if sockets.is_empty() { &[][..] } else { &rights };
    let text = [IoSlice::new(text.as_bytes())];
    sendmsg::<()>(to, &text, rights, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}
