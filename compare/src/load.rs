//! The load on a server: connections that each send a request, wait for the whole answer and send the next.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::http::{self, Service};

/// Bytes of an echoed message.
pub const MESSAGE: usize = 64;

/// A number of open connections, all driven by the calling thread.
#[derive(Debug)]
pub struct Load {
    poll: Poll,
    connections: HashMap<Token, Connection>,
    request: &'static [u8],
    answer: usize,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Bytes of the answer that have not come yet.
    missing: usize,
}

impl Load {
    /// Connects.
    ///
    /// # Errors
    /// Those of sockets.
    pub fn connect(server: SocketAddr, service: Service, connections: usize) -> io::Result<Load> {
        let poll = Poll::new()?;
        let connections = (0..connections)
            .map(|number| {
                let stream = std::net::TcpStream::connect(server)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
                Ok((Token(number), Connection { stream, missing: 0 }))
            })
            .collect::<io::Result<_>>()?;
        let (request, answer) = match service {
            Service::Echo => (&[b'.'; MESSAGE][..], MESSAGE),
            Service::Http => (http::REQUEST, http::ANSWER.len()),
        };
        Ok(Load { poll, connections, request, answer })
    }

    /// Keeps one request in flight on every connection for `time`, waits for the last answers, returns how many came.
    ///
    /// # Errors
    /// Those of sockets; a connection that the server closes.
    pub fn run_for(&mut self, time: Duration) -> io::Result<u64> {
        let end = Instant::now() + time;
        self.run_while(|_| Instant::now() < end)
    }

    /// The same for a number of requests.
    ///
    /// # Errors
    /// As for [`Load::run_for`].
    pub fn run_count(&mut self, requests: u64) -> io::Result<()> {
        self.run_while(|sent| sent < requests).map(drop)
    }

    /// Sends as long as `more` likes the number of requests sent before.
    fn run_while(&mut self, more: impl Fn(u64) -> bool) -> io::Result<u64> {
        let mut sent = 0;
        let mut waiting = 0;
        let mut events = Events::with_capacity(self.connections.len().max(1));
        for connection in self.connections.values_mut() {
            if more(sent) {
                connection.send(self.request, self.answer)?;
                sent += 1;
                waiting += 1;
            }
        }
        while waiting > 0 {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                let connection = self.connections.get_mut(&event.token()).expect("only connections are registered");
                if connection.missing == 0 || !connection.receive()? {
                    continue;
                }
                if more(sent) {
                    connection.send(self.request, self.answer)?;
                    sent += 1;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(sent)
    }
}

impl Connection {
    fn send(&mut self, request: &[u8], answer: usize) -> io::Result<()> {
        // The peer has read everything before, so there is room for a whole request.
        self.stream.write_all(request)?;
        self.missing = answer;
        Ok(())
    }

    /// Whether the whole answer is here.
    fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; http::BUFFER];
        while self.missing > 0 {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.missing -= read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
