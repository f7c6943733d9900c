//! As little of HTTP/1.1 as `wrk` needs: requests without a body, answered by one fixed page, keep-alive and pipelining.
//! The same parser serves every Rust runtime, so that only the runtime differs.

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Sends back what it gets.
    Echo,
    /// Answers each request with a small page.
    Http,
}

/// The answer to any request.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

/// The request of the built-in load generator.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Bytes a server reads at once.
pub const BUFFER: usize = 4096;

/// No buffer holds more ends of requests than this.
const MOST: usize = BUFFER / 4;

static ANSWERS: [u8; MOST * ANSWER.len()] = {
    let mut answers = [0; MOST * ANSWER.len()];
    let mut i = 0;
    while i < answers.len() {
        answers[i] = ANSWER[i % ANSWER.len()];
        i += 1;
    }
    answers
};

/// What to write for the whole requests in `received`, and how many of its bytes they are. Headers that don't fit into a buffer end
/// the connection: the next read has no room and returns nothing.
pub fn answers(received: &[u8]) -> (&'static [u8], usize) {
    let mut requests = 0;
    let mut used = 0;
    while let Some(end) = received[used..].windows(4).position(|four| four == b"\r\n\r\n") {
        used += end + 4;
        requests += 1;
    }
    (&ANSWERS[..requests * ANSWER.len()], used)
}
