//! A stand-in until the runtime is here: one netpoll, which a helper thread polls.

use crate::netpoll::{Netpoll, Wait};
use crate::wait::Wakeup;
use std::io;
use std::sync::{Arc, LazyLock};

/// The netpoll of whoever calls.
pub(crate) fn current_netpoll() -> io::Result<Arc<Netpoll>> {
    static GLOBAL: LazyLock<io::Result<Arc<Netpoll>>> = LazyLock::new(|| {
        let netpoll = Netpoll::new()?;
        let poller = netpoll.clone();
        std::thread::Builder::new().name("throng-netpoll".into()).spawn(move || {
            let mut woken = Vec::new();
            let mut driver = poller.try_driver().expect("only this thread polls");
            while driver.poll(Wait::Forever, &mut woken).is_ok() {
                woken.drain(..).for_each(Wakeup::fire);
            }
        })?;
        Ok(netpoll)
    });
    GLOBAL.as_ref().map(Arc::clone).map_err(|error| error.kind().into())
}
