//! A route of axum and one of actix-web, over sockets: how many of its requests a layer leaves.

use std::process::Command;

use keygate_bench::{
    harness::{Options, Report},
    load::{Contender, Server, take_turns},
};

const TARGET: f64 = 0.86;

const FIELDS: &[&str] = &["ratelimit", "ratelimit-policy"];
const COMMON: &[&str] = &["x-ratelimit-limit", "x-ratelimit-remaining"];

/// By framework: what `serve` calls it, what it is, and what its answers tell.
type Door = (&'static str, &'static str, &'static [&'static str]);

const AXUM: [Door; 5] = [
    ("bare", "bare route", &[]),
    ("keygate", "keygate, three limits", FIELDS),
    ("keygate-router", "keygate, on the router", FIELDS),
    ("governor", "tower_governor, one rate", COMMON),
    ("limitador", "limitador, three windows", COMMON),
];

const ACTIX: [Door; 3] = [
    ("bare", "bare route", &[]),
    ("keygate", "keygate, three limits", FIELDS),
    ("governor", "actix-governor, one rate", COMMON),
];

fn main() {
    let mut report = Report::new("doors", Options::from_args());
    contest(&mut report, "axum", &AXUM);
    contest(&mut report, "actix", &ACTIX);
    report.finish();
}

fn contest(report: &mut Report, framework: &str, doors: &[Door]) {
    let servers: Vec<Server> = doors.iter().map(|(what, ..)| serve(framework, what)).collect();
    let key = servers.iter().map(|server| &server.key).find(|key| !key.is_empty());
    let key = key.expect("keygate issues one").clone();
    let contender = |(server, (_, name, fields)): (Server, &Door)| {
        // Who issues none takes any.
        let own = Some(&server.key).filter(|own| !own.is_empty());
        Contender { name, key: own.unwrap_or(&key).clone(), server, fields }
    };
    let contenders: Vec<Contender> = servers.into_iter().zip(doors).map(contender).collect();
    let taken = take_turns(report, framework, &contenders);
    let share = taken[1].share;
    report.at_least(&format!("{framework}: share of keygate"), share.by_rate, TARGET);
    let what = format!("{framework}: share of keygate by the processor's time");
    report.at_least(&what, share.by_micros, TARGET);
    report.say("");
}

fn serve(framework: &str, what: &str) -> Server {
    Server::start(Command::new(env!("CARGO_BIN_EXE_serve")).args([framework, what]))
}
