//! What the example APIs share: what they are told by their environment, and how they begin and end.

use std::{
    error::Error,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// How long requests at hand may take once the program is asked to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// Whatever goes wrong ends the program with one line.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Logs to standard error. `RUST_LOG=keygate=debug` tells more.
pub(crate) fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour);
    log.with_writer(std::io::stderr).init();
}

/// Whatever went wrong is one line. Not a line of the log: `RUST_LOG` would decide whether anybody
/// sees it.
pub(crate) fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens where `KEYGATE_ADDR` says; port 0 picks a free one.
pub(crate) async fn listen() -> Result<TcpListener> {
    let address = std::env::var("KEYGATE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await;
    Ok(listener.map_err(|error| format!("KEYGATE_ADDR: cannot listen on `{address}`: {error}"))?)
}

/// The file that `KEYGATE_PLANS` names.
pub(crate) struct PlansFile {
    path: PathBuf,
    pub(crate) text: String,
}

impl PlansFile {
    pub(crate) fn read() -> Result<Option<Self>> {
        let Some(path) = std::env::var_os("KEYGATE_PLANS").map(PathBuf::from) else {
            return Ok(None);
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Self { path, text })),
            Err(error) => Err(wrong(&path, &error).into()),
        }
    }

    /// What is wrong with it.
    pub(crate) fn wrong(&self, error: &dyn Error) -> String {
        wrong(&self.path, error)
    }
}

fn wrong(path: &Path, error: &dyn Error) -> String {
    format!("KEYGATE_PLANS: {}: {error}", path.display())
}

/// Whether `--json` is asked for; nothing else can be.
pub(crate) fn wants_json() -> Result<bool> {
    let mut json = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            other => return Err(format!("unknown argument `{other}`; try none, or --json").into()),
        }
    }
    Ok(json)
}

/// Catches signals from the call on, not from the first poll: who reads that the program listens
/// may ask it to stop at once.
#[cfg(unix)]
pub(crate) fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    })
}

#[cfg(not(unix))]
pub(crate) fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
