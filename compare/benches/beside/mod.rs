//! One criterion group for a program, in it one function for a runtime, so that the figures stand beside each other.

use criterion::{Criterion, Throughput};
use throng_compare::{Runtime, Work};

/// Measures single operations of `work`.
#[allow(dead_code, reason = "each bench is a crate of its own")]
pub fn operations(c: &mut Criterion, work: Work) {
    let mut group = c.benchmark_group(work.name());
    for runtime in Runtime::ALL.iter().filter(|runtime| runtime.can(work)) {
        group.bench_function(runtime.name(), |bencher| bencher.iter_custom(|n| runtime.measure(work, n)));
    }
    group.finish();
}

/// Measures programs of `size` operations of `work`.
#[allow(dead_code, reason = "each bench is a crate of its own")]
pub fn batches(c: &mut Criterion, work: Work, size: u64) {
    let mut group = c.benchmark_group(work.name());
    group.throughput(Throughput::Elements(size));
    for runtime in Runtime::ALL.iter().filter(|runtime| runtime.can(work)) {
        group.bench_function(runtime.name(), |bencher| {
            bencher.iter_custom(|n| (0..n).map(|_| runtime.measure(work, size)).sum());
        });
    }
    group.finish();
}
