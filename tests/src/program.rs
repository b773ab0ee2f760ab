use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

/// The API that needs nothing beside it. Like all programs under test it is built once for each test
/// program. Cargo has let go of its lock by the time tests run, so that building here waits for
/// nobody but other builds.
pub(crate) fn quickstart() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("quickstart"))
}

/// The API whose replicas share a Redis.
pub(crate) fn api_axum() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("api_axum"))
}

/// The same API in actix-web.
pub(crate) fn api_actix() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("api_actix"))
}

/// The service of gRPC.
pub(crate) fn grpc() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("grpc"))
}

/// The WebSocket, with a page for browsers.
pub(crate) fn websocket() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("websocket"))
}

/// The API that limits how much is under way at once.
pub(crate) fn exports() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("exports"))
}

/// The operator's command.
pub(crate) fn keygate() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("keygate"))
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn built(name: &str) -> PathBuf {
    // The features that a build of the whole workspace has: what that compiled is not compiled again.
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo tells a test of its package would make build scripts run again, and all that
    // depends on them be compiled again.
    let told = env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| is_of_package(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    let output = cargo
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

fn is_of_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| variable.starts_with(start))
}
