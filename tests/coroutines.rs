//! Scopes and shields that another crate's coroutine is in, while whoever resumes it goes on: they are left in any order.

#![allow(unsafe_code)]
// Other C libraries have no calls for such a stack.
#![cfg(target_env = "gnu")]

mod common;

use common::on_real_threads;
use std::cell::UnsafeCell;
use throng::cancel::{Token, is_cancelled, shield};

/// What such a crate has: `f` runs on a stack of its own, from one `resume` to the next `suspend`.
struct Coroutine {
    inner: Box<Inner>,
    _stack: Box<[u8]>,
}

struct Inner {
    here: UnsafeCell<libc::ucontext_t>,
    there: UnsafeCell<libc::ucontext_t>,
    f: fn(&Inner),
}

impl Coroutine {
    fn new(f: fn(&Inner)) -> Coroutine {
        extern "C" fn entry(low: u32, high: u32) {
            let inner = (u64::from(low) | u64::from(high) << 32) as *const Inner;
            // SAFETY: it is boxed, and lives until this has come to its end.
            unsafe { ((*inner).f)(&*inner) }
        }
        let mut stack = vec![0; 256 << 10].into_boxed_slice();
        // SAFETY: a zeroed context is one to be filled in.
        let [here, there] = [(); 2].map(|()| UnsafeCell::new(unsafe { std::mem::zeroed::<libc::ucontext_t>() }));
        let inner = Box::new(Inner { here, there, f });
        let at = (&raw const *inner).expose_provenance() as u64;
        // SAFETY: both contexts and the stack stay where they are as long as the coroutine lives.
        unsafe {
            let there = inner.there.get();
            assert_eq!(libc::getcontext(there), 0);
            ((*there).uc_stack.ss_sp, (*there).uc_stack.ss_size) = (stack.as_mut_ptr().cast(), stack.len());
            (*there).uc_link = inner.here.get();
            let entry = std::mem::transmute::<extern "C" fn(u32, u32), extern "C" fn()>(entry);
            libc::makecontext(there, entry, 2, at as u32, (at >> 32) as u32);
        }
        Coroutine { inner, _stack: stack }
    }

    fn resume(&self) {
        // SAFETY: the other one is suspended, or is to begin.
        assert_eq!(unsafe { libc::swapcontext(self.inner.here.get(), self.inner.there.get()) }, 0);
    }
}

impl Inner {
    fn suspend(&self) {
        // SAFETY: it runs, so whoever has resumed it is suspended.
        assert_eq!(unsafe { libc::swapcontext(self.there.get(), self.here.get()) }, 0);
    }
}

fn cancelled(f: impl FnOnce()) {
    let token = Token::new();
    token.cancel();
    token.run(f).expect("it doesn't wait");
}

#[test]
fn shields_are_taken_down_in_any_order() {
    on_real_threads(|| {
        cancelled(|| {
            let coroutine = Coroutine::new(|this| shield(|| this.suspend()));
            shield(|| coroutine.resume());
            assert!(!is_cancelled(), "it is in the shield");
            coroutine.resume();
            assert!(is_cancelled());
        });
    });
}

/// A scope that was entered behind a shield doesn't hide those outside of it when that one is down.
#[test]
fn a_scope_outlives_the_shield_around_it() {
    on_real_threads(|| {
        cancelled(|| {
            let coroutine = Coroutine::new(|this| Token::new().run(|| this.suspend()).unwrap());
            shield(|| coroutine.resume());
            assert!(is_cancelled());
            coroutine.resume();
            assert!(is_cancelled());
        });
        assert!(!is_cancelled());
    });
}

/// What a thread in a scope waits by is still there. (For a sanitizer to see; and the memory may be others' by then.)
#[test]
fn a_shield_outlives_the_scope_around_it() {
    on_real_threads(|| {
        for _ in 0..10 {
            let coroutine = Coroutine::new(|this| shield(|| this.suspend()));
            Token::new().run(|| coroutine.resume()).unwrap();
            let others: Vec<_> = (1..64).map(|words| vec![usize::MAX; words]).collect();
            coroutine.resume();
            assert!(others.iter().flatten().all(|&word| word == usize::MAX));
            cancelled(|| assert!(is_cancelled()));
        }
    });
}

#[test]
fn a_scope_outlives_the_scope_around_it() {
    on_real_threads(|| {
        let coroutine = Coroutine::new(|this| cancelled(|| this.suspend()));
        Token::new().run(|| coroutine.resume()).unwrap();
        assert!(is_cancelled());
        coroutine.resume();
        assert!(!is_cancelled());
    });
}

/// There are as many shields as when the scope was entered, but not the same ones.
#[test]
fn a_shield_keeps_out_what_was_entered_in_another() {
    on_real_threads(|| {
        let in_scope = || {
            let coroutine = Coroutine::new(|this| cancelled(|| this.suspend()));
            shield(|| coroutine.resume());
            shield(|| assert!(!is_cancelled()));
            coroutine.resume();
        };
        Token::new().run(in_scope).unwrap();
    });
}

#[test]
fn a_shield_holds_when_an_outer_one_is_down() {
    on_real_threads(|| {
        let in_scope = || {
            let coroutine = Coroutine::new(|this| shield(|| this.suspend()));
            coroutine.resume();
            cancelled(|| {
                shield(|| {
                    coroutine.resume();
                    assert!(!is_cancelled());
                });
            });
            cancelled(|| assert!(is_cancelled()));
        };
        Token::new().run(in_scope).unwrap();
    });
}
