//! Philosophers who all take their left fork first: the runtime notices, says who waits for what, and `run` panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use throng::sync::{Barrier, Mutex};
use throng::task::Builder;

const PHILOSOPHERS: usize = 5;

fn dine() {
    let forks: Arc<Vec<Mutex<()>>> = Arc::new((0..PHILOSOPHERS).map(|_| Mutex::new(())).collect());
    let seated = Arc::new(Barrier::new(PHILOSOPHERS));
    let philosopher = |seat: usize| {
        let (forks, seated) = (Arc::clone(&forks), Arc::clone(&seated));
        let eat = move || {
            let _left = forks[seat].lock();
            seated.wait();
            let _right = forks[(seat + 1) % PHILOSOPHERS].lock();
            println!("philosopher {seat} eats");
        };
        Builder::new().name("philosopher").spawn(eat).expect("room for a task")
    };
    let philosophers: Vec<_> = (0..PHILOSOPHERS).map(philosopher).collect();
    for philosopher in philosophers {
        philosopher.join().expect("a full philosopher");
    }
}

fn main() {
    // The panic hook prints the report, as the message of the panic.
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| throng::run(dine))) else {
        panic!("nobody starved");
    };
    let report = panic.downcast_ref::<String>().expect("the report is the message");
    assert!(report.contains("5 tasks like this"), "{report}");
    // The root task was unwound. The runtime works as before, though the philosophers sit there to this day.
    assert_eq!(throng::run(|| 6 * 7), 42);
}
