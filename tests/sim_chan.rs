//! Channels and `select!`, simulated: whatever a few tasks do, a model that does one thing after the other explains it.

mod common;
#[path = "common/model.rs"]
mod model;

use model::{History, Model, simulate, until_revoked};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;
use throng::chan::{Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded};
use throng::{scope, time};

const HOUR: Duration = Duration::from_secs(3600);
const CHANNELS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Try,
    /// With a time limit of the call's own.
    Limited,
    /// With one around it, which cancels the call.
    Cancelled,
    /// Cancelled by another task.
    Revoked,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Arm {
    Send(usize),
    Recv(usize),
}

impl Arm {
    fn is_opposite(self, other: Arm) -> bool {
        match (self, other) {
            (Arm::Send(a), Arm::Recv(b)) | (Arm::Recv(a), Arm::Send(b)) => a == b,
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// One operation, or several to select from.
    Do(How, Vec<Arm>),
    DropSender(usize),
    DropReceiver(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Done {
    Sent(usize, u32),
    Received(usize, u32),
    Disconnected(Arm),
    /// It could not be done.
    Not,
    /// It could not be done in time.
    Late,
    Dropped,
}

/// What a channel is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Chan {
    capacity: usize,
    queue: VecDeque<u32>,
    senders: usize,
    receivers: usize,
    /// Without a buffer a `Select` that receives is granted *a* message: those of pairs that meet at the same time may be
    /// swapped.
    swaps: bool,
    /// With one, a `Select` that was chosen while it waited has a message or room reserved until it runs and comes for it. The
    /// place of the message is taken until then, so others find the channel empty and full at once.
    reserves: bool,
}

impl Chan {
    /// A channel without a buffer holds a message from the sender's instant to the receiver's, which is the next.
    fn has_room(&self) -> bool {
        self.queue.len() < self.capacity.max(1)
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Chans([Chan; CHANNELS]);

impl Chans {
    /// Whether the operation could be done by one who looks at nobody else, nor, if it only tries, at what is reserved.
    fn is_ready(&self, arm: Arm, tries: bool) -> bool {
        let (Arm::Send(at) | Arm::Recv(at)) = arm;
        let chan = &self.0[at];
        let is_sure = !(tries && chan.reserves);
        match arm {
            Arm::Send(_) => chan.receivers == 0 || chan.capacity > 0 && chan.has_room() && is_sure,
            Arm::Recv(_) => chan.senders == 0 || !chan.queue.is_empty() && is_sure,
        }
    }
}

impl Model for Chans {
    type Op = Op;
    type Result = Done;

    fn apply(&mut self, _: usize, op: &Op, done: &Done) -> bool {
        // Whoever takes a message that is handed over is next.
        let handed_over = self.0.iter().position(|chan| chan.capacity == 0 && !chan.queue.is_empty());
        if handed_over.is_some_and(|at| !matches!(done, Done::Received(from, _) if *from == at)) {
            return false;
        }
        match (op, done) {
            (_, &Done::Sent(at, message)) => {
                let chan = &mut self.0[at];
                chan.queue.push_back(message);
                chan.receivers > 0 && chan.queue.len() <= chan.capacity.max(1)
            }
            (_, &Done::Received(at, message)) => {
                let chan = &mut self.0[at];
                chan.queue.pop_front().is_some_and(|front| front == message || chan.swaps)
            }
            (_, &Done::Disconnected(Arm::Send(at))) => self.0[at].receivers == 0,
            (_, &Done::Disconnected(Arm::Recv(at))) => self.0[at].senders == 0 && self.0[at].queue.is_empty(),
            (Op::Do(how, arms), Done::Not | Done::Late) => {
                !arms.iter().any(|&arm| self.is_ready(arm, *how == How::Try))
            }
            (&Op::DropSender(at), Done::Dropped) => {
                self.0[at].senders -= 1;
                true
            }
            (&Op::DropReceiver(at), Done::Dropped) => {
                self.0[at].receivers -= 1;
                if self.0[at].receivers == 0 {
                    self.0[at].queue.clear();
                }
                true
            }
            _ => false,
        }
    }

    fn is_late(done: &Done) -> bool {
        *done == Done::Late
    }
}

#[derive(Clone, Debug)]
struct Program {
    capacities: [usize; CHANNELS],
    tasks: Vec<Vec<Op>>,
}

fn arm() -> impl Strategy<Value = Arm> {
    (any::<bool>(), 0..CHANNELS).prop_map(|(sends, at)| if sends { Arm::Send(at) } else { Arm::Recv(at) })
}

fn drops() -> impl Strategy<Value = Op> {
    prop_oneof![(0..CHANNELS).prop_map(Op::DropSender), (0..CHANNELS).prop_map(Op::DropReceiver)]
}

fn programs(arms: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Program> {
    let how =
        prop_oneof![2 => Just(How::Try), 4 => Just(How::Limited), 1 => Just(How::Cancelled), 1 => Just(How::Revoked)];
    let op = prop_oneof![
        8 => (how, vec(arm(), arms)).prop_map(|(how, arms)| Op::Do(how, arms)),
        2 => drops(),
    ];
    // Some have what they need only, so that others may be left alone.
    let task = (vec(drops(), 0..4), vec(op, 1..5)).prop_map(|(drops, ops)| [drops, ops].concat());
    let capacities = [0..3_usize, 0..3_usize];
    (capacities, vec(task, 2..5)).prop_map(|(capacities, tasks)| Program { capacities, tasks })
}

struct Handles {
    senders: [Option<Sender<u32>>; CHANNELS],
    receivers: [Option<Receiver<u32>>; CHANNELS],
}

impl Handles {
    fn has(&self, arm: Arm) -> bool {
        match arm {
            Arm::Send(at) => self.senders[at].is_some(),
            Arm::Recv(at) => self.receivers[at].is_some(),
        }
    }

    fn sender(&self, at: usize) -> &Sender<u32> {
        self.senders[at].as_ref().expect("it has one")
    }

    fn receiver(&self, at: usize) -> &Receiver<u32> {
        self.receivers[at].as_ref().expect("it has one")
    }

    fn one(&self, how: How, arm: Arm, message: u32) -> Done {
        match (how, arm) {
            (How::Try, Arm::Send(at)) => match self.sender(at).try_send(message) {
                Ok(()) => Done::Sent(at, message),
                Err(TrySendError::Full(_)) => Done::Not,
                Err(TrySendError::Disconnected(_)) => Done::Disconnected(arm),
            },
            (How::Try, Arm::Recv(at)) => match self.receiver(at).try_recv() {
                Ok(message) => Done::Received(at, message),
                Err(TryRecvError::Empty) => Done::Not,
                Err(TryRecvError::Disconnected) => Done::Disconnected(arm),
            },
            (How::Limited, Arm::Send(at)) => match self.sender(at).send_timeout(message, HOUR) {
                Ok(()) => Done::Sent(at, message),
                Err(SendTimeoutError::Timeout(_)) => Done::Late,
                Err(SendTimeoutError::Disconnected(_)) => Done::Disconnected(arm),
            },
            (How::Limited, Arm::Recv(at)) => match self.receiver(at).recv_timeout(HOUR) {
                Ok(message) => Done::Received(at, message),
                Err(RecvTimeoutError::Timeout) => Done::Late,
                Err(RecvTimeoutError::Disconnected) => Done::Disconnected(arm),
            },
            (How::Cancelled, Arm::Send(at)) => match time::timeout(HOUR, || self.sender(at).send(message)) {
                Ok(Ok(())) => Done::Sent(at, message),
                Ok(Err(_)) => Done::Disconnected(arm),
                Err(_) => Done::Late,
            },
            (How::Revoked, Arm::Send(at)) => match until_revoked(HOUR, || self.sender(at).send(message)) {
                Some(Ok(())) => Done::Sent(at, message),
                Some(Err(_)) => Done::Disconnected(arm),
                None => Done::Late,
            },
            (How::Revoked, Arm::Recv(at)) => match until_revoked(HOUR, || self.receiver(at).recv()) {
                Some(Ok(message)) => Done::Received(at, message),
                Some(Err(_)) => Done::Disconnected(arm),
                None => Done::Late,
            },
            (How::Cancelled, Arm::Recv(at)) => match time::timeout(HOUR, || self.receiver(at).recv()) {
                Ok(Ok(message)) => Done::Received(at, message),
                Ok(Err(_)) => Done::Disconnected(arm),
                Err(_) => Done::Late,
            },
        }
    }

    fn select(&self, how: How, arms: &[Arm], message: u32) -> Done {
        let mut select = Select::new();
        for &arm in arms {
            match arm {
                Arm::Send(at) => select.send(self.sender(at)),
                Arm::Recv(at) => select.recv(self.receiver(at)),
            };
        }
        let selected = match how {
            How::Try => select.try_select().map_err(|_| Done::Not),
            How::Limited => select.select_timeout(HOUR).map_err(|_| Done::Late),
            How::Cancelled => time::timeout(HOUR, || select.select()).map_err(|_| Done::Late),
            How::Revoked => until_revoked(HOUR, || select.select()).ok_or(Done::Late),
        };
        match selected {
            Err(done) => done,
            Ok(operation) => {
                let arm = arms[operation.index()];
                match arm {
                    Arm::Send(at) => match operation.send(self.sender(at), message) {
                        Ok(()) => Done::Sent(at, message),
                        Err(_) => Done::Disconnected(arm),
                    },
                    Arm::Recv(at) => match operation.recv(self.receiver(at)) {
                        Ok(message) => Done::Received(at, message),
                        Err(_) => Done::Disconnected(arm),
                    },
                }
            }
        }
    }

    fn run(mut self, task: usize, ops: &[Op], history: &History<Chans>) {
        for (index, op) in ops.iter().enumerate() {
            let message = (task * 100 + index) as u32;
            match op {
                Op::Do(how, arms) => {
                    let arms: Vec<Arm> = arms.iter().copied().filter(|&arm| self.has(arm)).collect();
                    match arms[..] {
                        [] => {}
                        [arm] => history.call(task, Op::Do(*how, arms), || self.one(*how, arm, message)),
                        _ => history.call(task, Op::Do(*how, arms.clone()), || self.select(*how, &arms, message)),
                    }
                }
                Op::DropSender(at) => drop_it(&mut self.senders[*at], task, op, history),
                Op::DropReceiver(at) => drop_it(&mut self.receivers[*at], task, op, history),
            }
        }
        for at in 0..CHANNELS {
            drop_it(&mut self.senders[at], task, &Op::DropSender(at), history);
            drop_it(&mut self.receivers[at], task, &Op::DropReceiver(at), history);
        }
    }
}

fn drop_it<T>(handle: &mut Option<T>, task: usize, op: &Op, history: &History<Chans>) {
    if let Some(handle) = handle.take() {
        history.call(task, op.clone(), || {
            drop(handle);
            Done::Dropped
        });
    }
}

/// Two that could have served one another didn't both wait until one was late.
fn nobody_waits_beside_a_partner(history: &History<Chans>) {
    let calls = history.calls();
    let arms = |op: &Op| if let Op::Do(_, arms) = op { arms.clone() } else { Vec::new() };
    for late in calls.iter().filter(|call| call.result == Done::Late) {
        for other in calls.iter().filter(|other| other.began < late.ended && other.end > late.end) {
            let meet = arms(&late.op).iter().any(|a| arms(&other.op).iter().any(|b| a.is_opposite(*b)));
            assert!(!meet, "both waited:\n{late:?}\n{other:?}");
        }
    }
}

/// What is received was sent, and is received once.
fn each_message_goes_once(history: &History<Chans>) {
    let calls = history.calls();
    let mut sent: Vec<_> = calls
        .iter()
        .filter_map(|call| if let Done::Sent(at, message) = call.result { Some((at, message)) } else { None })
        .collect();
    for call in &calls {
        if let Done::Received(at, message) = call.result {
            let place = sent.iter().position(|&one| one == (at, message));
            sent.swap_remove(place.unwrap_or_else(|| panic!("nobody sent it, or it came twice: {call:?}")));
        }
    }
}

fn run(Program { capacities, tasks }: &Program) {
    let history = History::new();
    let channels = capacities.map(bounded::<u32>);
    let handles = tasks.iter().map(|_| Handles {
        senders: channels.each_ref().map(|(s, _)| Some(s.clone())),
        receivers: channels.each_ref().map(|(_, r)| Some(r.clone())),
    });
    let handles: Vec<Handles> = handles.collect();
    drop(channels);
    scope(|s| {
        for (task, (ops, handles)) in tasks.iter().zip(handles).enumerate() {
            let history = history.clone();
            s.spawn(move || handles.run(task, ops, &history));
        }
    });
    let count = tasks.len();
    let selects = tasks.iter().flatten().any(|op| matches!(op, Op::Do(_, arms) if arms.len() > 1));
    let chan = |capacity| {
        let (swaps, reserves) = (selects && capacity == 0, selects && capacity > 0);
        Chan { capacity, queue: VecDeque::new(), senders: count, receivers: count, swaps, reserves }
    };
    history.all_end_within(HOUR);
    each_message_goes_once(&history);
    nobody_waits_beside_a_partner(&history);
    history.explain(Chans(capacities.map(chan)));
}

#[test]
fn single_operations() {
    simulate(80, programs(1..=1), run);
}

#[test]
fn selects_beside_single_operations() {
    simulate(80, programs(1..=3), run);
}
