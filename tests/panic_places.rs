//! The panic of a misused call names the line of the program that made it, not one of the library's.

use std::cell::RefCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use throng::chan::{Select, unbounded};
use throng::sim;
use throng::sync::{Once, OnceLock, Semaphore, WaitGroup};
use throng::task;

#[test]
fn a_misuse_is_the_callers() {
    let places: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&places);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| noted.lock().unwrap().push(info.location().unwrap().to_string())));
    let wrong = RefCell::new(Vec::new());
    let misuse = |name: &str, f: &dyn Fn()| {
        let is_refused = catch_unwind(AssertUnwindSafe(f)).is_err();
        let places = mem::take(&mut *places.lock().unwrap());
        if !is_refused || !places.iter().all(|place| place.starts_with(file!())) {
            wrong.borrow_mut().push(format!("{name}: {places:?}"));
        }
    };
    misuse("Semaphore::add_permits", &|| Semaphore::new(1).add_permits(usize::MAX));
    misuse("WaitGroup::add", &|| {
        let group = WaitGroup::new();
        group.add(usize::MAX);
        group.add(1);
    });
    misuse("WaitGroup::done", &|| {
        let group = WaitGroup::new();
        group.done();
    });
    misuse("task::current", &|| _ = task::current());
    misuse("throng::scope", &|| throng::scope(|s| _ = s.spawn(|| panic!("on purpose"))));
    misuse("Select::select", &|| _ = Select::new().select());
    misuse("Select::ready", &|| _ = Select::new().ready());
    misuse("Select::remove", &|| Select::new().remove(0));
    misuse("SelectedOperation::recv", &|| {
        let ((_s, r), (s, other)) = (unbounded::<()>(), unbounded::<()>());
        s.send(()).unwrap();
        let mut select = Select::new();
        select.recv(&other);
        _ = select.select().recv(&r);
    });
    misuse("sim::run", &|| sim::run(1, || panic!("on purpose")));
    misuse("sim::check", &|| sim::check(|| panic!("on purpose")));
    misuse("sim::Check::stack_size", &|| _ = sim::Check::new().stack_size(usize::MAX).run(1, || ()));
    misuse("throng::spawn", &|| _ = task::Builder::new().stack_size(usize::MAX).spawn(|| ()).unwrap());
    let cell = OnceLock::new();
    misuse("OnceLock::get_or_init", &|| _ = cell.get_or_init(|| *cell.get_or_init(|| 1)));
    misuse("OnceLock::set", &|| _ = cell.get_or_init(|| cell.set(1).map_or_else(|there| there, |()| 1)));
    misuse("OnceLock::wait", &|| _ = cell.get_or_init(|| *cell.wait()));
    let once = Once::new();
    misuse("Once::call_once", &|| once.call_once(|| once.call_once(|| ())));
    misuse("Once::wait", &|| once.wait());
    std::panic::set_hook(before);
    assert!(wrong.borrow().is_empty(), "{:#?}", wrong.borrow());
}
