//! Sends back whatever it is sent: a task for each connection, and blocking calls in it.
//!
//! ```sh
//! cargo run --release --example echo_server -- 127.0.0.1:7000
//! nc 127.0.0.1 7000
//! ```
//!
//! Without an address it takes a free port of the loopback interface. It runs until it is interrupted.

use std::env;
use std::io;
use std::time::Duration;
use throng::net::{TcpListener, TcpStream};
use throng::task;

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    // The accepting loop is a task too: then no connection has to cross from this thread to a worker.
    throng::run(|| {
        let listener = TcpListener::bind(&*address)?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            match listener.accept() {
                Ok((stream, peer)) => {
                    throng::spawn(move || {
                        if let Err(error) = echo(&stream) {
                            eprintln!("{peer}: {error}");
                        }
                    });
                }
                // Out of descriptors, most likely: wait until some connections have closed.
                Err(error) => {
                    eprintln!("accept: {error}");
                    task::sleep(Duration::from_millis(100));
                }
            }
        }
    })
}

fn echo(stream: &TcpStream) -> io::Result<u64> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (stream, stream);
    io::copy(&mut reader, &mut writer)
}
