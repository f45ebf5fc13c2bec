//! A wire over a pipe, with a client at the other end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::{Closing, Lifetimes, Line, Wire};
use crate::door::telling::Telling;
use crate::telemetry::Metrics;

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(30);

fn pair(head: Duration, write: Duration) -> (Wire<DuplexStream>, Arc<Line>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(64);
    let line = Arc::new(Line::new(Metrics::new().unwrap(), Arc::new(Telling::new())));
    let lifetimes = Lifetimes {
        head_timeout: head,
        write_timeout: write,
        idle_timeout: LONG,
        max_age: LONG,
        body_minimum_rate: 0,
    };
    (Wire::new(ours, Arc::clone(&line), &lifetimes), line, theirs)
}

#[tokio::test]
async fn a_head_that_was_begun_must_be_finished_and_one_that_was_not_may_wait() {
    let (mut wire, line, mut client) = pair(SHORT, LONG);
    let mut room = [0; 64];
    // Nothing was begun: it waits longer than a head may take.
    let idle = tokio::time::timeout(SHORT * 4, wire.read(&mut room)).await;
    assert!(idle.is_err() && line.closing().is_none());

    client.write_all(b"GET / HT").await.unwrap();
    assert_eq!(wire.read(&mut room).await.unwrap(), 8);
    let (read, told) = tokio::join!(wire.read(&mut room), async {
        let mut told = vec![0; 24];
        client.read_exact(&mut told).await.unwrap();
        drop(client);
        told
    });
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(line.closing(), Some(Closing::SlowHead));
    assert!(told.starts_with(b"HTTP/1.1 408 "));
}

#[tokio::test]
async fn once_the_head_is_there_the_client_may_take_its_time_until_the_next() {
    let (mut wire, line, mut client) = pair(SHORT, LONG);
    let mut room = [0; 64];
    client.write_all(b"GET").await.unwrap();
    assert_eq!(wire.read(&mut room).await.unwrap(), 3);
    line.has_head();
    let served = tokio::time::timeout(SHORT * 4, wire.read(&mut room)).await;
    assert!(served.is_err());
    line.await_head();
    let idle = tokio::time::timeout(SHORT * 4, wire.read(&mut room)).await;
    assert!(idle.is_err() && line.closing().is_none());
    client.write_all(b"G").await.unwrap();
    assert_eq!(wire.read(&mut room).await.unwrap(), 1);
    drop(client);
    assert_eq!(wire.read(&mut room).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let (mut wire, line, _client) = pair(LONG, SHORT);
    wire.write_all(&[0; 1_000]).await.unwrap();
    let written = wire.flush().await;
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(line.closing(), Some(Closing::NotReading));
    assert!(wire.write_all(b"more").await.is_err());
}

#[tokio::test]
async fn what_was_written_is_out_once_anything_is_waited_for() {
    let (mut wire, _line, mut client) = pair(LONG, LONG);
    let (mut ours, mut theirs) = ([0; 64], [0; 64]);
    wire.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    wire.write_all(b"\r\n").await.unwrap();
    tokio::select! {
        _ = wire.read(&mut ours) => unreachable!("the client says nothing"),
        read = tokio::time::timeout(Duration::from_secs(5), client.read(&mut theirs)) => {
            assert_eq!(read.expect("it went out").unwrap(), 19);
        }
    }
}

#[tokio::test]
async fn what_is_cut_off_ends_at_once_and_not_properly() {
    let (mut wire, line, mut client) = pair(LONG, LONG);
    wire.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    let mut room = [0; 64];
    let (read, ()) = tokio::join!(wire.read(&mut room), async {
        line.close(Closing::Refused("key_invalid"));
    });
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionAborted
    );
    assert!(wire.write_all(b"0\r\n\r\n").await.is_err());
    drop(wire);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"HTTP/1.1 200 OK\r\n");
}

#[tokio::test]
async fn a_websocket_is_closed_between_two_frames() {
    let (mut wire, line, mut client) = pair(LONG, LONG);
    line.has_head();
    line.upgrade();
    wire.write_all(b"HTTP/1.1 101 x\r\n\r\n\x82\x04ab")
        .await
        .unwrap();
    line.close(Closing::Refused("key_invalid"));
    let mut room = [0; 64];
    let (rest, all) = tokio::join!(wire.write_all(b"cd\x82\x02no"), async {
        let mut all = vec![0; 18 + 6 + 15];
        client.read_exact(&mut all).await.unwrap();
        drop(client);
        all
    });
    assert!(rest.is_err());
    assert_eq!(&all[18..], b"\x82\x04abcd\x88\x0d\x03\xf0key_invalid");
    assert!(wire.read(&mut room).await.is_err());
}

#[tokio::test]
async fn a_websocket_that_said_goodbye_is_not_told_it_again() {
    let (mut wire, line, mut client) = pair(LONG, LONG);
    line.upgrade();
    let said = b"HTTP/1.1 101 x\r\n\r\n\x88\x02\x03\xe8";
    wire.write_all(said).await.unwrap();
    line.close(Closing::Stopping);
    assert!(wire.read(&mut [0; 8]).await.is_err());
    drop(wire);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, said);
}
