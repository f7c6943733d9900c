//! Ending what waits: time limits, tokens, tasks that end together, and what cleans up behind them.
//!
//! ```sh
//! cargo run --example cancel
//! ```

use std::io::{Read, Write};
use std::time::{Duration, Instant};
use throng::cancel::{Cancelled, Token};
use throng::chan::{Receiver, unbounded};
use throng::net::{TcpListener, TcpStream};
use throng::task::sleep;
use throng::time::timeout;

const MS: Duration = Duration::from_millis(1);

/// Plain blocking code, which knows nothing of time limits.
fn ask(server: std::net::SocketAddr, question: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    writeln!(stream, "{question}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn main() -> std::io::Result<()> {
    // A server that accepts and never answers.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = throng::spawn(move || listener.incoming().collect::<Vec<_>>());

    // A time limit is put around any code. When it has passed, the read that waits unwinds, and the stream is closed.
    match timeout(50 * MS, || ask(address, "are you there?")) {
        Ok(answer) => println!("the server says {answer:?}"),
        Err(elapsed) => println!("no answer: {elapsed}"),
    }

    // A task that is cancelled unwinds from its wait, with all destructors.
    server.cancel();
    if server.join().is_err_and(|payload| payload.is::<Cancelled>()) {
        println!("the server was cancelled");
    }

    // A token cancels what runs under it, wherever that is, and is an arm of `select!` for code that asks.
    let shutdown = Token::new();
    let (log, lines) = unbounded::<String>();
    let reader = throng::spawn({
        let (token, lines) = (shutdown.clone(), lines.clone());
        move || read(&token, &lines)
    });
    let ticker = throng::spawn({
        let (token, log) = (shutdown.child(), log.clone());
        move || {
            let ticks = throng::chan::tick(10 * MS);
            loop {
                throng::select! {
                    recv(ticks) -> _ => log.send("tick".into()).unwrap(),
                    recv(token.done()) -> _ => break log.send("the ticker has stopped".into()).unwrap(),
                }
            }
        }
    });
    sleep(35 * MS);
    shutdown.cancel();
    ticker.join().unwrap();
    println!("read {} lines", reader.join().unwrap());

    // Tasks that end together: the first answer ends the others, and so would a panic.
    let start = Instant::now();
    let race = Token::new();
    let (answer, answers) = unbounded();
    let winner = race.scope(|s| {
        for runner in [3, 1, 2] {
            let answer = answer.clone();
            s.spawn(move || {
                sleep(runner * 20 * MS);
                answer.send(runner).unwrap();
                sleep(Duration::from_secs(3600));
            });
        }
        let winner = answers.recv().unwrap();
        race.cancel();
        winner
    });
    println!("runner {} wins, and after {} ms all have gone home", winner.unwrap(), start.elapsed().as_millis());
    Ok(())
}

/// Reads lines until the token is cancelled; then it has a moment for those that are still there.
fn read(token: &Token, lines: &Receiver<String>) -> usize {
    let mut count = 0;
    let _ = token.run(|| {
        struct Goodbye;
        impl Drop for Goodbye {
            fn drop(&mut self) {
                // Destructors run as the reader unwinds; nothing they wait for is cut short.
                sleep(MS);
                println!("the reader says goodbye");
            }
        }
        let _goodbye = Goodbye;
        lines.iter().for_each(|_| count += 1);
    });
    // Out of the scope one may wait again.
    let _ = timeout(5 * MS, || lines.iter().for_each(|_| count += 1));
    count
}
