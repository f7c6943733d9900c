//! The bare switch between two stacks, there and back.

use criterion::{Criterion, criterion_group, criterion_main};
use throng_compare::switch;

fn switches(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch");
    for (name, run) in switch::ALL {
        group.bench_function(name, |bencher| bencher.iter_custom(run));
    }
    group.finish();
}

criterion_group!(benches, switches);
criterion_main!(benches);
