//! A request and its echo, 64 connections at a time, server and clients in one process. For the server's own CPU time, which
//! only a process of its own can tell, see `compare echo`.

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use throng_compare::Runtime;
use throng_compare::http::Service;
use throng_compare::load::Load;

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");
    for runtime in Runtime::ALL {
        let mut load = Load::connect(runtime.serve(Service::Echo), Service::Echo, 64).expect("the server listens");
        group.bench_function(runtime.name(), |bencher| {
            bencher.iter_custom(|n| {
                let start = Instant::now();
                load.run_count(n).expect("the server answers");
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = echo }
criterion_main!(benches);
