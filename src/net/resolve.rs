//! The resolver: asks the system about host names, in a task of its own.
//!
//! `getaddrinfo` blocks for as long as it likes, seconds if a name server is down, and takes as much stack as the system's
//! modules for names do. So it is a [blocking section](crate::blocking()) of a task made for it, on a stack large enough,
//! and whoever asked joins that task. An asker that is cancelled, or whose time is up, goes away at once, which it
//! couldn't from a section of its own; the look-up ends by itself.

use crate::blocking::blocking;
use crate::current;
use crate::runtime::{self, Settings};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// What a thread of the system's would have at least. Only what is used becomes memory.
const STACK: usize = 1 << 20;

/// Asks the system's resolver. A task is parked meanwhile; a plain thread asks by itself.
pub(super) fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if current::task().is_none() {
        return ask(host, port);
    }
    let name = format!("the resolver of {host:?}");
    let host = host.to_owned();
    let settings = Settings { name: Some(name), stack_size: Some(STACK), observer: None };
    let answer = runtime::spawn_as(settings, move || blocking(|| ask(&host, port)))?;
    answer.join().unwrap_or_else(|_| Err(io::Error::other("the runtime ended before the host's address was found")))
}

fn ask(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}
