use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

/// The program under test, built once for each test program. Cargo has let go of its lock by the
/// time tests run, so that building here waits for nobody but other builds.
pub(crate) fn quickstart() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("quickstart"))
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn built(name: &str) -> PathBuf {
    // The features that a build of the whole workspace has: what that compiled is not compiled again.
    let output = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--all-features", "--locked", "--bin", name])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace())
        .output()
        .expect("cargo starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo cannot build `{name}`:\n{told}");
    let messages = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.unwrap_or_else(|| panic!("cargo names no executable `{name}`:\n{messages}"))
}
