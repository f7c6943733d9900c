//! Every interleaving of a disconnection with a send and a receive, of a hand-over, and of a select; run under loom.

use super::{Receiver, Sender, bounded};
use crate::primitive::{AtomicBool, Ordering};
use loom::thread;
use std::sync::Arc;

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn pair(capacity: usize) -> (Sender<u32>, Receiver<u32>) {
    bounded(capacity)
}

/// The race of a receiver that is about to wait against the last sender's going: it would sleep for ever.
#[test]
fn closing_wakes_a_receiver() {
    model(|| {
        let (sender, receiver) = pair(0);
        let receiving = thread::spawn(move || assert!(receiver.recv().is_err()));
        drop(sender);
        receiving.join().unwrap();
    });
}

/// The same on the other side; the message comes back.
#[test]
fn closing_wakes_a_sender_and_returns_its_message() {
    model(|| {
        let (sender, receiver) = pair(0);
        let sending = thread::spawn(move || assert_eq!(sender.send(7).unwrap_err().into_inner(), 7));
        drop(receiver);
        sending.join().unwrap();
    });
}

/// A message is handed over once, whoever comes first, and what was sent before the close is received after it.
#[test]
fn a_message_sent_before_the_close_is_received() {
    for capacity in [0, 1] {
        model(move || {
            let (sender, receiver) = pair(capacity);
            let sending = thread::spawn(move || sender.send(7).unwrap());
            assert_eq!(receiver.recv(), Ok(7));
            assert!(receiver.recv().is_err());
            sending.join().unwrap();
        });
    }
}

/// A full channel: the sender that waits for room is let in by the receiver that makes it.
#[test]
fn room_is_not_missed() {
    model(|| {
        let (sender, receiver) = pair(1);
        sender.send(1).unwrap();
        let sending = thread::spawn(move || sender.send(2).unwrap());
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
        sending.join().unwrap();
    });
}

/// A select passes by a channel that has nothing for it. What comes then must not be missed, whether it finds the select
/// before, while or after it looks or links; nor may what is left after a message was taken. (Biased, since
/// loom's executions must not depend on chance.)
#[test]
fn a_select_misses_nothing() {
    for capacity in [0, 2] {
        model(move || {
            let ((sender, receiver), (_quiet, never)) = (pair(capacity), pair(capacity));
            let sending = thread::spawn(move || (1..=2).for_each(|message| sender.send(message).unwrap()));
            for expected in [Ok(1), Ok(2), Err(super::RecvError)] {
                crate::select_biased! {
                    recv(never) -> _ => unreachable!(),
                    recv(receiver) -> message => assert_eq!(message, expected),
                }
            }
            sending.join().unwrap();
        });
    }
}

/// A select that found nothing puts up the channel's sign, which turns the next one away without a look. Who was told of a
/// message is not turned away.
#[test]
fn one_who_knows_of_a_message_finds_it() {
    model(|| {
        let ((sender, receiver), (_quiet, never)) = (pair(1), pair(1));
        let is_empty = || {
            crate::select_biased! {
                recv(never) -> _ => unreachable!(),
                recv(receiver) -> message => message != Ok(7),
                default => true,
            }
        };
        assert!(is_empty());
        let told = Arc::new(AtomicBool::new(false));
        let sending = thread::spawn({
            let told = Arc::clone(&told);
            move || {
                sender.send(7).unwrap();
                told.store(true, Ordering::Release);
                sender
            }
        });
        if told.load(Ordering::Acquire) {
            assert!(!is_empty(), "it was there before");
        }
        sending.join().unwrap();
    });
}
