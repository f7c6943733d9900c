//! Every interleaving of a wake with a poll that blocks, and of a waiter with the netpoll's end; run under loom.

use super::*;
use crate::primitive::AtomicU32;
use loom::sync::{Condvar, Mutex as Locked};
use loom::thread;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// The event descriptor: the kernel keeps its edge until it is collected.
#[derive(Default)]
struct Descriptor {
    edge: Locked<bool>,
    written: Condvar,
}

/// The race of a wake against a poll that is about to block. Loom finds it if the poll blocks for ever.
#[test]
fn no_wake_is_lost() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (word, descriptor) = (Arc::new(AtomicU8::new(AWAKE)), Arc::new(Descriptor::default()));
        let work = Arc::new(AtomicU32::new(0));
        let wakers = [(); 2].map(|()| {
            let (word, descriptor, work) = (Arc::clone(&word), Arc::clone(&descriptor), Arc::clone(&work));
            thread::spawn(move || {
                // Relaxed: the wake has to show it.
                work.fetch_add(1, Ordering::Relaxed);
                if Sleep::notify(&word) {
                    *descriptor.edge.lock().unwrap() = true;
                    descriptor.written.notify_one();
                }
            })
        });
        while work.load(Ordering::Relaxed) < 2 {
            if let Some(_asleep) = Sleep::begin(&word) {
                let mut edge = descriptor.edge.lock().unwrap();
                while !std::mem::take(&mut *edge) {
                    edge = descriptor.written.wait(edge).unwrap();
                }
            }
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}

/// The race of a waiter that registers against the end of the netpoll: it is sent away, and sleeps in no case.
#[test]
fn nobody_sleeps_in_a_netpoll_that_was_closed() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let netpoll = Netpoll::new().unwrap();
        let (socket, _silent) = UnixStream::pair().unwrap();
        let closing = thread::spawn({
            let netpoll = Arc::clone(&netpoll);
            move || netpoll.close()
        });
        let source = Source::new();
        let refused = loop {
            let seen = source.look(Direction::Read);
            match source.wait(socket.as_fd(), Direction::Read, seen, None, || Ok(Arc::clone(&netpoll))) {
                Ok(outcome) => assert_eq!(outcome, crate::control::Outcome::Woken),
                Err(error) => break error,
            }
        };
        assert!(refused.to_string().contains("shut down"), "{refused}");
        closing.join().unwrap();
    });
}
