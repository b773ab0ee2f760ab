//! The wire in terms of gRPC.

use std::{collections::BTreeMap, net::SocketAddr, thread, time::Duration};

use keygate_tests::{Grpc, PATIENCE, Unread, now};
use tonic::{Response, Status, metadata::MetadataMap};
use tonic_types::StatusExt as _;

use crate::{
    beside::Beside,
    expected::fields_faults,
    files::problems,
    row::{Problem, Row},
    template::Template,
    words::Words,
};

/// Metadata that is the framework's own: axum tells how long the answer of a fallback is.
const FRAMEWORKS_OWN: [&str; 3] = ["date", "content-type", "content-length"];

/// Calls what a row says.
///
/// # Errors
/// What is not as the row says.
#[track_caller]
pub(crate) fn check(address: SocketAddr, row: &Row, words: &Words) -> Result<(), String> {
    let calling = Calling { address, grpc: Grpc::to(address), row, words };
    row.before.iter().for_each(|it| drop(calling.call_beside(it)));
    let held: Vec<_> = row.held.iter().map(|it| calling.hold(it)).collect();
    let called = if row.held_end {
        held.into_iter().for_each(|it| _ = it.read().expect("messages"));
        calling.call_until_free()
    } else {
        calling.call(&row.send, &row.headers)
    };
    let faults = match (called, &row.refused) {
        (Ok(response), None) => faults_of_response(row, &response),
        (Err(status), Some(code)) => {
            let problem = problems().remove(code).unwrap_or_else(|| panic!("no code `{code}`"));
            faults_of_status(row, code, &problem, &status)
        }
        (Err(status), None) if row.status.map(i32::from) == Some(status.code().into()) => {
            fields_faults(&row.fields, fields(status.metadata()))
        }
        (called, _) => vec![format!("  {called:?}")],
    };
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n  {}\n{}", row.it, row.send, faults.join("\n")))
}

/// Who makes the calls of one row.
struct Calling<'r> {
    address: SocketAddr,
    grpc: Grpc,
    row: &'r Row,
    words: &'r Words,
}

impl Calling<'_> {
    #[track_caller]
    fn call(&self, method: &str, headers: &[String]) -> Result<Response<String>, Box<Status>> {
        self.grpc.call(method, &pairs(&self.filled(headers)), "tea")
    }

    #[track_caller]
    fn call_beside(&self, beside: &Beside) -> Result<Response<String>, Box<Status>> {
        let (method, headers) = beside.of(self.row);
        self.call(method, headers)
    }

    /// The row's own call, for as long as all slots are held: those that have ended are given back in a while.
    #[track_caller]
    fn call_until_free(&self) -> Result<Response<String>, Box<Status>> {
        let start = now();
        loop {
            let called = self.call(&self.row.send, &self.row.headers);
            if !called.as_ref().is_err_and(|status| is_for("TOO_MANY_CONCURRENT", status)) {
                return called;
            }
            assert!(now().duration_since(start) < PATIENCE, "{}: no slot is free", self.row.it);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[track_caller]
    fn hold(&self, beside: &Beside) -> Unread {
        let (method, headers) = beside.of(self.row);
        let call = Unread::call(self.address, method, &pairs(&self.filled(headers)));
        call.unwrap_or_else(|status| panic!("{}: {status:?}", self.row.it))
    }

    fn filled(&self, headers: &[String]) -> Vec<String> {
        headers.iter().map(|it| self.words.filled(it)).collect()
    }
}

#[track_caller]
fn pairs(headers: &[String]) -> Vec<(&str, &str)> {
    headers.iter().map(|it| it.split_once(": ").expect("a name and a value")).collect()
}

fn is_for(reason: &str, status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == reason)
}

fn faults_of_response(row: &Row, response: &Response<String>) -> Vec<String> {
    let told = (response.get_ref() != row.text.as_ref().expect("a text"))
        .then(|| format!("  {:?}, not {:?}", response.get_ref(), row.text));
    told.into_iter().chain(fields_faults(&row.fields, fields(response.metadata()))).collect()
}

fn faults_of_status(row: &Row, code: &str, problem: &Problem, status: &Status) -> Vec<String> {
    let info = status.get_details_error_info();
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let retry = retry.map(|delay| delay.as_secs().to_string());
    let waits = match (&row.retry, &retry) {
        (Some(template), Some(seconds)) => Template(template).fits(seconds),
        (due, told) => due.is_none() && told.is_none(),
    };
    let detail = row.detail.as_ref().unwrap_or(&problem.detail);
    [
        (status.code() as i32 == problem.grpc, "code"),
        (status.message() == detail, "message"),
        (
            info.as_ref()
                .is_some_and(|it| it.reason == code.to_uppercase() && it.domain == "keygate"),
            "reason",
        ),
        (waits, "wait"),
    ]
    .into_iter()
    .filter(|(fits, _)| !fits)
    .map(|(_, what)| format!("  {what}: {status:?} {info:?} {retry:?}"))
    .chain(fields_faults(&row.fields, fields(status.metadata())))
    .collect()
}

fn fields(metadata: &MetadataMap) -> BTreeMap<String, String> {
    let headers = metadata.clone().into_headers();
    let told = headers.iter().filter(|(name, _)| !FRAMEWORKS_OWN.contains(&name.as_str()));
    told.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}
