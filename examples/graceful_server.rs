//! A server that ends in good order: told to stop, it accepts nobody any more, gives the connections that it has a moment
//! to finish, and then cuts off the rest.
//!
//! ```sh
//! cargo run --example graceful_server
//! ```
//!
//! It ends by itself: the clients are here too, and a timer tells it to stop.

use std::io::{self, Read, Write};
use std::time::Duration;
use throng::cancel::Token;
use throng::chan::{Receiver, after};
use throng::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use throng::sync::WaitGroup;
use throng::task::sleep;

const MS: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let clients = [("quick", 10 * MS), ("slow", 200 * MS), ("late", 600 * MS)]
        .map(|(name, work)| throng::spawn(move || println!("{name}: {:?}", client(address, work))));
    // Any channel will do: another task may hold the sender, or a thread that waits for signals.
    serve(listener, &after(100 * MS), 300 * MS);
    clients.into_iter().for_each(|client| client.join().unwrap());
    Ok(())
}

/// Serves until there is a message in `stop`, or its sender has gone; then for as long as `patience`, if need be.
fn serve(listener: TcpListener, stop: &Receiver<impl Sized>, patience: Duration) {
    let (token, open) = (Token::new(), WaitGroup::new());
    let acceptor = throng::spawn({
        let (token, open) = (token.clone(), open.clone());
        move || {
            loop {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        let (token, open) = (token.clone(), open.clone());
                        throng::spawn(move || {
                            // Returned when the connection has ended, however it did.
                            let _open = open;
                            match token.run(|| echo(&stream)) {
                                Ok(result) => println!("server: {peer} has ended: {result:?}"),
                                Err(_) => println!("server: {peer} was cut off"),
                            }
                        });
                    }
                    // Out of descriptors, most likely: wait until some connections have closed.
                    Err(_) => sleep(100 * MS),
                }
            }
        }
    });

    let _ = stop.recv();
    println!("server: stops accepting");
    // It unwinds from `accept`, which drops the listener, and its handle of the group.
    acceptor.cancel();
    let _ = acceptor.join();

    if let Err(open) = open.wait_timeout(patience) {
        println!("server: is out of patience");
        token.cancel();
        // Each unwinds from its wait; what it has to tidy up takes as long as it takes.
        open.wait();
    }
    println!("server: has ended");
}

fn echo(stream: &TcpStream) -> io::Result<u64> {
    io::copy(&mut &*stream, &mut &*stream)
}

/// Says something, works for a while with the connection open, and says goodbye.
fn client(server: SocketAddr, work: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(b"hello and ")?;
    sleep(work);
    stream.write_all(b"goodbye")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
