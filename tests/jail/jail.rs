//! `boundary-shim jail` in a bed: by whom, with which options, and what its record says.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use test_support::bed::{Bed, unique};
use test_support::command::Answer;
use test_support::record;

/// A server of somebody's outside of the jail, in the bed, until it is dropped: a program in Python that says
/// `ready`, and ends when its input does.
#[derive(Debug)]
pub(crate) struct Outside(Child);

impl Outside {
    /// Starts it, and waits until it serves.
    pub(crate) fn serve(bed: &Bed, arguments: &[&str]) -> Self {
        Self::start(bed, &["python3"], arguments)
    }

    /// The same in the little internet, by the system's own Python.
    pub(crate) fn in_internet(bed: &Bed, arguments: &[&str]) -> Self {
        let enter = ["nsenter", "--net=/run/netns/internet", "/usr/bin/python3"];
        Self::start(bed, &enter, arguments)
    }

    fn start(bed: &Bed, program: &[&str], arguments: &[&str]) -> Self {
        let first = bed.first().to_string();
        let mut server = Command::new("nsenter")
            .args(["--target", &first, "--mount", "--net", "--pid", "--"])
            .args(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        let stdout = server.stdout.as_mut().unwrap();
        stdout.read_exact(&mut said).unwrap();
        Self(server)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The program in a bed.
pub(crate) const PROGRAM: &str = "/usr/local/bin/boundary-shim";

/// Has the jail find a kernel without Landlock.
pub(crate) const WITHOUT_LANDLOCK: &str = "attacker jailed without-landlock ";

/// Who jails a command, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// For messages.
    pub(crate) name: &'static str,
    prefix: &'static [&'static str],
    options: &'static [&'static str],
    /// Whether a supervisor stands in for namespaces.
    pub(crate) supervised: bool,
}

pub(crate) const ROOT: Caller = Caller {
    name: "root",
    prefix: &[],
    options: &["--jail-type", "nsjail"],
    supervised: false,
};
/// Somebody without any right.
pub(crate) const USER: Caller = Caller {
    name: "user 1777",
    prefix: AS_USER,
    options: &["--jail-type", "nsjail"],
    supervised: false,
};
pub(crate) const ROOT_WITHOUT_USER_NAMESPACE: Caller = Caller {
    name: "root with --no-user-namespace",
    prefix: &[],
    options: &["--jail-type", "nsjail", "--no-user-namespace"],
    supervised: false,
};
/// The same jailed without a namespace.
pub(crate) const SUPERVISED_ROOT: Caller = Caller {
    name: "root, by notify",
    prefix: &[],
    options: &["--jail-type", "notify"],
    supervised: true,
};
pub(crate) const SUPERVISED_USER: Caller = Caller {
    name: "user 1777, by notify",
    prefix: AS_USER,
    options: &["--jail-type", "notify"],
    supervised: true,
};
/// The same where Landlock has to stand behind the supervisor.
pub(crate) const LANDJAILED_USER: Caller = Caller {
    name: "user 1777, by landjail",
    prefix: AS_USER,
    options: &["--jail-type", "landjail"],
    supervised: true,
};
/// Everybody for whom a jail has to be the same.
pub(crate) const CALLERS: [Caller; 5] = [
    ROOT,
    USER,
    ROOT_WITHOUT_USER_NAMESPACE,
    SUPERVISED_ROOT,
    SUPERVISED_USER,
];

const AS_USER: &[&str] = &[
    "setpriv",
    "--reuid",
    "1777",
    "--regid",
    "1777",
    "--clear-groups",
];

/// A command's answer, and what the record says of it.
#[derive(Debug)]
pub(crate) struct Jailed {
    pub(crate) answer: Answer,
    /// The record's file, in the bed.
    pub(crate) log: String,
    pub(crate) records: Vec<Value>,
}

impl Caller {
    /// The command line that jails `sh -c SCRIPT`.
    pub(crate) fn line<'a>(self, options: &[&'a str], script: &'a str) -> Vec<&'a str> {
        [
            self.prefix,
            &[PROGRAM, "jail"],
            self.options,
            options,
            &["--", "sh", "-c", script],
        ]
        .concat()
    }

    /// Runs a script in a jail, to its end.
    pub(crate) fn run(self, bed: &Bed, options: &[&str], script: &str) -> Jailed {
        let log = format!("/tmp/{}.jsonl", unique("jail"));
        let options = [&["--log", &log], options].concat();
        let answer = bed.exec(&self.line(&options, script));
        let text = fs::read_to_string(bed.inside(&log)).unwrap_or_default();
        Jailed {
            answer,
            log,
            records: record::records(&text),
        }
    }

    /// The same, where something runs the jail (`prefix`, with a blank at its end).
    pub(crate) fn run_by(self, bed: &Bed, prefix: &str, options: &[&str], script: &str) -> Jailed {
        let log = format!("/tmp/{}.jsonl", unique("jail"));
        let options = [self.options, &["--log", &log], options].concat().join(" ");
        let command = format!("{prefix}{PROGRAM} jail {options} -- {script}");
        let answer = bed.exec(&[self.prefix, &["sh", "-c", &command]].concat());
        let text = fs::read_to_string(bed.inside(&log)).unwrap_or_default();
        Jailed {
            answer,
            log,
            records: record::records(&text),
        }
    }

    /// The same without a jail: what shows that an attempt works where nothing stops it.
    pub(crate) fn run_unjailed(self, bed: &Bed, script: &str) -> Answer {
        bed.exec(&[self.prefix, &["sh", "-c", script]].concat())
    }
}

impl Jailed {
    /// Panics unless exactly one attempt with this verdict is on record of which `fits` holds.
    #[track_caller]
    pub(crate) fn must_record(&self, verdict: &str, fits: impl Fn(&Value) -> bool) {
        let found = self
            .records
            .iter()
            .filter(|record| record["verdict"] == verdict && fits(record));
        assert_eq!(found.count(), 1, "{:#?}", self.records);
    }
}
