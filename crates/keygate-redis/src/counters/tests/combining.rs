//! Charges that meet at one owner: they are made together, and nobody can tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::repeat_n,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use keygate::{
    clock::Timestamp,
    key::KeyId,
    limit::{Level, Reading, Readings, State, decide},
    plan::{Limit, RateSpec},
};
use keygate_tests::RedisServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, interval, sleep_until},
};

use super::support::{
    Customer, all, assert_all_is_answered, assert_everything_expires, becomes_idle, calls,
    is_admitted, limits, monthly, remaining, replica, replica_at, set_clock, spawn,
    stepped_replica, warmed_up,
};
use crate::{counters::RedisCounters, testing::Random};

const AT: Timestamp = Timestamp::from_micros(2_000_000_000_000_000);

/// Charges at once, which meet: each is polled before anything is answered. The connection is there, and the
/// script is known.
async fn meet(
    replica: &RedisCounters,
    limits: &Arc<[Limit]>,
    who: impl IntoIterator<Item = (&Customer, u64)>,
) -> Vec<Readings> {
    let charges = who.into_iter().map(|(who, cost)| who.charge(replica, limits, cost));
    let answers = join_all(charges).await;
    assert_all_is_answered(replica);
    answers.into_iter().map(Result::unwrap).collect()
}

/// One whose clock shows [`AT`] until it is set.
async fn standing_still(server: &RedisServer) -> Arc<RedisCounters> {
    let replica = stepped_replica(server);
    set_clock(&replica, AT).await;
    warmed_up(replica, server).await
}

/// Invariant I8: each unit is told once.
#[track_caller]
fn assert_dense(mut remaining: Vec<u64>, amount: u64) {
    remaining.sort_unstable();
    assert_eq!(remaining, (0..amount).collect::<Vec<_>>());
}

