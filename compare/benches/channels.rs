//! What a message costs.

mod beside;

use criterion::{Criterion, criterion_group, criterion_main};
use throng_compare::Work;

fn channels(c: &mut Criterion) {
    for work in [Work::PingPong, Work::Ring, Work::Spsc, Work::Mpmc, Work::Select] {
        beside::operations(c, work);
    }
    beside::batches(c, Work::Sieve, 1);
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = channels }
criterion_main!(benches);
