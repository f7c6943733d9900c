//! Channels and `select!`, simulated: whatever a few tasks do, a model that does one thing after the other explains it.

mod common;
#[path = "common/model.rs"]
mod model;

use model::{HOUR, History, How, Model, simulate};
use proptest::collection::vec;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use throng::cancel::Token;
use throng::chan::{
    Receiver, RecvTimeoutError, Select, SelectedOperation, SendTimeoutError, Sender, TryRecvError, TrySendError,
    bounded,
};
use throng::sim::Check;
use throng::{scope, time};

const CHANNELS: usize = 2;

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
    /// What a select has chosen.
    Complete(Arm),
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
    /// By a select, which has yet to do it.
    Chosen(Arm),
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
    /// So many messages and so much room belong to selects that have chosen them.
    claimed: usize,
    reserved: usize,
    /// Whether a message was sent for which there is no room: it goes straight to a receiver, who is next.
    hands_over: bool,
    senders: usize,
    receivers: usize,
    /// Without a buffer a `Select` that receives is granted *a* message: those of pairs that meet at the same time may be
    /// swapped.
    swaps: bool,
}

impl Chan {
    fn has_message(&self) -> bool {
        self.queue.len() > self.claimed
    }

    fn has_room(&self) -> bool {
        self.queue.len() + self.reserved < self.capacity
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Chans {
    channels: [Chan; CHANNELS],
    /// Whether a task's token is.
    cancelled: Vec<bool>,
    /// Whether what a task's select has chosen is claimed or reserved. If not, the channel is disconnected.
    is_granted: Vec<bool>,
}

impl Chans {
    /// Whether the operation could be done by one who looks at nobody else.
    fn is_ready(&self, arm: Arm) -> bool {
        match arm {
            Arm::Send(at) => self.channels[at].receivers == 0 || self.channels[at].has_room(),
            Arm::Recv(at) => self.channels[at].senders == 0 || self.channels[at].has_message(),
        }
    }
}

impl Model for Chans {
    type Op = Op;
    type Result = Done;

    fn apply(&mut self, task: usize, op: &Op, done: &Done) -> bool {
        let taker = self.channels.iter().position(|chan| chan.hands_over);
        if taker
            .is_some_and(|at| !matches!(done, Done::Received(from, _) | Done::Chosen(Arm::Recv(from)) if *from == at))
        {
            return false;
        }
        if let Some(at) = taker {
            self.channels[at].hands_over = false;
        }
        let is_granted = self.is_granted[task];
        match (op, done) {
            (Op::Complete(_), Done::Sent(..) | Done::Received(..)) if !is_granted => false,
            (Op::Complete(Arm::Recv(_)), Done::Disconnected(_)) => !is_granted,
            (Op::Complete(_), &Done::Sent(at, message)) => {
                self.channels[at].reserved -= 1;
                self.channels[at].queue.push_back(message);
                self.channels[at].receivers > 0
            }
            (Op::Complete(_), &Done::Received(at, message)) => {
                self.channels[at].claimed -= 1;
                self.channels[at].queue.pop_front() == Some(message)
            }
            (_, &Done::Chosen(arm)) => {
                let is_ready = self.is_ready(arm);
                self.is_granted[task] = match arm {
                    Arm::Send(at) => {
                        let is_granted = self.channels[at].receivers > 0;
                        self.channels[at].reserved += usize::from(is_granted);
                        is_granted
                    }
                    Arm::Recv(at) => {
                        let is_granted = self.channels[at].has_message();
                        self.channels[at].claimed += usize::from(is_granted);
                        is_granted
                    }
                };
                is_ready
            }
            (_, &Done::Sent(at, message)) => {
                let chan = &mut self.channels[at];
                chan.hands_over = !chan.has_room();
                chan.queue.push_back(message);
                chan.receivers > 0
            }
            (_, &Done::Received(at, message)) => {
                let chan = &mut self.channels[at];
                chan.has_message() && chan.queue.pop_front().is_some_and(|front| front == message || chan.swaps)
            }
            (_, &Done::Disconnected(Arm::Send(at))) => self.channels[at].receivers == 0,
            (_, &Done::Disconnected(Arm::Recv(at))) => {
                self.channels[at].senders == 0 && !self.channels[at].has_message()
            }
            (Op::Do(_, arms), Done::Not | Done::Late) => !arms.iter().any(|&arm| self.is_ready(arm)),
            // It had to wait, and it has done nothing.
            (Op::Do(How::UnderToken, arms), Done::Cancelled) => {
                self.cancelled[task] && !arms.iter().any(|&arm| self.is_ready(arm))
            }
            (&Op::Cancel(whose), Done::IsCancelled) => {
                match self.cancelled.get_mut(whose) {
                    Some(token) => *token = true,
                    None => self.cancelled.fill(true),
                }
                true
            }
            (&Op::DropSender(at), Done::Dropped) => {
                self.channels[at].senders -= 1;
                true
            }
            (&Op::DropReceiver(at), Done::Dropped) => {
                let chan = &mut self.channels[at];
                chan.receivers -= 1;
                if chan.receivers == 0 {
                    chan.queue.clear();
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
    let how = prop_oneof![
        2 => Just(How::Try),
        4 => Just(How::Limited),
        2 => Just(How::Cancelled),
        3 => Just(How::UnderToken),
    ];
    let op = prop_oneof![
        8 => (how, vec(arm(), arms)).prop_map(|(how, arms)| Op::Do(how, arms)),
        2 => drops(),
        2 => (0..6_usize).prop_map(Op::Cancel),
    ];
    // Some have what they need only, so that others may be left alone.
    let task = (vec(drops(), 0..4), vec(op, 1..5)).prop_map(|(drops, ops)| [drops, ops].concat());
    let capacities = [0..3_usize, 0..3_usize];
    (capacities, vec(task, 2..5)).prop_map(|(capacities, tasks)| Program { capacities, tasks })
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

    fn select(&self, task: usize, how: How, arms: &[Arm], message: u32, history: &History<Chans>) {
        let mut select = Select::new();
        for &arm in arms {
            match arm {
                Arm::Send(at) => select.send(self.sender(at)),
                Arm::Recv(at) => select.recv(self.receiver(at)),
            };
        }
        let complete = |operation: SelectedOperation<'_>| match arms[operation.index()] {
            arm @ Arm::Send(at) => match operation.send(self.sender(at), message) {
                Ok(()) => Done::Sent(at, message),
                Err(_) => Done::Disconnected(arm),
            },
            arm @ Arm::Recv(at) => match operation.recv(self.receiver(at)) {
                Ok(message) => Done::Received(at, message),
                Err(_) => Done::Disconnected(arm),
            },
        };
        let mut chosen = None;
        history.call(task, Op::Do(how, arms.to_vec()), || {
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
                Ok(operation) => match arms[operation.index()] {
                    // Two have met, and are done at the same time.
                    Arm::Send(at) if self.sender(at).capacity() == Some(0) => complete(operation),
                    Arm::Recv(at) if self.receiver(at).capacity() == Some(0) => complete(operation),
                    arm => {
                        chosen = Some(operation);
                        Done::Chosen(arm)
                    }
                },
            }
        });
        if let Some(operation) = chosen {
            history.call(task, Op::Complete(arms[operation.index()]), || complete(operation));
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
                        _ => self.select(task, *how, &arms, message, history),
                    }
                }
                Op::Complete(_) => unreachable!("it is a part of a select"),
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
        let queue = VecDeque::new();
        Chan { capacity, queue, claimed: 0, reserved: 0, hands_over: false, senders: count, receivers: count, swaps }
    };
    history.all_end_within(HOUR);
    each_message_goes_once(&history);
    nobody_waits_beside_a_partner(&history);
    let channels = capacities.map(chan);
    history.explain(Chans { channels, cancelled: vec![false; count], is_granted: vec![false; count] });
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
                [&r, &others, &r, &late.1].iter().for_each(|r| _ = select.recv(r));
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
