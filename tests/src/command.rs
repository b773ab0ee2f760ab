use std::{ffi::OsStr, fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    process::{Ended, Process},
    program,
};

/// The `keygate` command, before one store.
#[derive(Debug)]
pub struct Keygate {
    store: String,
    folder: TempDir,
}

/// A key that was issued.
#[derive(Clone, Debug)]
pub struct IssuedKey {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
}

impl Keygate {
    /// Before the store at this URL.
    #[must_use]
    pub fn at(store: &str) -> Self {
        Self { store: store.to_owned(), folder: tempfile::tempdir().unwrap() }
    }

    /// Puts these plans in force.
    #[track_caller]
    pub fn apply(&self, plans: &str) {
        self.apply_so(plans, &["--yes"]);
    }

    /// Puts these plans in force, though keys have plans that are not among them.
    #[track_caller]
    pub fn force(&self, plans: &str) {
        self.apply_so(plans, &["--yes", "--force"]);
    }

    #[track_caller]
    fn apply_so(&self, plans: &str, how: &[&str]) {
        let file = self.folder.path().join("plans.toml");
        fs::write(&file, plans).unwrap();
        let mut words: Vec<&OsStr> = vec!["plans".as_ref(), "apply".as_ref(), file.as_os_str()];
        words.extend(how.iter().map(OsStr::new));
        self.done(&words);
    }

    /// Issues a key with these scopes.
    #[must_use]
    #[track_caller]
    pub fn issue(&self, consumer: &str, plan: &str, scopes: &[&str]) -> IssuedKey {
        let words: Vec<_> = scopes.iter().flat_map(|scope| ["--scope", scope]).collect();
        self.issue_so(consumer, plan, &words)
    }

    /// Issues a key with these options.
    #[must_use]
    #[track_caller]
    pub fn issue_so(&self, consumer: &str, plan: &str, options: &[&str]) -> IssuedKey {
        let mut words = vec!["keys", "issue", "--consumer", consumer, "--plan", plan, "--json"];
        words.extend(options);
        IssuedKey::read(&self.json(&words))
    }

    /// Issues the successor of a key, which goes on for an hour.
    #[must_use]
    #[track_caller]
    pub fn rotate(&self, key: &IssuedKey) -> IssuedKey {
        IssuedKey::read(&self.json(&["keys", "rotate", &key.id, "--grace", "1h", "--json"]))
    }

    /// Issues the successor of a key, which expires at once.
    #[track_caller]
    pub fn replace(&self, key: &IssuedKey) {
        self.done(&["keys", "rotate", &key.id, "--grace", "0s", "--json"]);
    }

    /// Switches a key off.
    #[track_caller]
    pub fn disable(&self, key: &IssuedKey) {
        self.done(&["keys", "disable", &key.id]);
    }

    /// Revokes a key.
    #[track_caller]
    pub fn revoke(&self, key: &IssuedKey) {
        self.done(&["keys", "revoke", &key.id, "--yes"]);
    }

    /// The usage of a key or a consumer within a day, by minute.
    #[must_use]
    #[track_caller]
    pub fn usage(&self, subject: &str) -> Vec<Value> {
        let told = self.json(&["usage", subject, "--by", "minute", "--json"]);
        told["usage"].as_array().expect("a list of rollups").clone()
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let told = self.done(words);
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    #[track_caller]
    fn done<A: AsRef<OsStr>>(&self, words: &[A]) -> String {
        let mut command = Command::new(program::keygate());
        command.env_clear().env("KEYGATE_STORE", &self.store).args(words);
        let Ended { status, stdout, stderr } = Process::spawn(&mut command).ended();
        assert!(status.success(), "{stderr}");
        stdout
    }
}

impl IssuedKey {
    #[track_caller]
    fn read(told: &Value) -> Self {
        let text = |name| told[name].as_str().expect("a text").to_owned();
        Self { id: text("id"), text: text("key") }
    }
}
