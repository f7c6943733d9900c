//! tokio, as its users write it. It has no rendezvous channel; `mpsc` with room for one message is the nearest. For many
//! consumers its users take `async-channel`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Notify, mpsc};

use crate::WORKERS;
use crate::http::{self, Service};
use crate::meter::cpu_time;
use crate::programs::{CAPACITY, CONTENDERS, FIB, PRIMES, RING, SIDE, YIELDERS, fib, sleep_times};
use crate::work::Work;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("threads can be had")
});

/// Runs `n` operations of `work` in a task, as `main` itself is not on a worker.
pub(crate) fn run(work: Work, n: u64) -> Duration {
    enter(async move {
        match work {
            Work::Yield => yields(n).await,
            Work::SpawnJoin => spawn_join(n).await,
            Work::SpawnAll => spawn_all(n).await,
            Work::PingPong => ping_pong(n).await,
            Work::Ring => ring(n).await,
            Work::Spsc => spsc(n).await,
            Work::Mpmc => mpmc(n).await,
            Work::Select => select(n).await,
            Work::Sieve => sieves(n).await,
            Work::ForkJoin => fork_join(n).await,
            Work::Mutex => mutex(n).await,
            Work::Sleep => sleeps(n).await,
        }
    })
}

fn enter<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    RUNTIME.block_on(RUNTIME.spawn(future)).expect("the task panicked")
}

async fn yields(n: u64) -> Duration {
    let start = Instant::now();
    let each = n.div_ceil(YIELDERS);
    let task = || async move {
        for _ in 0..each {
            tokio::task::yield_now().await;
        }
    };
    let tasks: Vec<_> = (0..YIELDERS).map(|_| tokio::spawn(task())).collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

async fn spawn_join(n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        tokio::spawn(async {}).await.unwrap();
    }
    start.elapsed()
}

async fn spawn_all(n: u64) -> Duration {
    let start = Instant::now();
    // Faster than a `JoinSet` or a vector of handles.
    let left = Arc::new((AtomicU64::new(n), Notify::new()));
    for _ in 0..n {
        let left = left.clone();
        tokio::spawn(async move {
            if left.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                left.1.notify_one();
            }
        });
    }
    left.1.notified().await;
    start.elapsed()
}

async fn ping_pong(n: u64) -> Duration {
    let (ping, mut pinged) = mpsc::channel(1);
    let (pong, mut ponged) = mpsc::channel(1);
    let start = Instant::now();
    let other = tokio::spawn(async move {
        while let Some(value) = pinged.recv().await {
            pong.send(value).await.unwrap();
        }
    });
    for value in 0..n {
        ping.send(value).await.unwrap();
        assert_eq!(ponged.recv().await, Some(value));
    }
    drop(ping);
    other.await.unwrap();
    start.elapsed()
}

async fn ring(n: u64) -> Duration {
    let (first, mut receiver) = mpsc::channel(1);
    let mut tasks = Vec::new();
    for _ in 1..RING {
        let (sender, next) = mpsc::channel(1);
        let mut from = std::mem::replace(&mut receiver, next);
        tasks.push(tokio::spawn(async move {
            while let Some(hops) = from.recv().await {
                if sender.send(hops + 1).await.is_err() {
                    break;
                }
            }
        }));
    }
    let start = Instant::now();
    let mut hops = 0;
    while hops < n {
        first.send(hops + 1).await.unwrap();
        hops = receiver.recv().await.unwrap();
    }
    let time = start.elapsed();
    drop(first);
    for task in tasks {
        task.await.unwrap();
    }
    time
}

async fn spsc(n: u64) -> Duration {
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let start = Instant::now();
    let producer = tokio::spawn(async move {
        for value in 0..n {
            sender.send(value).await.unwrap();
        }
    });
    let mut expected = 0;
    while let Some(value) = receiver.recv().await {
        assert_eq!(value, expected);
        expected += 1;
    }
    producer.await.unwrap();
    assert_eq!(expected, n);
    start.elapsed()
}

