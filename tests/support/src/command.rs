//! Commands with a deadline, and waits for a state: what every end-to-end suite is made of.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a single command may take, unless it says otherwise, in seconds.
pub const COMMAND_SECONDS: u64 = 60;
/// What a state may take to come about.
pub const STATE_DEADLINE: Duration = Duration::from_secs(15);

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its exit code; 128 and the signal's number where one ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// Panics with its words unless the exit code was 0.
    #[track_caller]
    pub fn must_succeed(&self) -> &Self {
        assert!(
            self.code == 0,
            "exit code {}: {}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Panics if the exit code was 0.
    #[track_caller]
    pub fn must_fail(&self) -> &Self {
        assert!(
            self.code != 0,
            "it succeeded: {}{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// What `attacker probe` says where nothing got through. Anything else, silence too, shows that the
/// probe never was.
const SHUT_OUT: [&str; 4] = ["refused", "unreachable", "prohibited", "timeout"];

/// Panics unless every line of the answer to one or more probes is such an outcome, and there is
/// one.
#[track_caller]
pub fn must_be_shut_out(probe: &str, answer: &Answer) {
    let outcomes: Vec<&str> = answer
        .must_succeed()
        .stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let shut_out = outcomes.iter().all(|outcome| SHUT_OUT.contains(outcome));
    assert!(
        shut_out && !outcomes.is_empty(),
        "{probe}: {}{}",
        answer.stdout,
        answer.stderr
    );
}

/// Runs a command to its end or its deadline.
pub fn run(seconds: u64, command: &[&str]) -> Answer {
    let start = Instant::now();
    let output: Output = Command::new("timeout")
        .args(["--kill-after=2", &seconds.to_string()])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .expect("timeout starts");
    let code = output.status.code().unwrap_or(255);
    assert!(
        code != 124 && code != 137 || start.elapsed().as_secs() < seconds,
        "no end after {seconds} s: {command:?}"
    );
    Answer {
        code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: start.elapsed(),
    }
}

/// Runs a script with its arguments, which must succeed.
pub fn shell(script: &str, arguments: &[PathBuf]) {
    let mut command = vec!["bash", "-o", "pipefail", "-c", script, "bed"];
    command.extend(
        arguments
            .iter()
            .map(|path| path.to_str().expect("a plain path")),
    );
    run(COMMAND_SECONDS, &command).must_succeed();
}

/// Waits for a state; panics with its name if it doesn't come about.
#[track_caller]
pub fn wait_for(what: &str, state: impl FnMut() -> bool) {
    wait_for_within(STATE_DEADLINE, what, state);
}

/// The same with a deadline of the caller's choice.
#[track_caller]
pub fn wait_for_within(deadline: Duration, what: &str, state: impl FnMut() -> bool) {
    assert!(
        comes_about(deadline, state),
        "waited {} s for {what}",
        deadline.as_secs()
    );
}

/// Whether a state comes about in time.
pub fn comes_about(deadline: Duration, mut state: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if state() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
