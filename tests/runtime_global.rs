//! `Builder::build_global`. One test, since a process has one global runtime.

use std::io::ErrorKind;
use std::sync::Barrier;
use std::thread;
use throng::runtime::Builder;

#[test]
fn the_first_settings_count() {
    let refused = Builder::new().workers(0).build_global().expect_err("no workers");
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "and nothing has been started");

    let at_once = Barrier::new(4);
    let winners: Vec<usize> = thread::scope(|s| {
        let racers: Vec<_> = (0..4)
            .map(|i| {
                let at_once = &at_once;
                s.spawn(move || {
                    at_once.wait();
                    Builder::new().workers(1).name(format!("racer{i}")).build_global()
                })
            })
            .collect();
        let results = racers.into_iter().map(|racer| racer.join().expect("no panic"));
        let winners = results.enumerate().filter_map(|(i, result)| match result {
            Ok(()) => Some(i),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                None
            }
        });
        winners.collect()
    });
    let [winner] = winners[..] else { panic!("one wins: {winners:?}") };

    let worker = || thread::current().name().map(str::to_owned);
    let expected = Some(format!("racer{winner}-0"));
    assert_eq!(throng::spawn(worker).join().expect("no panic"), expected);
    assert_eq!(throng::run(worker), expected);
    let late = Builder::new().build_global().expect_err("it runs");
    assert_eq!(late.kind(), ErrorKind::AlreadyExists);
    assert!(late.to_string().contains("before the first"), "{late}");
}