async fn mpmc(n: u64) -> Duration {
    let (sender, receiver) = async_channel::bounded(CAPACITY);
    let each = n.div_ceil(SIDE);
    let start = Instant::now();
    for _ in 0..SIDE {
        let sender = sender.clone();
        tokio::spawn(async move {
            for value in 0..each {
                sender.send(value).await.unwrap();
            }
        });
    }
    let consumers: Vec<_> = (0..SIDE)
        .map(|_| {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                let mut received = 0;
                while receiver.recv().await.is_ok() {
                    received += 1;
                }
                received
            })
        })
        .collect();
    drop((sender, receiver));
    let mut received = 0;
    for consumer in consumers {
        received += consumer.await.unwrap();
    }
    assert_eq!(received, SIDE * each);
    start.elapsed()
}

async fn select(n: u64) -> Duration {
    let each = n.div_ceil(4);
    let start = Instant::now();
    let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for value in 0..each {
                sender.send(value).await.unwrap();
            }
            sender.closed().await;
        });
        receiver
    });
    for _ in 0..4 * each {
        let value = tokio::select! {
            value = a.recv() => value,
            value = b.recv() => value,
            value = c.recv() => value,
            value = d.recv() => value,
        };
        value.expect("closed");
    }
    start.elapsed()
}

async fn sieves(n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        let (sender, mut receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for number in 2_u64.. {
                if sender.send(number).await.is_err() {
                    break;
                }
            }
        });
        let mut prime = 0;
        for _ in 0..PRIMES {
            prime = receiver.recv().await.expect("numbers have no end");
            let (sender, next) = mpsc::channel(1);
            let mut from = std::mem::replace(&mut receiver, next);
            tokio::spawn(async move {
                while let Some(number) = from.recv().await {
                    if number % prime != 0 && sender.send(number).await.is_err() {
                        break;
                    }
                }
            });
        }
        assert_eq!(prime, 7919);
    }
    start.elapsed()
}

async fn fork_join(n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        assert_eq!(forking_fib(FIB.0).await, 2_178_309);
    }
    start.elapsed()
}

fn forking_fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < FIB.1 {
            return fib(n);
        }
        let left = tokio::spawn(forking_fib(n - 1));
        let right = forking_fib(n - 2).await;
        left.await.unwrap() + right
    })
}

async fn mutex(n: u64) -> Duration {
    let mutex = Arc::new(Mutex::new(0));
    let each = n.div_ceil(CONTENDERS);
    let start = Instant::now();
    let tasks: Vec<_> = (0..CONTENDERS)
        .map(|_| {
            let mutex = mutex.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    *mutex.lock().await += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

async fn sleeps(n: u64) -> Duration {
    let before = cpu_time();
    let tasks: Vec<_> = sleep_times(n).map(|time| tokio::spawn(tokio::time::sleep(time))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    cpu_time() - before
}

/// Leaves `n` tasks waiting for ever, all of which have run.
pub(crate) fn park_tasks(n: u64) {
    enter(async move {
        let (alive, mut all) = mpsc::channel::<()>(1);
        for _ in 0..n {
            let alive = alive.clone();
            tokio::spawn(async move {
                drop(alive);
                std::future::pending::<()>().await;
            });
        }
        drop(alive);
        all.recv().await;
    });
}

/// Leaves `n` tasks asleep for an hour.
pub(crate) fn long_sleeps(n: u64) {
    enter(async move {
        for _ in 0..n {
            tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
        }
    });
}

/// Starts a server that never ends.
pub(crate) fn serve(service: Service) -> SocketAddr {
    enter(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("descriptors are left");
                stream.set_nodelay(true).expect("it is a TCP socket");
                match service {
                    Service::Echo => tokio::spawn(echo(stream)),
                    Service::Http => tokio::spawn(answer(stream)),
                };
            }
        });
        address
    })
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; http::BUFFER];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}

async fn answer(mut stream: TcpStream) {
    let mut buffer = [0; http::BUFFER];
    let mut filled = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]).await {
        filled += read;
        let (answers, used) = http::answers(&buffer[..filled]);
        if stream.write_all(answers).await.is_err() {
            break;
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}
