//! `compare <work> <runtime> [operations]`: runs one program once, in a process of its own, and prints
//! `work runtime figure [name=value ...]`. The figure is in nanoseconds for an operation, or what [`USAGE`] says.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use throng_compare::http::Service;
use throng_compare::load::Load;
use throng_compare::{Memory, Runtime, Work, cpu_time_of, switch};

const USAGE: &str = "usage: compare <work> <runtime> [operations]

work       switch, yield, spawn-join, spawn-all, ping-pong, ring, spsc, mpmc, select, sieve, fork-join, mutex
               nanoseconds for an operation
           sleep      CPU nanoseconds for a sleep
           parked     resident bytes for a task; page tables and mappings beside it
           idle       CPU nanoseconds that parked tasks and open sockets cost in ten seconds
           echo, http CPU nanoseconds of the server for a request (http is driven by `wrk` where that is installed)
           serve-echo, serve-http: only the server, until it is killed; prints its address
runtime    throng, tokio, may, threads; unguarded, strict: throng with another `Migration`; for switch: throng, corosensei, generator;
           for echo and http also go: then COMPARE_GO names the program built from compare/go";

/// How long a server is loaded: before the measurement, and for it.
const LOAD: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
const CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match command(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn command(arguments: &[String]) -> Result<String> {
    let (work, runtime, operations) = match arguments {
        [work, runtime] => (work.as_str(), runtime.as_str(), None),
        [work, runtime, operations] => (work.as_str(), runtime.as_str(), Some(operations.parse::<u64>()?)),
        _ => return Err(USAGE.into()),
    };
    let figures = match work {
        "switch" => bare_switch(runtime, operations.unwrap_or(100_000_000))?,
        "parked" => parked(named(runtime)?, operations),
        "idle" => idle(named(runtime)?)?,
        "echo" => loaded(runtime, Service::Echo)?,
        "http" => loaded(runtime, Service::Http)?,
        "serve-echo" => serve(named(runtime)?, Service::Echo),
        "serve-http" => serve(named(runtime)?, Service::Http),
        _ => {
            let work = Work::ALL.into_iter().find(|each| each.name() == work).ok_or(USAGE)?;
            let runtime = named(runtime)?;
            timed(work, runtime, operations.unwrap_or(runtime.operations(work)))?
        }
    };
    Ok(format!("{work} {runtime} {figures}"))
}

fn named(runtime: &str) -> Result<Runtime> {
    Ok(*Runtime::ALL.iter().find(|each| each.name() == runtime).ok_or(USAGE)?)
}

fn figure(time: Duration, operations: u64) -> String {
    format!("{:.2}", time.as_nanos() as f64 / operations as f64)
}

fn bare_switch(runtime: &str, n: u64) -> Result<String> {
    let (_, run) = switch::ALL.into_iter().find(|(name, _)| *name == runtime).ok_or(USAGE)?;
    Ok(figure(run(n), n))
}

fn timed(work: Work, runtime: Runtime, n: u64) -> Result<String> {
    if !runtime.can(work) {
        return Err(format!("{} can't do {}", runtime.name(), work.name()).into());
    }
    // Warms up: threads, allocator, pooled stacks.
    runtime.measure(work, n.div_ceil(10));
    Ok(figure(runtime.measure(work, n), n))
}

fn parked(runtime: Runtime, operations: Option<u64>) -> String {
    let n = operations.unwrap_or(match runtime {
        // It maps each stack and its guard apart, so that the kernel's limit on mappings is met soon after.
        Runtime::May => 30_000,
        Runtime::Threads => 10_000,
        _ => 1_000_000,
    });
    runtime.park_tasks(1);
    let before = Memory::now();
    runtime.park_tasks(n);
    let after = Memory::now();
    format!(
        "{} page-tables={} mappings={} tasks={n}",
        after.resident.saturating_sub(before.resident) / n,
        after.page_tables.saturating_sub(before.page_tables) / n,
        after.mappings
    )
}

fn idle(runtime: Runtime) -> Result<String> {
    let address = runtime.serve(Service::Echo);
    let sockets = (0..100).map(|_| TcpStream::connect(address)).collect::<std::io::Result<Vec<_>>>()?;
    runtime.park_tasks(10_000);
    runtime.long_sleeps(1000);
    thread::sleep(Duration::from_secs(1));
    let process = std::process::id();
    let before = cpu_time_of(process)?;
    thread::sleep(IDLE);
    let used = cpu_time_of(process)? - before;
    drop(sockets);
    Ok(used.as_nanos().to_string())
}

fn serve(runtime: Runtime, service: Service) -> ! {
    println!("{}", runtime.serve(service));
    loop {
        thread::park();
    }
}

/// Starts the server in a process of its own, loads it, and tells the CPU time of that process.
fn loaded(runtime: &str, service: Service) -> Result<String> {
    let program = match runtime {
        "go" => env::var_os("COMPARE_GO").ok_or("COMPARE_GO is not set")?,
        _ => env::current_exe()?.into_os_string(),
    };
    let work = match service {
        Service::Echo => "serve-echo",
        Service::Http => "serve-http",
    };
    let mut server = Server(Command::new(program).args([work, runtime]).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("it is piped")).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;

    let mut load = Load::connect(address, service, CONNECTIONS)?;
    load.run_for(LOAD.0)?;
    let before = cpu_time_of(server.0.id())?;
    let (requests, client) = match service {
        Service::Echo => (load.run_for(LOAD.1)?, "own"),
        Service::Http => match wrk(address)? {
            Some(requests) => (requests, "wrk"),
            None => (load.run_for(LOAD.1)?, "own"),
        },
    };
    let cpu = cpu_time_of(server.0.id())? - before;
    let rate = requests as f64 / LOAD.1.as_secs_f64();
    Ok(format!("{} requests-a-second={rate:.0} client={client}", figure(cpu, requests)))
}

/// Requests that `wrk` made; none if there is no `wrk`.
fn wrk(server: SocketAddr) -> Result<Option<u64>> {
    let seconds = format!("-d{}s", LOAD.1.as_secs());
    let connections = format!("-c{CONNECTIONS}");
    let output = match Command::new("wrk").args([&connections, "-t2", &seconds, &format!("http://{server}/")]).output()
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    let report = String::from_utf8(output.stdout)?;
    let count = report.lines().find_map(|line| line.trim().split_once(" requests in ")).ok_or("wrk failed")?;
    Ok(Some(count.0.parse()?))
}

/// A child that ends with its handle.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has seen.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
