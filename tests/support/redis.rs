//! A Redis server of a test's own.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyferry::clock;
use tempfile::TempDir;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A `redis-server` process in a folder of its own, on a port that the system gave. It ends with
/// this value.
pub(crate) struct RedisServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    options: Vec<String>,
}

impl RedisServer {
    /// A server that keeps everything in memory, with further `options` as on its command line.
    pub(crate) async fn start(options: &[&str]) -> Self {
        let mut server = Self {
            child: None,
            port: 0,
            folder: tempfile::tempdir().unwrap(),
            options: options.iter().map(ToString::to_string).collect(),
        };
        // Between the look for a free port and the start another process may take it.
        for _ in 0..5 {
            server.port = free_port();
            if server.start_again().await {
                return server;
            }
        }
        panic!("redis-server does not start: {}", server.log());
    }

    /// Starts the server after [`Self::stop`], on its old port and with what it saved; tells
    /// whether it answers.
    pub(crate) async fn start_again(&mut self) -> bool {
        let log = File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.folder.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .expect("redis-server is needed for this test: apt-get install redis-server");
        self.child = Some(child);
        let begun: Instant = clock::monotonic();
        while begun.elapsed() < PATIENCE {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() {
                return false;
            }
            if self.is_ready() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer: {}", self.log());
    }

    /// Ends the server as a crash would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Where it is, for a client without a password.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection that blocks, for looking behind the store's back.
    pub(crate) fn connection(&self) -> redis::Connection {
        self.try_connect().unwrap()
    }

    fn try_connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection_with_timeout(PATIENCE)
    }

    /// It answers, if only that it wants a password.
    fn is_ready(&self) -> bool {
        let ping = |mut connection| redis::cmd("PING").query::<String>(&mut connection);
        match self.try_connect().and_then(ping) {
            Ok(_) => true,
            Err(error) => error.code() == Some("NOAUTH"),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
