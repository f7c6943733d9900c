//! Jobs that run at the same time: on kernel threads, in tasks, half of them here and half there, or simulated.

use super::common::{WORKERS, runtime, simulated};
use std::thread;
use throng::runtime::Runtime;

#[derive(Clone, Copy)]
pub(crate) struct Crew<'a> {
    tasks: Option<&'a Runtime>,
    threads: bool,
    simulated: bool,
}

impl Crew<'_> {
    /// Calls `job` with each number below `n`, all at the same time, and waits for all to return.
    pub(crate) fn run(&self, n: usize, job: impl Fn(usize) + Sync) {
        let job = &job;
        if self.simulated {
            return throng::scope(|tasks| (0..n).for_each(|i| drop(tasks.spawn(move || job(i)))));
        }
        let (in_threads, in_tasks): (Vec<usize>, Vec<usize>) =
            (0..n).partition(|i| self.tasks.is_none() || (self.threads && i % 2 == 0));
        thread::scope(|threads| {
            for i in in_threads {
                threads.spawn(move || job(i));
            }
            if let Some(runtime) = self.tasks {
                runtime.run(|| {
                    throng::scope(|tasks| {
                        for i in in_tasks {
                            tasks.spawn(move || job(i));
                        }
                    });
                });
            }
        });
    }
}

/// Calls `test` for threads, for tasks and mixtures on 1, 2, 4 and 8 workers, and simulated.
#[track_caller]
pub(crate) fn every_crew(test: impl Fn(Crew<'_>) + Copy + 'static) {
    test(Crew { tasks: None, threads: true, simulated: false });
    for workers in WORKERS {
        let runtime = runtime(workers);
        for threads in [false, true] {
            println!("{workers} workers{}", if threads { " and threads" } else { "" });
            test(Crew { tasks: Some(&runtime), threads, simulated: false });
        }
    }
    simulated(move || test(Crew { tasks: None, threads: false, simulated: true }));
}
