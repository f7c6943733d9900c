//! A fiber: a stack with a suspended computation on it.
//!
//! Above this floor nobody sees a stack pointer. The fiber's own record lies at the top of its stack, so a fiber costs
//! no allocation of its own, and a task that waits touches one page of stack in all.
//!
//! # Invariants
//! * A fiber is either running, on exactly one kernel thread, or suspended; `saved` is meaningful while it is
//!   suspended.
//! * Whoever resumes a fiber has synchronised with the one who left it: the state word's claim after its commit, or the
//!   queue that the task was put in after its stack was left.
//! * A fiber is ended by jumping away from it; its stack is free once the next computation has arrived elsewhere.
//!
//! Panics stop before they get here: what a fiber runs never returns, and is `extern "C"`, so an unwind that reached
//! it would abort.
//!
//! Sanitizers keep a shadow of the stack they believe to be on, and must be told of each switch. That is what
//! `shadow` is for: empty in a normal build, and two calls a switch under `--cfg throng_asan` or `--cfg throng_tsan`. The
//! search for leaks must be told which stacks hold pointers, too.

use crate::arch::{self, StackPointer};
use crate::stack::Stack;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

pub(crate) struct Fiber {
    saved: Cell<MaybeUninit<StackPointer>>,
    /// `None` for a kernel thread's own stack.
    stack: Option<Stack>,
    entry: Option<extern "C" fn(NonNull<Fiber>) -> !>,
    shadow: shadow::Shadow,
}

const LINE: usize = 64;

/// How far below the top of its stack a fiber begins: one of sixteen cache lines.
///
/// Stacks lie a power of two apart, so without this all their hot lines, which are those at the top, would compete for
/// the same few places in every cache; with a hundred tasks that yield in turn, it is a quarter of a yield's time.
fn colour(top: *mut u8) -> usize {
    // The upper bits of a multiplicative hash of where the stack is.
    let hash = (top as u64 >> 14).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 60) as usize * LINE
}

impl Fiber {
    /// The fiber of a kernel thread's own stack, on which it is called.
    pub(crate) fn of_thread() -> Fiber {
        Fiber { saved: Cell::new(MaybeUninit::uninit()), stack: None, entry: None, shadow: shadow::Shadow::of_thread() }
    }

    /// A suspended fiber that will call `entry` with itself, on `stack`.
    pub(crate) fn on(stack: Stack, entry: extern "C" fn(NonNull<Fiber>) -> !) -> NonNull<Fiber> {
        let top = stack.top();
        let shadow = shadow::Shadow::of_stack(&stack);
        let room = size_of::<Fiber>().next_multiple_of(LINE) + colour(top);
        // SAFETY: a stack is much larger than this record; its top is page-aligned, so the place is aligned; nobody else
        // uses an idle stack.
        unsafe {
            let fiber = NonNull::new_unchecked(top.sub(room).cast::<Fiber>());
            fiber.write(Fiber {
                saved: Cell::new(MaybeUninit::uninit()),
                stack: Some(stack),
                entry: Some(entry),
                shadow,
            });
            let context = arch::prepare(fiber.as_ptr().cast(), begin, fiber.as_ptr() as usize);
            fiber.as_ref().saved.set(MaybeUninit::new(context));
            fiber
        }
    }

    /// The stack it is on; `None` for a kernel thread's own.
    pub(crate) fn stack(&self) -> Option<&Stack> {
        self.stack.as_ref()
    }

    /// What of its stack a suspended fiber has in use: the addresses of the lowest word and of what lies above the highest.
    /// Whatever its computation can still reach by stack or registers lies there. `None` if it was suspended elsewhere: on a
    /// stack that code of its own has switched to, of which nobody here knows where it ends.
    ///
    /// # Safety
    /// It is suspended, was made by `on`, and the caller alone may resume it.
    pub(crate) unsafe fn live(&self) -> Option<std::ops::Range<usize>> {
        // SAFETY: a suspended fiber's context is saved.
        let lowest = unsafe { self.saved.get().assume_init().lowest() }.addr();
        let bottom = self.stack()?.bottom().addr();
        // It begins below this record.
        let end = std::ptr::from_ref(self).addr();
        (bottom..end).contains(&lowest).then_some(lowest..end)
    }

