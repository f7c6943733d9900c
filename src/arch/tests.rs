//! A port's acceptance test.

use std::hint::black_box;

use super::*;

/// Two contexts by turns: the test's own, and one on a stack of its own that calls `body` and then is jumped away from.
struct Pair {
    _stack: Vec<u8>,
    main: StackPointer,
    fiber: StackPointer,
    body: fn(&mut Pair),
    finished: bool,
}

impl Pair {
    fn new(body: fn(&mut Pair)) -> Box<Pair> {
        Self::with_unaligned_top(body, 0)
    }

    fn with_unaligned_top(body: fn(&mut Pair), odd: usize) -> Box<Pair> {
        let mut stack = vec![0; 256 << 10];
        let top = stack.as_mut_ptr_range().end.wrapping_byte_sub(odd);
        let null = StackPointer::NULL;
        let mut pair = Box::new(Pair { _stack: stack, main: null, fiber: null, body, finished: false });
        // SAFETY: the stack is in the pair, which outlives the context in all these tests.
        pair.fiber = unsafe { prepare(top, Self::base, (&raw mut *pair).expose_provenance()) };
        pair
    }

    extern "C" fn base(argument: usize) -> ! {
        let pair = std::ptr::with_exposed_provenance_mut::<Pair>(argument);
        // SAFETY: `new` passed the pair's address; the two sides use it by turns.
        let pair = unsafe { &mut *pair };
        (pair.body)(pair);
        pair.finished = true;
        // SAFETY: `resume` suspended the main side.
        unsafe { jump(pair.main) }
    }

    /// From the main side: continues the other one until it suspends or finishes.
    #[inline(never)]
    fn resume(&mut self) {
        assert!(!self.finished);
        let to = self.fiber;
        // SAFETY: the fiber is suspended, as this side runs.
        unsafe { switch(&raw mut self.main, to) }
    }

    /// From the fiber's side.
    #[inline(never)]
    fn suspend(&mut self) {
        let to = self.main;
        // SAFETY: the main side is suspended, as this one runs.
        unsafe { switch(&raw mut self.fiber, to) }
    }
}

#[test]
fn goes_to_and_fro() {
    let mut pair = Pair::new(|pair| {
        for _ in 0..1000 {
            pair.suspend();
        }
    });
    let mut rounds = 0;
    while !pair.finished {
        pair.resume();
        rounds += 1;
    }
    assert_eq!(rounds, 1001);
}