#[tokio::test]
async fn charges_that_meet_are_two_trips() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([monthly("monthly", 300), monthly("other", 1_000)]);
    let answers = meet(&replica, &limits, repeat_n((&acme, 1), 257)).await;
    // In the order in which they came.
    assert_eq!(remaining(&answers), (43..300).rev().collect::<Vec<_>>());
    assert_eq!(calls(&server, "evalsha"), 2);
    let answers = meet(&replica, &limits, repeat_n((&acme, 1), 258)).await;
    assert_dense(remaining(&answers), 43);
    // The first; a batch that is too much, and as much of it as fits; one more, for a batch has 256 at most.
    assert_eq!(calls(&server, "evalsha"), 6);
    assert_everything_expires(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_given_out_to_the_last_unit_in_few_trips() {
    const TASKS: u64 = 1_500;
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([monthly("monthly", 1_000)]);
    let tasks = (0..TASKS).map(|_| spawn(&replica, &limits, &acme, 1)).collect();
    let answers = all(tasks).await;
    assert_dense(remaining(&answers), 1_000);
    let trips = calls(&server, "evalsha");
    println!("{TASKS} decisions, {trips} trips");
    assert!(trips * 4 < TASKS, "{trips}");
    assert_all_is_answered(&replica);
    becomes_idle(&replica, &acme).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_give_out_a_quota_to_the_last_unit() {
    let server = RedisServer::start();
    let first = warmed_up(replica(&server), &server).await;
    let second = warmed_up(replica(&server), &server).await;
    let (limits, acme) = (limits([monthly("monthly", 1_000)]), Customer::new("acme"));
    let task = |number| spawn(if number % 2 == 0 { &first } else { &second }, &limits, &acme, 1);
    let answers = all((0..1_500).map(task).collect()).await;
    assert_dense(remaining(&answers), 1_000);
    assert!(calls(&server, "evalsha") < 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_would_not_have_fitted() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let mut random = Random(3);
    for round in 0..20 {
        let limits = limits([monthly(&format!("monthly-{round}"), 700), monthly("all", 100_000)]);
        let costs: Vec<u64> = (0..400).map(|_| *random.one_of(&[1, 1, 2, 3, 5, 8, 13])).collect();
        let tasks = costs.iter().map(|cost| spawn(&replica, &limits, &acme, *cost)).collect();
        let (mut admitted, mut refused) = (0, Vec::new());
        for (cost, readings) in costs.iter().zip(all(tasks).await) {
            match is_admitted(&readings) {
                true => admitted += cost,
                false => refused.push((cost, readings[0])),
            }
        }
        let left = acme.remaining(&replica, &limits).await[0];
        assert_eq!(left, 700 - admitted);
        assert!(!refused.is_empty());
        for (cost, Reading { within, remaining, .. }) in refused {
            assert!(!within && remaining < *cost && left < *cost, "{remaining} left for {cost}");
        }
    }
    assert_all_is_answered(&replica);
}

#[tokio::test]
async fn charges_that_meet_are_told_what_the_arithmetic_says() {
    let server = RedisServer::start();
    let replica = standing_still(&server).await;
    let (acme, mut random, mut now) = (Customer::new("acme"), Random(4), AT);
    let limits = limits([
        Limit::rate("burst", RateSpec::per_micros(3, 10_000).burst(50)),
        monthly("monthly", 2_000),
        Limit::rate("own", RateSpec::per_micros(7, 999_983).burst(300)).per_key(),
    ]);
    let mut states = vec![State::default(); limits.len()];
    for _ in 0..300 {
        now = now.saturating_add(Duration::from_micros(random.below(300_000)));
        set_clock(&replica, now).await;
        let costs: Vec<u64> = (0..40).map(|_| *random.one_of(&[1, 1, 1, 2, 5, 51])).collect();
        let answers = meet(&replica, &limits, costs.iter().map(|cost| (&acme, *cost))).await;
        for (cost, answer) in costs.iter().zip(answers) {
            let levels = limits.iter().zip(&states);
            let mut levels: Vec<Level> =
                levels.map(|(limit, state)| limit.rule().level(*state, now)).collect();
            assert_eq!(answer, decide(&mut levels, *cost), "cost {cost}");
            if is_admitted(&answer) {
                states = levels.iter().map(Level::state).collect();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_under_many_tasks_gives_its_burst_and_its_pace() {
    const BURST: u64 = 50;
    const A_SECOND: u64 = 2_000;
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([Limit::rate("burst", RateSpec::per_second(A_SECOND).burst(BURST))]);
    let start = Instant::now();
    let hammering = (0..64).map(|_| {
        let (replica, limits, acme) = (Arc::clone(&replica), Arc::clone(&limits), acme.clone());
        tokio::spawn(async move {
            let (mut decided, mut admitted) = (0_u64, 0_u64);
            while start.elapsed() < Duration::from_secs(1) {
                let readings = acme.charge(&replica, &limits, 1).await.unwrap();
                decided += 1;
                admitted += u64::from(is_admitted(&readings));
            }
            (decided, admitted)
        })
    });
    let done = join_all(hammering).await.into_iter().map(Result::unwrap);
    let (decided, admitted) = done.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let flowed = u64::try_from(start.elapsed().as_micros()).unwrap() * A_SECOND / 1_000_000;
    println!("{decided} decided, {admitted} admitted, {flowed} flowed back");
    assert!(admitted <= BURST + flowed + 1);
    assert!(admitted >= flowed * 8 / 10, "whatever flows back is given out");
    assert!(calls(&server, "evalsha") * 2 < decided);
    assert_all_is_answered(&replica);
}

/// Redis is far away, and each unit has flowed back when the next one is asked for.
#[tokio::test]
async fn who_keeps_the_pace_is_not_refused_however_long_a_trip_takes() {
    const EVERY: Duration = Duration::from_millis(10);
    let server = RedisServer::start();
    let far = far_from(server.port(), Duration::from_millis(10)).await;
    let replica = replica_at(&format!("redis://127.0.0.1:{far}"));
    let (replica, acme) = (warmed_up(replica, &server).await, Customer::new("acme"));
    // The clocks and timers of a busy machine are not as exact.
    let limits = limits([Limit::rate("pace", RateSpec::per_micros(1, 8_000).burst(1))]);
    let mut tasks = Vec::new();
    let mut next = interval(EVERY);
    for _ in 0..100 {
        next.tick().await;
        tasks.push(spawn(&replica, &limits, &acme, 1));
    }
    let admitted = all(tasks).await.iter().filter(|it| is_admitted(it)).count();
    assert!(admitted >= 80, "{admitted} of 100");
}

/// The port of a way to this one that takes so long in each direction.
async fn far_from(port: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            server.set_nodelay(true).unwrap();
            client.set_nodelay(true).unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(pass_late(from_client, to_server, delay));
            tokio::spawn(pass_late(from_server, to_client, delay));
        }
    });
    far
}

async fn pass_late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (late, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            to.write_all(&bytes).await.unwrap();
        }
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        late.send((Instant::now() + delay, buffer[..read].to_vec())).unwrap();
    }
}

#[tokio::test]
async fn keys_of_one_consumer_meet_where_all_limits_are_its_own() {
    let server = RedisServer::start();
    let replica = warmed_up(replica(&server), &server).await;
    let acme = Customer::new("acme");
    let keys = [(); 4].map(|()| Customer { key: KeyId::random().unwrap(), ..acme.clone() });
    let each_of_ten = || keys.iter().cycle().take(40).map(|key| (key, 1));

    let shared = limits([monthly("shared", 30)]);
    let answers = meet(&replica, &shared, each_of_ten()).await;
    assert_dense(remaining(&answers), 30);
    let trips = calls(&server, "evalsha");
    assert_eq!(trips, 3, "the first, those that are too many, those that fit");

    let mixed = limits([monthly("mixed", 30), monthly("own", 9).per_key()]);
    let answers = meet(&replica, &mixed, each_of_ten()).await;
    assert_dense(remaining(&answers), 30);
    let mut own = BTreeMap::<KeyId, Vec<u64>>::new();
    for (readings, (who, _)) in answers.iter().zip(each_of_ten()) {
        if is_admitted(readings) {
            own.entry(who.key).or_default().push(readings[1].remaining);
        }
    }
    for (key, own) in own {
        let of_this = own.iter().collect::<BTreeSet<_>>();
        assert_eq!((of_this.len(), of_this.last()), (own.len(), Some(&&8)), "{key}");
    }
    // Of each key the first, the rest, as many of them as its own limit has room for, or the shared one.
    let trips = calls(&server, "evalsha") - trips;
    assert!((8..=16).contains(&trips), "{trips}");

    let strangers = [Customer::new("other"), Customer::new("another")];
    let answers = meet(&replica, &shared, strangers.iter().map(|who| (who, 1))).await;
    assert_eq!(remaining(&answers), [29, 29]);
}

#[tokio::test]
async fn lists_of_limits_do_not_mix() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let all = limits([monthly("all", 100)]);
    let search = limits([monthly("search", 10), monthly("all", 100)]);
    let charges = (0..40).map(|number| acme.charge(&replica, [&all, &search][number % 2], 1));
    let answers: Vec<_> = join_all(charges).await.into_iter().map(Result::unwrap).collect();
    let of_search: Vec<_> = answers.iter().filter(|it| it.len() == 2).cloned().collect();
    assert_dense(remaining(&of_search), 10);
    let of_all: Vec<_> = answers.iter().filter(|it| is_admitted(it)).collect();
    let of_all = of_all.iter().map(|it| it.last().unwrap().remaining).collect::<BTreeSet<_>>();
    assert_eq!(of_all, (70..100).collect());
    becomes_idle(&replica, &acme).await;
}

#[tokio::test]
async fn who_only_looks_waits_for_nobody() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([monthly("monthly", 300)]);
    meet(&replica, &limits, repeat_n((&acme, 0), 10)).await;
    assert_eq!(calls(&server, "evalsha"), 10);
    becomes_idle(&replica, &acme).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_forgotten_in_between_loses_nothing() {
    let server = RedisServer::start();
    let (replica, acme) = (warmed_up(replica(&server), &server).await, Customer::new("acme"));
    let limits = limits([monthly("monthly", 1_000)]);
    let tasks: Vec<_> = (0..1_200)
        .map(|number| {
            if number % 100 == 0 {
                server.cli(&["script", "flush"]);
            }
            spawn(&replica, &limits, &acme, 1)
        })
        .collect();
    assert_dense(remaining(&all(tasks).await), 1_000);
    assert!(calls(&server, "eval") > 0, "the script was sent again");
}

#[tokio::test]
async fn those_who_hammer_an_exhausted_limit_are_one_trip() {
    let server = RedisServer::start();
    let replica = standing_still(&server).await;
    let (acme, rate) = (Customer::new("acme"), RateSpec::per_micros(3, 1_000_000).burst(10));
    let limits = limits([Limit::rate("burst", rate), monthly("monthly", 1_000)]);
    acme.charge(&replica, &limits, 10).await.unwrap();
    let before = calls(&server, "evalsha");
    let costs: Vec<u64> = (0..257).map(|number| [1, 2, 11][number % 3]).collect();
    let answers = meet(&replica, &limits, costs.iter().map(|cost| (&acme, *cost))).await;
    // The first, and all others up to one that fits never; then those are known that fit not now.
    assert_eq!(calls(&server, "evalsha") - before, 2);
    for (cost, readings) in costs.iter().zip(&answers) {
        let retry = match cost {
            1 => Some(333_334),
            2 => Some(666_667),
            _ => None,
        };
        assert_eq!((readings[0].within, readings[0].retry_micros), (false, retry));
        assert!(readings[1].within, "that limit has room");
    }
    let retry = |micros| AT.saturating_add(Duration::from_micros(micros));
    set_clock(&replica, retry(333_333)).await;
    let early = meet(&replica, &limits, repeat_n((&acme, 1), 20)).await;
    assert!(remaining(&early).is_empty());
    set_clock(&replica, retry(333_334)).await;
    let on_time = meet(&replica, &limits, repeat_n((&acme, 1), 20)).await;
    assert_eq!(remaining(&on_time), [0]);
}

#[tokio::test]
async fn small_and_large_costs_in_turns_are_few_trips_where_only_the_small_fit() {
    let server = RedisServer::start();
    let replica = standing_still(&server).await;
    let (limits, acme) = (limits([monthly("monthly", 1_000)]), Customer::new("acme"));
    acme.charge(&replica, &limits, 900).await.unwrap();
    let before = calls(&server, "evalsha");
    let costs = (0..257).map(|number| if number % 2 == 0 { 1 } else { 200 });
    let answers = meet(&replica, &limits, costs.map(|cost| (&acme, cost))).await;
    assert_dense(remaining(&answers), 100);
    // Each is told what is left in its turn.
    for (number, readings) in answers.iter().enumerate().take(200) {
        assert_eq!(readings[0].remaining, 99 - number as u64 / 2);
    }
    assert_eq!(calls(&server, "evalsha") - before, 3, "the first, all others, those that fit");
}
