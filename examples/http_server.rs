//! A small HTTP/1.1 server: keep-alive, pipelining, limits, time-outs; a task for each connection.
//!
//! ```sh
//! cargo run --release --example http_server -- 127.0.0.1:8080
//! curl -i http://127.0.0.1:8080/
//! wrk -c64 http://127.0.0.1:8080/hello
//! ```
//!
//! Without an address it takes a free port of the loopback interface. It runs until it is interrupted.

use httparse::{EMPTY_HEADER, Status};
use std::env;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;
use throng::net::{TcpListener, TcpStream};
use throng::task;

const MAX_HEAD: usize = 16 << 10;
const MAX_BODY: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
const PAGE: &str = "<!doctype html><title>Throng</title><h1>It works</h1>\
    <p>Try <a href=/hello>/hello</a>, <a href=/slow>/slow</a> (which takes a second), or POST something to /echo.\n";

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    throng::run(|| {
        let listener = TcpListener::bind(&*address)?;
        println!("listening on http://{}/", listener.local_addr()?);
        loop {
            match listener.accept() {
                // Errors of a connection, a time-out included, concern nobody but its peer.
                Ok((stream, _)) => drop(throng::spawn(move || serve(&stream))),
                // Out of descriptors, most likely: wait until some connections have closed.
                Err(error) => {
                    eprintln!("accept: {error}");
                    task::sleep(Duration::from_millis(100));
                }
            }
        }
    })
}

/// Answers the requests of one connection until either side has had enough.
fn serve(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut input, mut output) = (Vec::new(), Vec::new());
    loop {
        // One read may bring a piece of a request or, pipelined, several: all that are complete get one write.
        let mut used = 0;
        let open = loop {
            match parse(&input[used..]) {
                Ok(Parsed::Request(request)) => {
                    used += request.length;
                    answer(&request, &mut output);
                    if !request.keep_alive {
                        break false;
                    }
                }
                Ok(Parsed::Incomplete { go_on }) => {
                    if go_on {
                        output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    break true;
                }
                Err(status) => {
                    respond(&mut output, status, "text/plain", status.as_bytes(), true, false);
                    break false;
                }
            }
        };
        input.drain(..used);
        stream.write_all(&output)?;
        output.clear();
        if !open {
            return close(stream);
        }
        let filled = input.len();
        input.resize(filled + 4096, 0);
        let read = stream.read(&mut input[filled..])?;
        if read == 0 {
            return Ok(());
        }
        input.truncate(filled + read);
    }
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a [u8],
    keep_alive: bool,
    length: usize,
}

enum Parsed<'a> {
    Request(Request<'a>),
    /// `go_on`: the client waits to be told to send the body.
    Incomplete {
        go_on: bool,
    },
}

/// Takes the first request out of `input`, or says with which status to refuse it.
fn parse(input: &[u8]) -> Result<Parsed<'_>, &'static str> {
    let mut headers = [EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let head_length = match head.parse(input) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(Status::Partial) if input.len() <= MAX_HEAD => return Ok(Parsed::Incomplete { go_on: false }),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err("431 Request Header Fields Too Large"),
        Err(httparse::Error::Version) => return Err("505 HTTP Version Not Supported"),
        Err(_) => return Err("400 Bad Request"),
    };
    let (mut hosts, mut body_length, mut go_on) = (0, None, false);
    let mut keep_alive = head.version == Some(1);
    for header in head.headers.iter() {
        let value = str::from_utf8(header.value).map_err(|_| "400 Bad Request")?;
        let has = |token| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token));
        match header.name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "connection" => keep_alive = (keep_alive || has("keep-alive")) && !has("close"),
            "expect" => go_on = has("100-continue"),
            "transfer-encoding" => return Err("501 Not Implemented"),
            "content-length" => {
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                if !digits || body_length.is_some() {
                    return Err("400 Bad Request");
                }
                body_length = Some(value.parse().unwrap_or(usize::MAX));
            }
            _ => {}
        }
    }
    if hosts > 1 || (hosts == 0 && head.version == Some(1)) {
        return Err("400 Bad Request");
    }
    let body_length = body_length.unwrap_or(0);
    if body_length > MAX_BODY {
        return Err("413 Content Too Large");
    }
    let length = head_length + body_length;
    let Some(body) = input.get(head_length..length) else {
        return Ok(Parsed::Incomplete { go_on: go_on && input.len() == head_length });
    };
    let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    Ok(Parsed::Request(Request { method, path, body, keep_alive, length }))
}

/// What the site consists of.
fn answer(request: &Request<'_>, output: &mut Vec<u8>) {
    let (status, kind, body): (_, _, &[u8]) = match (request.method, request.path) {
        ("GET" | "HEAD", "/") => ("200 OK", "text/html; charset=utf-8", PAGE.as_bytes()),
        ("GET" | "HEAD", "/hello") => ("200 OK", "text/plain", b"Hello, world!\n"),
        ("GET" | "HEAD", "/slow") => {
            // Only this connection waits.
            task::sleep(Duration::from_secs(1));
            ("200 OK", "text/plain", b"Good things take a second.\n")
        }
        ("POST", "/echo") => ("200 OK", "application/octet-stream", request.body),
        (_, "/" | "/hello" | "/slow" | "/echo") => ("405 Method Not Allowed", "text/plain", b"No such method here.\n"),
        _ => ("404 Not Found", "text/plain", b"Nothing here.\n"),
    };
    respond(output, status, kind, body, request.method != "HEAD", request.keep_alive);
}

fn respond(output: &mut Vec<u8>, status: &str, kind: &str, body: &[u8], with_body: bool, keep_alive: bool) {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = body.len();
    write!(
        output,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    )
    .expect("a vector takes everything");
    if with_body {
        output.extend_from_slice(body);
    }
}

/// Closes so that the last answer arrives: with unread input in it a closed socket resets the connection.
fn close(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut rest = [0; 4096];
    for _ in 0..256 {
        if stream.read(&mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}
