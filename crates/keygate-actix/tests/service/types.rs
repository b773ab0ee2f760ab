//! What the compiler promises, how small the adapter is, and what it does not know.

use std::{fmt, fs, path::Path};

use keygate_actix::{Admission, Caller, Keygate, KeygateMiddleware, NotAdmitted, ResponseBody};

const MOST_LINES: usize = 300;

const fn is_shared_by_workers<T: Clone + fmt::Debug + Send + Sync + 'static>() {}
const fn is_told<T: fmt::Debug + 'static>() {}

const _: () = {
    is_shared_by_workers::<Keygate>();
    is_shared_by_workers::<Caller>();
    is_shared_by_workers::<Admission>();
    is_shared_by_workers::<NotAdmitted>();
    is_told::<KeygateMiddleware<()>>();
    is_told::<ResponseBody<()>>();
};

fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn the_adapter_stays_under_three_hundred_lines_of_code() {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines: usize = sources().iter().map(|source| source.lines().filter(is_code).count()).sum();
    assert!((1..MOST_LINES).contains(&lines), "{lines} lines; an adapter only translates types");
}

#[test]
fn the_adapter_names_no_header_no_status_and_no_reason() {
    let forbidden = [
        "ratelimit",
        "retry-after",
        "www-authenticate",
        "problem+json",
        "authorization",
        "api-key",
        "Reason",
        "400",
        "401",
        "403",
        "429",
        "500",
        "503",
    ];
    for source in sources() {
        let named: Vec<_> = forbidden.iter().filter(|word| source.contains(**word)).collect();
        assert!(named.is_empty(), "{named:?} belong to the wire");
    }
}
