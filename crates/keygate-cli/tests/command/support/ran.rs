use std::{
    fs::File,
    io::{Read, Seek, Write},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use keygate_tests::{PATIENCE, now};
use serde_json::Value;

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Runs it to its end, with this input.
    #[track_caller]
    pub(crate) fn of(command: &mut Command, input: &str) -> Self {
        let [mut stdin, mut stdout, mut stderr] = [(); 3].map(|()| tempfile::tempfile().unwrap());
        stdin.write_all(input.as_bytes()).unwrap();
        stdin.rewind().unwrap();
        command.stdin(stdin).stdout(stdout.try_clone().unwrap());
        command.stderr(Stdio::from(stderr.try_clone().unwrap()));
        let mut child = command.spawn().expect("the program starts");
        let code = wait(&mut child);
        Self { code, stdout: whole(&mut stdout), stderr: whole(&mut stderr) }
    }

    /// Its output, if it was done.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The one value on its standard output, if it was done and said nothing else.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).expect("it writes JSON")
    }

    /// The line it failed with, with this code, having said nothing else.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        let line = self.stderr.strip_prefix("error: ").and_then(|line| line.strip_suffix('\n'));
        let line = line.unwrap_or_else(|| panic!("{:?} is no line", self.stderr));
        assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
        line.to_owned()
    }
}

#[track_caller]
fn wait(child: &mut Child) -> Option<i32> {
    let start = now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if now().duration_since(start) > PATIENCE {
            child.kill().unwrap();
            panic!("the program goes on");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn whole(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).expect("it writes UTF-8");
    text
}
