//! What Redis keeps for one subject.

use keygate_bench::{by_hand::ByHand, harness::Report};
use keygate_tests::RedisServer;

use crate::contender::Contender;

pub(crate) async fn run(report: &mut Report, redis: &RedisServer) {
    report.say("bytes of Redis a subject, its key included (MEMORY USAGE)");
    for plan in ["one", "three", "eight"] {
        Contender::keygate(redis, plan, 1).await.decide(0).await;
        let key = format!("{plan}:limits:{{{SUBJECT}}}");
        report.figure(&format!("keygate, {plan} of a plan's limits"), bytes(redis, &key));
    }
    Contender::by_hand(redis, 1).await.decide(0).await;
    report.figure("by hand, one rate", bytes(redis, &ByHand::key(SUBJECT)));
    report.say("");
}

const SUBJECT: &str = "cus_0000000000";

fn bytes(redis: &RedisServer, key: &str) -> f64 {
    let told = redis.cli(&["memory", "usage", key]);
    told.parse().unwrap_or_else(|_| panic!("no bytes of `{key}`: {told}"))
}
