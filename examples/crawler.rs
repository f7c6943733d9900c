//! A crawler: a task for each link, a set of what has been seen, a semaphore for how many fetch at once. The site is one
//! that the example serves itself, over loopback sockets.
//!
//! ```sh
//! cargo run --release --example crawler
//! ```

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use throng::net::{TcpListener, TcpStream};
use throng::sync::{Mutex, Semaphore};
use throng::{Scope, task};

const PAGES: usize = 500;
const LATENCY: Duration = Duration::from_millis(20);
const AT_ONCE: usize = 32;

fn main() -> io::Result<()> {
    throng::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        throng::spawn(move || {
            for stream in listener.incoming().flatten() {
                throng::spawn(move || serve(&stream));
            }
        });

        let start = Instant::now();
        let crawl = Crawl {
            address,
            seen: Mutex::new(HashSet::from(["/0".to_owned()])),
            slots: Semaphore::new(AT_ONCE),
            fetched: AtomicUsize::new(0),
            dead: Mutex::new(Vec::new()),
        };
        // The scope ends when every task in it has, those that tasks have spawned included.
        throng::scope(|s| crawl.visit(s, "/0".to_owned()));

        let fetched = crawl.fetched.into_inner();
        println!("{fetched} pages in {} ms, {AT_ONCE} at once", start.elapsed().as_millis());
        println!("one after the other: {} ms at least", (LATENCY * fetched as u32).as_millis());
        println!("dead links: {:?}", crawl.dead.into_inner());
        Ok(())
    })
}

struct Crawl {
    address: SocketAddr,
    seen: Mutex<HashSet<String>>,
    slots: Semaphore,
    fetched: AtomicUsize,
    dead: Mutex<Vec<String>>,
}

impl Crawl {
    fn visit<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, path: String) {
        let page = {
            let _slot = self.slots.acquire();
            fetch(self.address, &path)
        };
        let Ok(page) = page else { return self.dead.lock().push(path) };
        self.fetched.fetch_add(1, Ordering::Relaxed);
        for link in page.lines() {
            if self.seen.lock().insert(link.to_owned()) {
                let link = link.to_owned();
                scope.spawn(move || self.visit(scope, link));
            }
        }
    }
}

/// Gets a page: a list of paths, one a line.
fn fetch(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    match reply.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200 ") => Ok(body.to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Serves one page: page n links to three others; those to page 7 and its like lead nowhere.
fn serve(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    while reader.read_line(&mut String::new())? > 2 {}
    task::sleep(LATENCY);
    let path = request.split(' ').nth(1).and_then(|path| path.strip_prefix('/'));
    let reply = match path.and_then(|path| path.parse::<usize>().ok()) {
        Some(n) if n < PAGES && n % 100 != 7 => {
            let links = [2 * n + 1, 2 * n + 2, n / 3].map(|to| format!("/{}\n", to % PAGES)).concat();
            format!("HTTP/1.0 200 OK\r\n\r\n{links}")
        }
        _ => "HTTP/1.0 404 Not Found\r\n\r\n".to_owned(),
    };
    stream.write_all(reply.as_bytes())
}
