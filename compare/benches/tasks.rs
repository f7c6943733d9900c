//! What a task costs: to yield, to spawn and join, to spawn by the thousand, to fork and join.

mod beside;

use criterion::{Criterion, criterion_group, criterion_main};
use throng_compare::Work;

fn tasks(c: &mut Criterion) {
    beside::operations(c, Work::Yield);
    beside::operations(c, Work::SpawnJoin);
    beside::batches(c, Work::SpawnAll, 1000);
    beside::batches(c, Work::ForkJoin, 1);
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = tasks }
criterion_main!(benches);