    /// Takes the stack of a fiber that has ended.
    ///
    /// # Safety
    /// It was made by `on`, it was jumped away from, and nobody uses it any more.
    pub(crate) unsafe fn into_stack(fiber: NonNull<Fiber>) -> Stack {
        // SAFETY: the record is intact until the stack is used again, which it can't be before we return it.
        let mut fiber = unsafe { fiber.read() };
        fiber.shadow.end();
        fiber.stack.take().expect("a fiber made by `on`")
    }

    /// Suspends the running fiber `from` and resumes `to`. Returns when `from` is resumed, maybe on another kernel
    /// thread.
    ///
    /// # Safety
    /// `from` is the running fiber. `to` is suspended, and the caller alone may resume it (see the invariants).
    #[inline(always)]
    pub(crate) unsafe fn switch(from: NonNull<Fiber>, to: NonNull<Fiber>) {
        // SAFETY: both records live as long as their stacks are in use.
        unsafe {
            let (from, to) = (from.as_ref(), to.as_ref());
            from.shadow.leave(&to.shadow);
            arch::switch(from.saved.as_ptr().cast(), to.saved.get().assume_init());
            from.shadow.arrive();
        }
    }

    /// Ends the running fiber `from` and resumes `to`.
    ///
    /// # Safety
    /// As for `switch`; and `from` is never resumed: nothing on its stack is needed any more.
    #[inline(always)]
    pub(crate) unsafe fn jump(from: NonNull<Fiber>, to: NonNull<Fiber>) -> ! {
        // SAFETY: as in `switch`.
        unsafe {
            let (from, to) = (from.as_ref(), to.as_ref());
            from.shadow.leave_for_good(&to.shadow);
            arch::jump(to.saved.get().assume_init())
        }
    }
}

/// The first function on every fiber.
extern "C" fn begin(fiber: usize) -> ! {
    let fiber = NonNull::new(fiber as *mut Fiber).expect("prepared with its fiber");
    // SAFETY: the record lies at the top of the stack we are on.
    let entry = unsafe {
        fiber.as_ref().shadow.arrive();
        fiber.as_ref().entry
    };
    entry.expect("only fibers made by `on` begin")(fiber)
}

#[cfg(not(any(throng_asan, throng_tsan)))]
mod shadow {
    use crate::stack::Stack;

    pub(super) struct Shadow;

    impl Shadow {
        pub(super) fn of_thread() -> Shadow {
            Shadow
        }

        pub(super) fn of_stack(_: &Stack) -> Shadow {
            Shadow
        }

        #[inline(always)]
        pub(super) fn leave(&self, _: &Shadow) {}

        #[inline(always)]
        pub(super) fn leave_for_good(&self, _: &Shadow) {}

        #[inline(always)]
        pub(super) fn arrive(&self) {}

        pub(super) fn end(&mut self) {}
    }
}

#[cfg(throng_tsan)]
mod shadow {
    use crate::stack::Stack;
    use std::ffi::{c_uint, c_void};

    unsafe extern "C" {
        fn __tsan_get_current_fiber() -> *mut c_void;
        fn __tsan_create_fiber(flags: c_uint) -> *mut c_void;
        fn __tsan_destroy_fiber(fiber: *mut c_void);
        fn __tsan_switch_to_fiber(fiber: *mut c_void, flags: c_uint);
    }

    /// Says that what ran before on this kernel thread happens before what runs now, which is so: the worker's own cells are
    /// used by one fiber after the other.
    const SYNC: c_uint = 0;

    pub(super) struct Shadow(*mut c_void);

