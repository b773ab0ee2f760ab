use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::time::PATIENCE;

/// A running program whose output is captured. Killed on drop, by its id.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Capture,
    stderr: Capture,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = Capture::of(child.stdout.take().unwrap());
        let stderr = Capture::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Waits for the next line of standard output, and gives it without its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.stdout.line() {
            Some(line) => line.trim_end_matches('\n').to_owned(),
            None => panic!("the program ended:\n{}", self.stderr.whole()),
        }
    }

    /// Whether the program has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends the program a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program runs");
    }

    /// Asks the program to end, with this signal, and waits until it did.
    #[track_caller]
    pub fn end_by(&mut self, signal: Signal) -> Ended {
        self.signal(signal);
        self.ended()
    }

    /// Asks the program to end, with SIGTERM, and waits until it did.
    #[track_caller]
    pub fn stop(&mut self) -> Ended {
        self.end_by(Signal::TERM)
    }

    /// Waits until the program ends by itself.
    #[track_caller]
    pub fn ended(&mut self) -> Ended {
        let stdout = self.stdout.whole();
        let stderr = self.stderr.whole();
        Ended { status: self.child.wait().unwrap(), stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before; there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One output of a program. A thread reads it all the time, so that the program never waits for us.
#[derive(Debug)]
struct Capture {
    /// Locked by nobody: it only lets a process be shared.
    lines: Mutex<Receiver<Vec<u8>>>,
    read: String,
}

impl Capture {
    fn of(output: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                // Nobody listens any more once the test is over.
                let _ = sender.send(std::mem::take(&mut line));
            }
        });
        Self { lines: Mutex::new(lines), read: String::new() }
    }

    /// The next line; none at the end of the output.
    #[track_caller]
    fn line(&mut self) -> Option<String> {
        match self.lines.get_mut().unwrap().recv_timeout(PATIENCE) {
            Ok(line) => {
                let line = String::from_utf8(line).expect("the program writes UTF-8");
                self.read.push_str(&line);
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the program goes on, silent:\n{}", self.read),
        }
    }

    /// All there is, once the output has ended.
    #[track_caller]
    fn whole(&mut self) -> String {
        while self.line().is_some() {}
        self.read.clone()
    }
}
