//! The load: a fixed number of clients for a fixed time, one thread each.
//!
//! Every client sends a request, waits for the whole answer, and sends the next: at once, or at
//! a given rate. With a rate, latency counts from the moment at which the request was due, so that a
//! slow answer is not hidden by the requests that it held up.

use std::fs;
use std::io::{self, Write as _};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use keyferry::clock::monotonic;

use super::client::{Client, Kind};

/// How many requests each client sends before anything is measured.
const WARM_UP: usize = 50;

/// Make load and measure what it costs the gateway; prints one JSON object
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    kind: Kind,
    /// A process of the gateway, to measure its CPU time
    #[arg(long, required = true)]
    pid: Vec<u32>,
    /// How many clients
    #[arg(long)]
    connections: u32,
    /// For how long
    #[arg(long)]
    seconds: f64,
    /// How many requests a second over all connections; 0 for as many as are answered
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
}

pub(super) fn run(args: &Args) -> Result<()> {
    ensure!(args.connections > 0, "no load without connections");
    let list = fs::read_to_string(args.kind.folder.join(&args.kind.keys))?;
    let keys: Vec<&str> = keys(&list).collect();
    let connections = usize::try_from(args.connections)?;
    let ready = Barrier::new(connections.saturating_add(1));
    let (latencies, cpu_ticks, took) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..args.connections)
            .map(|number| {
                let (keys, ready) = (&keys, &ready);
                scope.spawn(move || {
                    let client = warmed_up(args, number, keys);
                    // The others wait for everybody, also for those that failed.
                    ready.wait();
                    measure(client?, args, number)
                })
            })
            .collect();
        ready.wait();
        let (begun, before) = (monotonic(), cpu_ticks(&args.pid));
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        let ticks = cpu_ticks(&args.pid)?.saturating_sub(before?);
        anyhow::Ok((latencies, ticks, begun.elapsed()))
    })?;
    print(latencies, cpu_ticks, took)
}

/// The keys of a list: the last word of each line.
pub(super) fn keys(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| line.rsplit(' ').next())
}

fn print(mut latencies: Vec<Duration>, cpu_ticks: u64, took: Duration) -> Result<()> {
    latencies.sort_unstable();
    let quantile = |per_cent: usize| {
        let at = latencies.len().saturating_mul(per_cent).div_euclid(100);
        let latency = latencies.get(at).context("nothing was measured")?;
        anyhow::Ok(latency.as_secs_f64() * 1e6)
    };
    let result = serde_json::json!({
        "requests": latencies.len(),
        "seconds": took.as_secs_f64(),
        "cpu_ticks": cpu_ticks,
        "p50_us": quantile(50)?,
        "p99_us": quantile(99)?,
    });
    Ok(writeln!(io::stdout(), "{result}")?)
}

/// The clock ticks that processes spent, in their own code and in the kernel for it: fields 14 and 15
/// of `proc_pid_stat(5)`.
fn cpu_ticks(pids: &[u32]) -> Result<u64> {
    let mut sum = 0_u64;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the program's name in parentheses, which may hold anything.
        let (_, rest) = stat.rsplit_once(") ").context("an unknown form of stat")?;
        for field in rest.split(' ').skip(11).take(2) {
            sum = sum.saturating_add(field.parse()?);
        }
    }
    Ok(sum)
}

fn warmed_up<'a>(args: &'a Args, number: u32, keys: &'a [&'a str]) -> Result<Client<'a>> {
    let (number, of) = (number.try_into()?, args.connections.try_into()?);
    let mut client = Client::new(&args.kind, number, of, keys)?;
    for _ in 0..WARM_UP.max(args.kind.each) {
        client.request()?;
    }
    Ok(client)
}

/// Gives the latency of every request.
fn measure(mut client: Client<'_>, args: &Args, number: u32) -> Result<Vec<Duration>> {
    let begun = monotonic();
    let interval = if args.rate > 0.0 {
        Duration::from_secs_f64(f64::from(args.connections) / args.rate)
    } else {
        Duration::ZERO
    };
    let seconds = Duration::from_secs_f64(args.seconds);
    // Not all at once: each begins at its own part of the interval.
    let part = interval
        .saturating_mul(number)
        .checked_div(args.connections);
    let mut due = begun
        .checked_add(part.unwrap_or_default())
        .context("the end of time")?;
    let mut latencies = Vec::new();
    while due.duration_since(begun) < seconds {
        wait_until(due);
        client.request()?;
        latencies.push(due.elapsed());
        due = if interval.is_zero() {
            monotonic()
        } else {
            due.checked_add(interval).context("the end of time")?
        };
    }
    Ok(latencies)
}

fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(monotonic());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
