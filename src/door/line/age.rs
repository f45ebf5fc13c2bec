//! A connection that has served long enough takes no more requests.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pingora::server::ShutdownWatch;
use tokio::sync::watch;

use super::{Closing, Line};

/// How long a client is given to leave, once it was asked to.
const NOTICE: Duration = Duration::from_secs(30);

/// Runs `serve` on `line`, with a signal to wind up that comes when the gateway stops, or after
/// `age`: HTTP/1.1 then says `Connection: close` with its next answer, HTTP/2 sends GOAWAY.
pub(in crate::door) async fn while_young<F: Future>(
    line: &Line,
    age: Duration,
    stop: &ShutdownWatch,
    serve: impl FnOnce(ShutdownWatch) -> F,
) -> F::Output {
    let (wind_up, signal) = watch::channel(*stop.borrow());
    let serving = serve(signal);
    let watching = async {
        let mut stop = stop.clone();
        let grow_old = async {
            tokio::time::sleep(age).await;
            line.is_asked_to_go.store(true, Ordering::Relaxed);
            wind_up.send_replace(true);
            tokio::time::sleep(NOTICE).await;
            line.over.store(true, Ordering::Relaxed);
            // If it is idle, it ends now.
            line.is_asked_to_go.store(false, Ordering::Relaxed);
            wind_up.send_replace(true);
            while line.serving.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(NOTICE).await;
            }
            line.close(Closing::TooOld);
        };
        tokio::select! {
            () = grow_old => {}
            _ = stop.changed() => {
                line.is_asked_to_go.store(false, Ordering::Relaxed);
                wind_up.send_replace(true);
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        done = serving => done,
        never = watching => never,
    }
}
