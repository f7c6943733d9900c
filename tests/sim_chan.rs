//! Channels and `select!`, simulated: whatever a few tasks do, a model that does one thing after the other explains it.

mod common;
#[path = "common/model.rs"]
mod model;

use model::{History, Model, simulate};
use proptest::collection::vec;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use throng::cancel::Token;
use throng::chan::{Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded};
use throng::sim::Check;
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
    /// With a time limit, under the task's token, which others may cancel.
    UnderToken,
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
    /// The task's token; or, if there is no such task, all of them.
    Cancel(usize),
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
    /// By the task's token, before it could be done.
    Cancelled,
    /// The token is.
    IsCancelled,
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
}

impl Chan {
    /// A channel without a buffer holds a message from the sender's instant to the receiver's, which is the next.
    fn has_room(&self) -> bool {
        self.queue.len() < self.capacity.max(1)
    }
}

/// The channels, and which tasks' tokens are cancelled.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Chans([Chan; CHANNELS], Vec<bool>);

impl Chans {
    /// Whether the operation could be done by one who looks at nobody else.
    fn is_ready(&self, arm: Arm) -> bool {
        match arm {
            Arm::Send(at) => self.0[at].receivers == 0 || self.0[at].capacity > 0 && self.0[at].has_room(),
            Arm::Recv(at) => self.0[at].senders == 0 || !self.0[at].queue.is_empty(),
        }
    }
}

impl Model for Chans {
    type Op = Op;
    type Result = Done;

    fn apply(&mut self, task: usize, op: &Op, done: &Done) -> bool {
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
            (Op::Do(_, arms), Done::Not | Done::Late) => !arms.iter().any(|&arm| self.is_ready(arm)),
            // It had to wait, and it has done nothing.
            (Op::Do(How::UnderToken, arms), Done::Cancelled) => {
                self.1[task] && !arms.iter().any(|&arm| self.is_ready(arm))
            }
            (&Op::Cancel(whose), Done::IsCancelled) => {
                match self.1.get_mut(whose) {
                    Some(token) => *token = true,
                    None => self.1.fill(true),
                }
                true
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

fn programs(arms: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Program> {
    let how = prop_oneof![
        2 => Just(How::Try),
        4 => Just(How::Limited),
        2 => Just(How::Cancelled),
        3 => Just(How::UnderToken),
    ];
    let op = prop_oneof![
        8 => (how, vec(arm(), arms)).prop_map(|(how, arms)| Op::Do(how, arms)),
        1 => (0..CHANNELS).prop_map(Op::DropSender),
        1 => (0..CHANNELS).prop_map(Op::DropReceiver),
        2 => (0..6_usize).prop_map(Op::Cancel),
    ];
    let capacities = [0..3_usize, 0..3_usize];
    (capacities, vec(vec(op, 1..5), 2..5)).prop_map(|(capacities, tasks)| Program { capacities, tasks })
}

struct Handles {
    tokens: Vec<Token>,
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

    fn one(&self, task: usize, how: How, arm: Arm, message: u32) -> Done {
        match (how, arm) {
            (How::UnderToken, _) => {
                self.tokens[task].run(|| self.one(task, How::Limited, arm, message)).unwrap_or(Done::Cancelled)
            }
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
            (How::Cancelled, Arm::Recv(at)) => match time::timeout(HOUR, || self.receiver(at).recv()) {
                Ok(Ok(message)) => Done::Received(at, message),
                Ok(Err(_)) => Done::Disconnected(arm),
                Err(_) => Done::Late,
            },
        }
    }

    fn select(&self, task: usize, how: How, arms: &[Arm], message: u32) -> Done {
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
            How::UnderToken => match self.tokens[task].run(|| select.select_timeout(HOUR)) {
                Ok(selected) => selected.map_err(|_| Done::Late),
                Err(_) => Err(Done::Cancelled),
            },
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
                        [arm] => history.call(task, Op::Do(*how, arms), || self.one(task, *how, arm, message)),
                        _ => history.call(task, Op::Do(*how, arms.clone()), || self.select(task, *how, &arms, message)),
                    }
                }
                Op::DropSender(at) => drop_it(&mut self.senders[*at], task, op, history),
                Op::DropReceiver(at) => drop_it(&mut self.receivers[*at], task, op, history),
                Op::Cancel(whose) => history.call(task, op.clone(), || {
                    // The last one is the others' parent.
                    self.tokens[(*whose).min(self.tokens.len() - 1)].cancel();
                    Done::IsCancelled
                }),
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
    let root = Token::new();
    let tokens: Vec<Token> = tasks.iter().map(|_| root.child()).chain([root.clone()]).collect();
    let handles = tasks.iter().map(|_| Handles {
        tokens: tokens.clone(),
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
        let swaps = selects && capacity == 0;
        Chan { capacity, queue: VecDeque::new(), senders: count, receivers: count, swaps }
    };
    each_message_goes_once(&history);
    nobody_waits_beside_a_partner(&history);
    history.explain(Chans(capacities.map(chan), vec![false; count]));
}

#[test]
fn single_operations() {
    simulate(80, programs(1..=1), run);
}

#[test]
fn selects_beside_single_operations() {
    simulate(80, programs(1..=3), run);
}

/// A select that has one channel in two of its arms locks its channels in the order of their addresses. That is all that
/// they decide: which of two observers is woken first, and which arm is tried first later on, goes by the seed.
#[test]
fn addresses_decide_nothing() {
    // The two executions of a seed have their channels in memory the one way round, and the other.
    let (swaps, kept) = (AtomicBool::new(false), RefCell::new(Vec::new()));
    Check::new().check(move || {
        let mut channels = [bounded::<u32>(0), bounded(0)];
        // No memory is used twice.
        kept.borrow_mut().push(channels.clone());
        if swaps.fetch_not(Relaxed) {
            channels.swap(0, 1);
        }
        let [(s, r), (other, others)] = channels;
        let (late, later) = (bounded::<u32>(1), time::now() + HOUR);
        scope(|scope| {
            for s in [&s, &other] {
                scope.spawn(move || {
                    let mut select = Select::new();
                    select.send(s);
                    select.ready_deadline(later).is_ok()
                });
            }
            scope.spawn(|| {
                let mut select = Select::new();
                (select.recv(&r), select.recv(&others), select.recv(&r), select.recv(&late.1));
                for _ in 0..3 {
                    if let Ok(chosen) = select.select_deadline(later) {
                        let r = [&r, &others, &r, &late.1][chosen.index()];
                        chosen.recv(r).unwrap();
                    }
                }
            });
            let _ = (s.send_timeout(1, HOUR), other.send_timeout(2, HOUR), late.0.send(3));
        });
    });
}
