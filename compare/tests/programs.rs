//! Each program ends on each runtime, and the servers answer: a comparison of wrong programs would be worth nothing.
//! The programs check their own results.

use throng_compare::http::{self, ANSWER, REQUEST, Service};
use throng_compare::load::Load;
use throng_compare::{Runtime, Work};

#[test]
fn each_program_ends_on_each_runtime() {
    for work in Work::ALL {
        let n = match work {
            Work::Sieve | Work::ForkJoin => 1,
            _ => 500,
        };
        for runtime in Runtime::ALL.iter().filter(|runtime| runtime.can(work)) {
            runtime.measure(work, n);
        }
    }
}

#[test]
fn each_server_answers() {
    for runtime in Runtime::ALL {
        for service in [Service::Echo, Service::Http] {
            let mut load = Load::connect(runtime.serve(service), service, 8).unwrap();
            load.run_count(1000).unwrap();
        }
    }
}

#[test]
fn requests_are_counted_whole() {
    assert_eq!(http::answers(b""), (&b""[..], 0));
    assert_eq!(http::answers(&REQUEST[..10]), (&b""[..], 0));
    let pipelined = [REQUEST, REQUEST, &REQUEST[..7]].concat();
    assert_eq!(http::answers(&pipelined), (&[ANSWER, ANSWER].concat()[..], 2 * REQUEST.len()));
}
