//! What it costs to wait for a lock and for a time.

mod beside;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use throng_compare::Work;

fn mutex(c: &mut Criterion) {
    beside::operations(c, Work::Mutex);
}

fn sleep(c: &mut Criterion) {
    beside::batches(c, Work::Sleep, 10_000);
}

criterion_group! { name = locks; config = Criterion::default().sample_size(20); targets = mutex }
// Its measure is CPU time, of which a batch needs some hundredths of the second that it takes: criterion, which plans by the
// measure, is told to be content with little.
criterion_group! {
    name = timers;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(10))
        .measurement_time(Duration::from_millis(100));
    targets = sleep
}
criterion_main!(locks, timers);
