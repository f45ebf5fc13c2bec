//! The proxy does what it says.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use keyferry::clock;

use crate::support::proxy::{Mode, Proxy};
use crate::support::wait_for;

const SHORT: Duration = Duration::from_millis(200);

/// A server that says back what it hears, and then a proxy in front of it.
struct Echo {
    proxy: Proxy,
    port: u16,
}

fn echo(greeting: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    #[expect(clippy::disallowed_methods, reason = "no Pingora in here")]
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut heard = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut heard) {
                    heard[0] = greeting;
                    if stream.write_all(&heard[..read]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

impl Echo {
    fn start() -> Self {
        let port = echo(b'1');
        let proxy = Proxy::to(port);
        Self { proxy, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.proxy.port())).unwrap();
        stream.set_read_timeout(Some(SHORT)).unwrap();
        stream
    }

    /// One that has been answered.
    fn connected(&self) -> TcpStream {
        let mut stream = self.connect();
        assert_eq!(ask(&mut stream).unwrap(), *b"1bcd");
        stream
    }
}

fn ask(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    stream.write_all(b"abcd")?;
    hear(stream)
}

fn hear(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn kind(answer: std::io::Result<[u8; 4]>) -> ErrorKind {
    answer.unwrap_err().kind()
}

const SILENCE: ErrorKind = ErrorKind::WouldBlock;

#[test]
fn what_is_held_comes_when_that_is_over() {
    let echo = Echo::start();
    let mut live = echo.connected();
    for mode in [Mode::Hold, Mode::Deaf] {
        echo.proxy.set(mode);
        let mut new = echo.connect();
        assert_eq!(kind(ask(&mut live)), SILENCE);
        assert_eq!(kind(ask(&mut new)), SILENCE);
        echo.proxy.set(Mode::Pass);
        for stream in [&mut live, &mut new] {
            assert_eq!(hear(stream).unwrap(), *b"1bcd");
        }
    }
}

#[test]
fn connections_end_as_they_are_told_to() {
    let echo = Echo::start();
    for (mode, kind_of_end) in [
        (Mode::Reset, ErrorKind::ConnectionReset),
        (Mode::End, ErrorKind::UnexpectedEof),
    ] {
        let mut live = echo.connected();
        echo.proxy.set(mode);
        assert_eq!(kind(hear(&mut live)), kind_of_end);
        assert_eq!(kind(hear(&mut echo.connect())), kind_of_end);
        echo.proxy.set(Mode::Pass);
        echo.connected();
    }
}

#[test]
fn live_and_new_connections_are_told_apart() {
    let echo = Echo::start();
    let mut live = echo.connected();
    echo.proxy.set_new(Mode::Hold);
    assert_eq!(ask(&mut live).unwrap(), *b"1bcd");
    assert_eq!(kind(ask(&mut echo.connect())), SILENCE);
    echo.proxy.set(Mode::Pass);
    echo.proxy.set_live(Mode::Hold);
    assert_eq!(kind(ask(&mut live)), SILENCE);
    echo.connected();
}

#[test]
fn who_is_half_open_hears_nothing_ever() {
    let echo = Echo::start();
    let mut live = echo.connected();
    echo.proxy.set_live(Mode::Vanish);
    assert_eq!(kind(ask(&mut live)), SILENCE);
    echo.proxy.set(Mode::Pass);
    assert_eq!(kind(ask(&mut live)), SILENCE);
    echo.connected();
    assert!(echo.proxy.live() >= 1);
    drop(live);
    wait_for("all to be gone", || (echo.proxy.live() == 0).then_some(()));
}

#[test]
fn an_answer_is_cut_in_the_middle() {
    let echo = Echo::start();
    let mut live = echo.connected();
    echo.proxy.set(Mode::Cut(2));
    live.write_all(b"abcd").unwrap();
    let mut two = [0; 2];
    live.read_exact(&mut two).unwrap();
    assert_eq!(two, *b"1b");
    assert_eq!(kind(hear(&mut live)), ErrorKind::ConnectionReset);
}

#[test]
fn delays_and_trickles_take_their_time() {
    let echo = Echo::start();
    for (mode, least) in [
        (Mode::Delay(SHORT / 4), 2),
        (Mode::Trickle(1, SHORT / 8), 4),
    ] {
        let mut live = echo.connected();
        echo.proxy.set(mode);
        let begun = clock::monotonic();
        live.set_read_timeout(None).unwrap();
        ask(&mut live).unwrap();
        assert!(begun.elapsed() >= SHORT / 8 * least, "{mode:?}");
        echo.proxy.set(Mode::Pass);
    }
}

#[test]
fn where_nobody_listens_connections_are_refused_and_the_port_stays_ours() {
    let echo = Echo::start();
    let mut live = echo.connected();
    echo.proxy.set(Mode::Refuse);
    assert_eq!(kind(hear(&mut live)), ErrorKind::ConnectionReset);
    let connect = || TcpStream::connect(("127.0.0.1", echo.proxy.port()));
    wait_for("a refusal", || {
        connect()
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            .then_some(())
    });
    TcpListener::bind(("127.0.0.1", echo.proxy.port())).unwrap_err();
    echo.proxy.set(Mode::Pass);
    wait_for("the proxy to listen", || connect().ok());
    echo.connected();
}

#[test]
fn it_can_be_aimed_elsewhere() {
    let echo = Echo::start();
    let mut live = echo.connected();
    echo.proxy.aim(self::echo(b'2'));
    assert_eq!(ask(&mut live).unwrap(), *b"1bcd");
    assert_eq!(ask(&mut echo.connect()).unwrap(), *b"2bcd");
    echo.proxy.aim(echo.port);
    echo.connected();
}
