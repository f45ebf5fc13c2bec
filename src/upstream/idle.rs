//! Connections to a backend that wait for their next request.
//!
//! Each thread has its own, since its runtime is the one that hears of them: a connection that
//! another thread took along would wake this one for every answer. So nobody waits for anybody here,
//! but for who ends those that waited too long.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use thread_local::ThreadLocal;
use tokio::io::{AsyncRead as _, ReadBuf};

use crate::clock;

/// How many of one backend wait in one thread at most.
const MOST: usize = 128;

/// Those of one backend.
#[derive(Default)]
pub(super) struct Idle(ThreadLocal<Mutex<VecDeque<Waiting>>>);

struct Waiting {
    address: SocketAddr,
    since: Instant,
    stream: Stream,
}

impl Idle {
    /// The one to `address` that has waited the shortest, if its other end is still there.
    pub(super) fn take(&self, address: &SocketAddr) -> Option<Stream> {
        let mut waiting = lock(self.0.get()?);
        loop {
            let at = waiting.iter().rposition(|one| one.address == *address)?;
            let mut stream = waiting.remove(at)?.stream;
            if is_quiet(&mut stream) {
                return Some(stream);
            }
        }
    }

    /// Keeps `stream`, which goes to `address`, for the next request.
    pub(super) fn put(&self, address: SocketAddr, stream: Stream) {
        let mut waiting = lock(self.0.get_or_default());
        if waiting.len() >= MOST {
            waiting.pop_front();
        }
        waiting.push_back(Waiting {
            address,
            since: clock::monotonic(),
            stream,
        });
    }

    /// Closes those that have waited for longer than `most`.
    pub(super) fn sweep(&self, most: Duration, now: Instant) {
        let is_late = |one: &mut Waiting| now.saturating_duration_since(one.since) > most;
        let next = |list: &Mutex<VecDeque<Waiting>>| lock(list).pop_front_if(is_late);
        for waiting in &self.0 {
            // One by one, and closed when the list is free for others again.
            while let Some(late) = next(waiting) {
                drop(late);
            }
        }
    }
}

fn lock(waiting: &Mutex<VecDeque<Waiting>>) -> MutexGuard<'_, VecDeque<Waiting>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nothing comes from the other end, neither its end nor an answer that nobody asked for.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    let read = Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
    read.is_pending()
}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4::stream::Stream as Tcp;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Both ends of a connection, and where it goes.
    async fn connection(listener: &TcpListener) -> (Stream, TcpStream, SocketAddr) {
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        let ours: Stream = Box::new(Tcp::from(ours.unwrap()));
        (ours, theirs.unwrap().0, SocketAddr::Inet(address))
    }

    #[tokio::test]
    async fn the_connection_that_waited_the_shortest_is_used_again_if_it_is_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (first, _kept, address) = connection(&listener).await;
        let (mut second, closed, _) = connection(&listener).await;
        let (elsewhere, _other, _) = connection(&listener).await;
        drop(closed);
        assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0);
        let (first_id, idle) = (first.id(), Idle::default());
        idle.put(address.clone(), first);
        idle.put(address.clone(), second);
        idle.put("127.0.0.1:9".parse().unwrap(), elsewhere);
        let taken = idle.take(&address).unwrap();
        assert_eq!(taken.id(), first_id);
        assert!(idle.take(&address).is_none());
    }

    #[tokio::test]
    async fn what_has_waited_for_too_long_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, mut theirs, address) = connection(&listener).await;
        let idle = Idle::default();
        idle.put(address.clone(), ours);
        let now = clock::monotonic();
        let later = now.checked_add(Duration::from_secs(51)).unwrap();
        idle.sweep(Duration::from_secs(50), now);
        assert!(idle.0.iter().any(|waiting| !lock(waiting).is_empty()));
        idle.sweep(Duration::from_secs(50), later);
        let mut room = [0; 1];
        let closed = tokio::time::timeout(Duration::from_secs(5), theirs.read(&mut room));
        assert_eq!(closed.await.expect("it was closed").unwrap(), 0);
        assert!(idle.take(&address).is_none());
    }
}
