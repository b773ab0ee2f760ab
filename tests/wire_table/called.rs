//! The wire in terms of gRPC.

use std::{collections::BTreeMap, net::SocketAddr};

use keygate_tests::Grpc;
use tonic::{Response, Status, metadata::MetadataMap};
use tonic_types::StatusExt as _;

use crate::{
    expected::fields_faults,
    row::{Problem, Row, problems},
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
    let grpc = Grpc::to(address);
    let metadata: Vec<_> = row.headers.iter().map(|it| words.filled(it)).collect();
    let metadata: Vec<_> = metadata.iter().filter_map(|it| it.split_once(": ")).collect();
    let call = |method: &String| grpc.call(method, &metadata, "tea");
    row.before.iter().for_each(|method| drop(call(method)));
    let faults = match (call(&row.send), &row.refused) {
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
