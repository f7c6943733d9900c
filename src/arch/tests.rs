//! A port's acceptance test.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;

const STACK: usize = 256 << 10;

/// Two contexts by turns: the test's own, and one that calls `body` on a stack of its own and then is jumped away from.
struct Pair<'a> {
    stack: Range<*mut u8>,
    own: Cell<StackPointer>,
    fiber: Cell<StackPointer>,
    finished: Cell<bool>,
    body: &'a dyn Fn(&Pair<'_>),
}

impl<'a> Pair<'a> {
    /// The memory of the stack outlives the pair, as `Drop` would be too early for what is on it: tests own it.
    fn new(stack: &'a mut [u8], body: &'a dyn Fn(&Pair<'_>)) -> Box<Self> {
        let stack = stack.as_mut_ptr_range();
        let null = || Cell::new(StackPointer::NULL);
        let pair = Box::new(Pair { stack, own: null(), fiber: null(), finished: Cell::new(false), body });
        // SAFETY: the stack is borrowed for as long as the pair lives, and is large enough for each test.
        let fiber = unsafe { prepare(pair.stack.end, Self::base, (&raw const *pair).expose_provenance()) };
        pair.fiber.set(fiber);
        pair
    }

    extern "C" fn base(argument: usize) -> ! {
        let pair = std::ptr::with_exposed_provenance::<Pair<'_>>(argument);
        // SAFETY: `new` passed the address of the boxed pair, which is only shared.
        let pair = unsafe { &*pair };
        (pair.body)(pair);
        pair.finished.set(true);
        // SAFETY: `resume` suspended the test's own context; this one has nothing left to drop.
        unsafe { jump(pair.own.get()) }
    }

    /// From the test's own context: continues the other one until it suspends or finishes.
    #[inline(always)]
    fn resume(&self) {
        assert!(!self.finished.get());
        // SAFETY: the fiber is suspended, as this side runs.
        unsafe { switch(self.own.as_ptr(), self.fiber.get()) }
    }

    /// From the fiber.
    #[inline(always)]
    fn suspend(&self) {
        // SAFETY: the test's own context is suspended, as this one runs.
        unsafe { switch(self.fiber.as_ptr(), self.own.get()) }
    }

    fn finish(&self) {
        while !self.finished.get() {
            self.resume();
        }
    }
}

#[test]
fn goes_to_and_fro() {
    let mut stack = vec![0; STACK];
    let pair = Pair::new(&mut stack, &|pair| (0..1000).for_each(|_| pair.suspend()));
    let mut rounds = 0;
    while !pair.finished.get() {
        pair.resume();
        rounds += 1;
    }
    assert_eq!(rounds, 1001);
}

#[test]
fn any_top_gives_an_aligned_stack() {
    #[repr(align(16))]
    struct Aligned(#[allow(dead_code)] [u8; 16]);
    let mut stack = vec![0; STACK];
    for odd in 0..64 {
        let pair = Pair::new(&mut stack[..STACK - odd], &|_| {
            // The compiler places this relative to the stack pointer, whose alignment at a call it takes for granted.
            let aligned = Aligned([7; 16]);
            let address = black_box(&raw const aligned).addr();
            assert_eq!(black_box(address) % 16, 0);
        });
        pair.finish();
    }
}

/// More live values of each kind than there are registers, so that all of those are in use across the switch.
macro_rules! keeps {
    ($switch:block, $($name:ident)*) => {{
        $(let $name = black_box(concat!(stringify!($name), line!()).len() as u64);)*
        let mut integers = [$($name.wrapping_mul(0x9e37_79b9_7f4a_7c15)),*];
        let mut floats = [$($name as f64 * 1.25),*];
        let mut vectors = [$([$name as f32, 1.0, 2.0, 3.0]),*];
        for round in 0..100u64 {
            $switch
            integers.iter_mut().for_each(|integer| *integer = integer.rotate_left(7) ^ round);
            floats.iter_mut().for_each(|float| *float = *float * 0.5 + round as f64);
            vectors.iter_mut().flatten().for_each(|lane| *lane = *lane * 0.5 + round as f32);
        }
        (integers, floats, vectors)
    }};
    ($switch:block) => {
        keeps!($switch, a b c d e f g h i j k l m n o p q r s t u v w x y z aa bb cc dd ee ff gg hh ii jj kk ll mm nn oo)
    };
}

#[test]
fn keeps_what_is_in_registers() {
    let mut stack = vec![0; STACK];
    let pair = Pair::new(&mut stack, &|pair| {
        let expected = keeps!({});
        assert_eq!(expected, keeps!({ pair.suspend() }));
    });
    let expected = keeps!({});
    let kept = keeps!({ pair.resume() });
    pair.finish();
    assert_eq!(expected, kept);
}

#[test]
fn scan_sees_what_is_in_registers() {
    const MARK: u64 = 0x1234_5678_9abc_def1;
    let mut stack = vec![0; STACK];
    let pair = Pair::new(&mut stack, &|pair| {
        // Opaque one by one, so that the compiler can't put off computing them until after the switch.
        let [a, b, c, d, e, f, g, h] = [1, 2, 3, 4, 5, 6, 7, 8u64].map(|word| black_box(word.wrapping_mul(MARK)));
        pair.suspend();
        black_box([h, g, f, e, d, c, b, a]);
    });
    pair.resume();
    // SAFETY: the fiber is suspended, and stays so while `live` exists.
    let live = unsafe {
        let lowest = pair.fiber.get().lowest();
        assert!(pair.stack.contains(&lowest.cast_mut().cast()) && lowest.is_aligned());
        std::slice::from_raw_parts(lowest, (pair.stack.end.addr() - lowest.addr()) / size_of::<usize>())
    };
    for word in 1..=8u64 {
        let word = word.wrapping_mul(MARK) as usize;
        assert!(live.contains(&word));
    }
    pair.finish();
}

#[test]
fn panic_after_a_resume_unwinds() {
    struct Bump<'a>(&'a Cell<u32>);
    impl Drop for Bump<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    #[inline(never)]
    fn fails(pair: &Pair<'_>, dropped: &Cell<u32>) {
        let _bump = Bump(dropped);
        pair.suspend();
        // A panic without a message on the terminal.
        resume_unwind(Box::new(0x5eed));
    }
    let dropped = Cell::new(0);
    let body = |pair: &Pair<'_>| {
        for _ in 0..3 {
            let payload = catch_unwind(AssertUnwindSafe(|| fails(pair, &dropped))).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&0x5eed));
        }
    };
    let mut stack = vec![0; STACK];
    let pair = Pair::new(&mut stack, &body);
    for expected in 0..3 {
        pair.resume();
        assert_eq!(dropped.get(), expected);
    }
    pair.finish();
    assert_eq!(dropped.get(), 3);
}