    impl Shadow {
        pub(super) fn of_thread() -> Shadow {
            // SAFETY: no obligations.
            Shadow(unsafe { __tsan_get_current_fiber() })
        }

        pub(super) fn of_stack(_: &Stack) -> Shadow {
            // SAFETY: no obligations.
            Shadow(unsafe { __tsan_create_fiber(0) })
        }

        #[inline(always)]
        pub(super) fn leave(&self, to: &Shadow) {
            // SAFETY: called immediately before the switch to that fiber.
            unsafe { __tsan_switch_to_fiber(to.0, SYNC) }
        }

        #[inline(always)]
        pub(super) fn leave_for_good(&self, to: &Shadow) {
            self.leave(to);
        }

        #[inline(always)]
        pub(super) fn arrive(&self) {}

        pub(super) fn end(&mut self) {
            // SAFETY: it was created by `of_stack`, and is not the running one.
            unsafe { __tsan_destroy_fiber(self.0) }
        }
    }
}

#[cfg(throng_asan)]
mod shadow {
    use crate::stack::Stack;
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::ptr;

    unsafe extern "C" {
        fn __sanitizer_start_switch_fiber(save: *mut *mut c_void, bottom: *const c_void, size: usize);
        fn __sanitizer_finish_switch_fiber(saved: *mut c_void, bottom: *mut *const c_void, size: *mut usize);
        fn __lsan_register_root_region(bottom: *const c_void, size: usize);
        fn __lsan_unregister_root_region(bottom: *const c_void, size: usize);
    }

    /// While it lives, what its stack points to is no leak: LeakSanitizer itself looks only at the stacks that threads are
    /// on at the end.
    pub(super) struct Shadow {
        bottom: *const c_void,
        size: usize,
        fake: Cell<*mut c_void>,
    }

    impl Shadow {
        fn new(bottom: *const c_void, size: usize) -> Shadow {
            // SAFETY: readable memory, which stays mapped until the shadow is dropped.
            unsafe { __lsan_register_root_region(bottom, size) };
            Shadow { bottom, size, fake: Cell::new(ptr::null_mut()) }
        }

        pub(super) fn of_thread() -> Shadow {
            // SAFETY: plain out-parameters; the attribute object is initialised by the first call and destroyed by the last.
            unsafe {
                let mut attributes = std::mem::zeroed();
                libc::pthread_getattr_np(libc::pthread_self(), &mut attributes);
                let (mut bottom, mut size) = (ptr::null_mut(), 0);
                libc::pthread_attr_getstack(&attributes, &mut bottom, &mut size);
                libc::pthread_attr_destroy(&mut attributes);
                Shadow::new(bottom, size)
            }
        }

        pub(super) fn of_stack(stack: &Stack) -> Shadow {
            let (bottom, top) = (stack.bottom(), stack.top());
            Shadow::new(bottom.cast_const().cast(), top as usize - bottom as usize)
        }

        #[inline(always)]
        pub(super) fn leave(&self, to: &Shadow) {
            // SAFETY: called immediately before the switch to that stack.
            unsafe { __sanitizer_start_switch_fiber(self.fake.as_ptr(), to.bottom, to.size) }
        }

        #[inline(always)]
        pub(super) fn leave_for_good(&self, to: &Shadow) {
            // SAFETY: as above; null says that this stack's fake frames can be freed.
            unsafe { __sanitizer_start_switch_fiber(ptr::null_mut(), to.bottom, to.size) }
        }

        #[inline(always)]
        pub(super) fn arrive(&self) {
            // SAFETY: called immediately after the switch to this stack, with what `leave` saved (null the first time).
            unsafe { __sanitizer_finish_switch_fiber(self.fake.get(), ptr::null_mut(), ptr::null_mut()) }
        }

        pub(super) fn end(&mut self) {}
    }

    impl Drop for Shadow {
        fn drop(&mut self) {
            // SAFETY: registered by `new`.
            unsafe { __lsan_unregister_root_region(self.bottom, self.size) };
        }
    }
}
