//! Tasks that spin, and tasks that block their kernel thread, beside one that ticks: how late is it?
//!
//! ```sh
//! cargo run --release --example stuck_ok
//! ```

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use throng::net::{TcpListener, TcpStream};
use throng::task::sleep;

const MS: Duration = Duration::from_millis(1);

/// Sleeps a millisecond at a time, for so long, and tells how late it woke: in the middle, at the 99th of a hundred, at worst.
fn tick(time: Duration) -> String {
    let end = Instant::now() + time;
    let mut late = Vec::new();
    while Instant::now() < end {
        let before = Instant::now();
        sleep(MS);
        late.push(before.elapsed() - MS);
    }
    late.sort();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    format!("{} ticks, late by {:.1?}, p99 {:.1?}, at worst {:.1?}", late.len(), at(0.5), at(0.99), at(1.0))
}

fn main() -> std::io::Result<()> {
    println!("nobody else:                {}", throng::run(|| tick(500 * MS)));

    // Four tasks that never come back to the library, as long as they are not told to end.
    let stop = Arc::new(AtomicBool::new(false));
    let spin = |stop: Arc<AtomicBool>| {
        throng::spawn(move || {
            while !stop.load(Relaxed) {
                black_box(0);
            }
        })
    };
    let spinners: Vec<_> = (0..4).map(|_| spin(Arc::clone(&stop))).collect();
    println!("beside 4 spinners:          {}", throng::run(|| tick(2000 * MS)));
    stop.store(true, Relaxed);
    spinners.into_iter().for_each(|spinner| spinner.join().unwrap());

    // Tasks that sleep in the kernel, though nobody told the library.
    let sleepers = |count, announced| {
        let before = Instant::now();
        let nap = || std::thread::sleep(20 * MS);
        let tasks = (0..count).map(|_| throng::spawn(move || if announced { throng::blocking(nap) } else { nap() }));
        tasks.collect::<Vec<_>>().into_iter().for_each(|task| task.join().unwrap());
        before.elapsed()
    };
    println!("64 tasks block for 20 ms:   all done after {:.1?}", sleepers(64, false));
    println!("the same, announced:        all done after {:.1?}", sleepers(64, true));

    // Three hundred that spin for ever, and then a server.
    let stop = Arc::new(AtomicBool::new(false));
    let before = Instant::now();
    let spinners: Vec<_> = (0..300).map(|_| spin(Arc::clone(&stop))).collect();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = throng::spawn(move || {
        for stream in listener.incoming().take(20) {
            throng::spawn(move || stream.unwrap().write_all(b"here").unwrap());
        }
    });
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let asked = Instant::now();
        let mut answer = String::new();
        TcpStream::connect(address)?.read_to_string(&mut answer)?;
        worst = worst.max(asked.elapsed());
    }
    server.join().unwrap();
    println!("beside 300 spinners:        20 answers in {:.1?}, the slowest in {worst:.1?}", before.elapsed());
    stop.store(true, Relaxed);
    spinners.into_iter().for_each(|spinner| spinner.join().unwrap());
    Ok(())
}
