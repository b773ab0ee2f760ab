use std::fs;

use keygate::{
    key::{Digester, Pepper},
    verdict::Reason,
};

use crate::support::{Desk, Service};

const SECRET: &str = "a pepper of 24 characters";
const ISSUE: [&str; 6] = ["keys", "issue", "--consumer", "acme", "--plan", "free"];

#[tokio::test(flavor = "multi_thread")]
async fn services_with_the_pepper_know_the_key() {
    let desk = Desk::with_plans().set("KEYGATE_PEPPER", SECRET).set("KEYGATE_PEPPER_VERSION", "7");
    let peppered = Digester::peppered(Pepper::new(7, SECRET).unwrap());
    let service = Service::with(&desk.redis.url(), |gate| gate.digester(peppered)).await;
    let key = desk.run(ISSUE).done();
    service.knock(key.trim_end()).await.unwrap();
    let without = Service::at(&desk.redis.url()).await;
    assert_eq!(without.knock(key.trim_end()).await.unwrap_err(), Reason::UnknownKey);
}

#[test]
fn a_pepper_can_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pepper");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let desk = Desk::with_plans().set("KEYGATE_PEPPER_FILE", file.to_str().unwrap());
    let issued = desk.run(ISSUE.into_iter().chain(["--json"])).json();
    assert_eq!(issued["scheme"], "hmac-sha256:v1");
    let rotated = desk.run(["keys", "rotate", issued["id"].as_str().unwrap(), "--json"]).json();
    assert_eq!(rotated["scheme"], "hmac-sha256:v1");
}

#[test]
fn a_pepper_that_is_missing_here_is_noticed() {
    let desk = Desk::with_plans().set("KEYGATE_PEPPER", SECRET);
    let issued = desk.run(ISSUE.into_iter().chain(["--json"])).json();
    let id = issued["id"].as_str().unwrap();
    let desk = desk.set("KEYGATE_PEPPER", "");
    let rotate = ["keys", "rotate", id];
    for command in [&ISSUE[..], &rotate] {
        let line = desk.run(command).failed(1);
        let told = "keys here are digested by hmac-sha256:v1, and this one would be by sha256; set";
        assert!(line.starts_with(told), "{line}");
        desk.run(command.iter().chain(&["--older-pepper"])).done();
    }
}

#[test]
fn a_pepper_that_cannot_be_used_is_told_and_not_repeated() {
    let desk = || Desk::with_plans();
    let short = desk().set("KEYGATE_PEPPER", "too short").run(ISSUE).failed(2);
    assert!(
        short.contains("given 9 bytes; right is 16") && !short.contains("too short"),
        "{short}"
    );
    let nowhere = desk().set("KEYGATE_PEPPER_FILE", "/nowhere/pepper").run(ISSUE).failed(2);
    assert!(nowhere.starts_with("KEYGATE_PEPPER_FILE: "), "{nowhere}");
    let version = desk().set("KEYGATE_PEPPER", SECRET).set("KEYGATE_PEPPER_VERSION", "v1");
    assert!(version.run(ISSUE).failed(2).starts_with("KEYGATE_PEPPER_VERSION"));
    let alone = desk().set("KEYGATE_PEPPER_VERSION", "2").run(ISSUE).failed(2);
    assert!(alone.contains("without a pepper"), "{alone}");
    let both = desk().set("KEYGATE_PEPPER", SECRET).set("KEYGATE_PEPPER_FILE", "/nowhere");
    assert!(both.run(ISSUE).failed(2).contains("both set"));
}