#[test]
fn backtrace_ends_at_the_trampoline() {
    unsafe extern "C-unwind" {
        fn _Unwind_Backtrace(frame: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    }
    extern "C" fn count(_: *mut c_void, frames: *mut c_void) -> c_int {
        // SAFETY: the counter that is passed below.
        unsafe { *frames.cast::<usize>() += 1 };
        0
    }
    #[inline(never)]
    fn function_of_the_fiber(pair: &Pair<'_>) {
        pair.suspend();
        let backtrace = std::backtrace::Backtrace::force_capture().to_string();
        assert!(backtrace.contains("function_of_the_fiber"), "{backtrace}");
        // Lines that name a frame begin with its number; others say where it is.
        let mut frames = backtrace.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        let last = frames.next_back().unwrap();
        assert!(last.contains("trampoline"), "{backtrace}");

        let mut frames = 0usize;
        // SAFETY: declared as the unwinder's ABI has it.
        let reason = unsafe { _Unwind_Backtrace(count, (&raw mut frames).cast()) };
        const END_OF_STACK: c_int = 5;
        assert_eq!(reason, END_OF_STACK);
        assert!(frames > 1);
    }
    let mut stack = vec![0; STACK];
    let pair = Pair::new(&mut stack, &function_of_the_fiber);
    pair.finish();
}

#[test]
fn continues_on_another_thread() {
    /// Says that the pair may be used by one thread after the other.
    struct Moved<'a>(&'a Pair<'a>);
    // SAFETY: the two threads below use it by turns, with a spawn and a join between.
    unsafe impl Send for Moved<'_> {}
    impl Moved<'_> {
        fn resume(self) {
            self.0.resume();
        }
    }
    let sum = Cell::new(0);
    let body = |pair: &Pair<'_>| {
        let mut mine = black_box(1);
        for _ in 0..4 {
            pair.suspend();
            mine = black_box(mine * 3);
        }
        sum.set(mine);
    };
    let mut stack = vec![0; STACK];
    let pair = Pair::new(&mut stack, &body);
    while !pair.finished.get() {
        let moved = Moved(&pair);
        std::thread::scope(|scope| scope.spawn(move || moved.resume()).join().unwrap());
    }
    assert_eq!(sum.get(), 81);
}

#[test]
fn goes_from_fiber_to_fiber() {
    let mut stacks = [vec![0; STACK], vec![0; STACK]];
    let [one, two] = &mut stacks;
    let order = Cell::new(0u64);
    let note = |digit| order.set(order.get() * 10 + digit);
    let second = |pair: &Pair<'_>| {
        note(2);
        pair.suspend();
        note(4);
    };
    let second = Pair::new(two, &second);
    let first = |_: &Pair<'_>| {
        note(1);
        second.resume();
        note(3);
        second.resume();
        note(5);
    };
    Pair::new(one, &first).finish();
    assert_eq!(order.get(), 12345);
}
