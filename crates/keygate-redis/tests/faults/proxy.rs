//! A connection that is cut in the middle of an answer: nobody knows what became of the question.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use keygate::{
    key::KeyId,
    limit::Readings,
    period::Period,
    plan::{Limit, Plan},
    port::{Charge, CounterStore, StoreError},
};
use keygate_redis::{Address, FaultKind, RedisStore};
use keygate_tests::RedisServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::scene::{Scene, Setting, assert_everything_expires};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_cut_short() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let scene = Scene::on(&proxy.url(), Setting::default()).await;
    let struck = Instant::now();
    for _ in 0..20 {
        proxy.cut();
        sleep(Duration::from_millis(100)).await;
    }
    proxy.spare();
    let report = scene.end("answer cut, 10 times a second, 2 s", struck, Instant::now()).await;
    report.assert_sound();
    let sent = [FaultKind::Timeout, FaultKind::Connection].map(|kind| report.faults(kind));
    assert!(report.lost <= sent.iter().sum::<u64>(), "a charge was sent twice");
    assert_everything_expires(&[&server]);
}

/// One call at a time, so that it shows what each did.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_charge_whose_answer_is_cut_is_a_fault_and_counts_at_most_once() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let [cut, whole] = [proxy.url(), server.url()].map(|url| Address::parse(&url).unwrap());
    let cut = RedisStore::at(cut).deadline(Duration::from_secs(5)).connect().await.unwrap();
    let whole = RedisStore::at(whole).connect().await.unwrap();
    let (cut, whole) = (cut.counters(), whole.counters());
    let plan = Plan::builder("test").limit(Limit::quota("daily", 1_000, Period::day()));
    let limits = Arc::clone(plan.build().unwrap().limits());
    let key = KeyId::random().unwrap();
    let (mut used, mut faults) = (0, 0);
    for turn in 0..40 {
        if turn % 5 == 4 {
            proxy.cut();
        }
        let answer = charge(&*cut, key, &limits, 1).await;
        let now = 1_000 - charge(&*whole, key, &limits, 0).await.unwrap()[0].remaining;
        match answer {
            Ok(_) => assert_eq!(now, used + 1, "an answer without a charge"),
            Err(_) => {
                faults += 1;
                assert!(now <= used + 1, "a fault counted {} times", now - used);
            }
        }
        used = now;
    }
    assert!(faults >= 4, "only {faults} answers were cut");
}

async fn charge(
    counters: &dyn CounterStore,
    key: KeyId,
    limits: &Arc<[Limit]>,
    cost: u64,
) -> Result<Readings, StoreError> {
    let consumer = "acme".parse().unwrap();
    counters.charge(&Charge { consumer: &consumer, key, limits, cost, slot: None }).await
}

/// Stands between a client and a server. Told to cut, it sends half of what the server says next on
/// each connection, and hangs up.
struct Proxy {
    port: u16,
    cuts: Arc<AtomicBool>,
}

impl Proxy {
    async fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::<AtomicBool>::default();
        tokio::spawn(accept(listener, upstream, Arc::clone(&cuts)));
        Self { port, cuts }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Cuts the next answer to a script.
    fn cut(&self) {
        self.cuts.store(true, SeqCst);
    }

    fn spare(&self) {
        self.cuts.store(false, SeqCst);
    }
}

async fn accept(listener: TcpListener, upstream: u16, cuts: Arc<AtomicBool>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await {
            for side in [&client, &server] {
                side.set_nodelay(true).unwrap();
            }
            tokio::spawn(carry(client, server, Arc::clone(&cuts)));
        }
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, cuts: Arc<AtomicBool>) {
    let (mut asked, mut said) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut scripts = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                scripts |= asked[..length].windows(7).any(|word| word == b"EVALSHA");
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            read = server.read(&mut said) => {
                let Ok(length @ 1..) = read else { return };
                let cut = scripts && cuts.swap(false, SeqCst);
                let through = if cut { length / 2 } else { length };
                if client.write_all(&said[..through]).await.is_err() || cut { return }
            }
        }
    }
}
