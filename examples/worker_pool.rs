//! A worker pool: a fixed number of tasks that take jobs from one channel; a job that panics costs no worker.
//!
//! ```sh
//! cargo run --example worker_pool
//! ```
//!
//! Tasks are so cheap that a pool isn't needed to save them. It is one way to bound how much is done at once; a
//! `Semaphore` is another, which the `crawler` example shows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use throng::JoinHandle;
use throng::chan::{Sender, bounded, unbounded};
use throng::task;

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    jobs: Sender<Job>,
    workers: Vec<JoinHandle<usize>>,
}

impl Pool {
    fn new(size: usize) -> Pool {
        // With a job waiting for each worker, `submit` waits.
        let (jobs, queue) = bounded::<Job>(size);
        let workers = (0..size)
            .map(|_| {
                let queue = queue.clone();
                throng::spawn(move || {
                    let mut done = 0;
                    for job in queue {
                        // The job's owner learns of a panic by its channel, which the job drops.
                        done += usize::from(catch_unwind(AssertUnwindSafe(job)).is_ok());
                    }
                    done
                })
            })
            .collect();
        Pool { jobs, workers }
    }

    fn submit(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).expect("the workers outlive the pool");
    }

    /// Lets the workers finish what was submitted. Returns how many jobs each has done.
    fn finish(self) -> Vec<usize> {
        drop(self.jobs);
        self.workers.into_iter().map(|worker| worker.join().expect("panics of jobs are caught")).collect()
    }
}

fn main() {
    throng::run(|| {
        let pool = Pool::new(4);
        let (results, collected) = unbounded();
        for number in 1..=20_u64 {
            let results = results.clone();
            pool.submit(move || {
                task::sleep(Duration::from_millis(10 * (number % 5)));
                assert!(number != 13, "job 13 is unlucky");
                results.send((number, number * number)).expect("main collects");
            });
        }
        drop(results);

        let mut results: Vec<_> = collected.iter().collect();
        results.sort_unstable();
        for (number, square) in &results {
            println!("{number:>2} squared is {square:>3}");
        }
        println!("{} of 20 jobs have a result", results.len());
        println!("done by each worker: {:?}", pool.finish());
    });
}
