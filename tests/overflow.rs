//! A stack overflow is reported and aborts: seen in a child process, which is this test binary itself.

use std::process::Command;
use throng::task;

const CHILD: &str = "THRONG_OVERFLOW";

#[inline(never)]
fn recurse(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 64]);
    if n == u64::MAX { frame[0] } else { recurse(n + 1) + frame[7] }
}

#[inline(never)]
fn huge_frame() -> u8 {
    let frame = std::hint::black_box([1u8; 3 << 20]);
    frame[frame.len() / 2]
}

/// In the child: overflows the way it is told to.
#[test]
fn child() {
    let Ok(way) = std::env::var(CHILD) else { return };
    let (way, workers) = way.split_once(' ').unwrap();
    let runtime = throng::runtime::Builder::new().workers(workers.parse().unwrap()).build().unwrap();
    let overflow: fn() = match way {
        "recurse" => || println!("{}", recurse(0)),
        "frame" => || println!("{}", huge_frame()),
        // A fault that is no overflow.
        "null" => || {
            // SAFETY: none; that is the point.
            #[allow(unsafe_code)]
            unsafe {
                std::ptr::without_provenance::<u8>(8).read_volatile();
            }
        },
        _ => unreachable!(),
    };
    runtime.run(move || {
        task::Builder::new().name("deep").stack_size(64 << 10).spawn(overflow).unwrap().join().unwrap();
    });
}

fn overflow(way: &str, workers: usize) -> (String, std::process::ExitStatus) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, format!("{way} {workers}"))
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status)
}

#[test]
fn an_overflow_names_the_task_and_its_stack_and_aborts() {
    use std::os::unix::process::ExitStatusExt;
    for way in ["recurse", "frame"] {
        for workers in [1, 4] {
            let (stderr, status) = overflow(way, workers);
            assert!(stderr.contains("task 'deep' has overflowed its stack of 60 KiB"), "{way}: {stderr}");
            assert!(stderr.contains("task::Builder::stack_size"), "{stderr}");
            assert_eq!(status.signal(), Some(libc::SIGABRT), "{way}: {stderr}");
        }
    }
}

#[test]
fn another_fault_goes_to_the_handler_before() {
    use std::os::unix::process::ExitStatusExt;
    let (stderr, status) = overflow("null", 2);
    assert!(!stderr.contains("overflowed"), "{stderr}");
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{stderr}");
}
