//! Flags, read as Go's `flag` package does: `-x`, `--x`, `-x=v`, `-x v`, and `--` ends them.
//!
//! The tables here say which flags take a value; what a flag means is up to the readers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Every verb of runc 1.4, crun 1.24 and sysbox-runc 0.6, the shorthand for `help` among them.
pub(crate) const VERBS: [&str; 21] = [
    "checkpoint",
    "create",
    "delete",
    "events",
    "exec",
    "features",
    "h",
    "help",
    "init",
    "kill",
    "list",
    "mounts",
    "pause",
    "ps",
    "restore",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
];

/// The flags known at one place of the line.
#[derive(Debug)]
pub(crate) struct FlagTable {
    values: &'static [&'static str],
    switches: &'static [&'static str],
}

/// Before the verb (runc, crun, sysbox-runc, gVisor, and our own).
pub(crate) const GLOBAL: FlagTable = FlagTable {
    values: &[
        "root",
        "log",
        "log-format",
        "log-level",
        "rootless",
        "criu",
        "cgroup-manager",
        CONFIG,
        POLICY,
        MODE,
    ],
    switches: &[
        "debug",
        "systemd-cgroup",
        "no-sysbox-fs",
        "no-sysbox-mgr",
        "no-kernel-check",
        "cpu-profiling",
        "memory-profiling",
        "help",
        "h",
        "version",
        "v",
    ],
};

/// Our own option: the host's configuration file.
pub(crate) const CONFIG: &str = "boundary-config";
/// Our own option: the policy's name.
pub(crate) const POLICY: &str = "boundary-policy";
/// Our own option: the mode.
pub(crate) const MODE: &str = "boundary-mode";

/// After `create`, `run`, `restore`.
pub(crate) const CREATE: FlagTable = FlagTable {
    values: &[
        "bundle",
        "b",
        "console-socket",
        "pid-file",
        "pidfd-socket",
        "preserve-fds",
        "image-path",
        "work-path",
        "manage-cgroups-mode",
        "empty-ns",
        "lsm-profile",
        "lsm-mount-context",
    ],
    switches: &[
        "no-pivot",
        "no-new-keyring",
        "detach",
        "d",
        "keep",
        "no-subreaper",
        "tcp-established",
        "ext-unix-sk",
        "shell-job",
        "file-locks",
        "auto-dedup",
        "lazy-pages",
        "help",
        "h",
    ],
};

/// After `exec`.
pub(crate) const EXEC: FlagTable = FlagTable {
    values: &[
        "process",
        "p",
        "cap",
        "c",
        "console-socket",
        "cwd",
        "env",
        "e",
        "user",
        "u",
        "additional-gids",
        "g",
        "pid-file",
        "pidfd-socket",
        "process-label",
        "apparmor",
        "preserve-fds",
        "cgroup",
    ],
    switches: &[
        "tty",
        "t",
        "detach",
        "d",
        "no-new-privs",
        "ignore-paused",
        "help",
        "h",
    ],
};

/// After `kill`, `list`, `ps`, as the embedded runtime takes them.
pub(crate) const MANAGE: FlagTable = FlagTable {
    values: &["format"],
    switches: &["all", "a", "quiet", "q", "help", "h"],
};

/// After `start` and `delete`.
pub(crate) const PLAIN: FlagTable = FlagTable {
    values: &[],
    switches: &["force", "f", "regex", "r", "help", "h"],
};

/// One item on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A flag that takes a value, and it; none where the line ends before it.
    Value(&'static str, Option<&'a OsStr>),
    /// A flag that takes none; whether one is attached all the same (`--help=false`).
    Switch(&'static str, bool),
    /// A flag that is not in the table.
    Unknown(Unknown<'a>),
    /// Not a flag.
    Word(&'a OsStr),
}

/// A flag that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown<'a> {
    /// As it stands on the line.
    pub(crate) word: &'a OsStr,
    /// Without dashes and value.
    pub(crate) name: &'a [u8],
    /// Whether a value is attached with `=`.
    pub(crate) attached: bool,
    /// Whether it has a single dash: argp reads such a word letter by letter.
    pub(crate) short: bool,
}

/// Goes through words, one item at a time.
#[derive(Debug)]
pub(crate) struct FlagReader<'a> {
    words: &'a [OsString],
    table: &'static FlagTable,
    flags_ended: bool,
}

impl<'a> FlagReader<'a> {
    pub(crate) fn new(words: &'a [OsString], table: &'static FlagTable) -> Self {
        Self {
            words,
            table,
            flags_ended: false,
        }
    }

    /// The words not read yet.
    pub(crate) fn rest(&self) -> &'a [OsString] {
        self.words
    }

    fn word(&mut self) -> Option<&'a OsStr> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }
}

impl<'a> Iterator for FlagReader<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let mut word = self.word()?;
        if !self.flags_ended && word == "--" {
            self.flags_ended = true;
            word = self.word()?;
        }
        // A lone dash is not a flag: it often means the standard input.
        let Some(flag) = word
            .as_bytes()
            .strip_prefix(b"-")
            .filter(|flag| !self.flags_ended && !flag.is_empty())
        else {
            return Some(Item::Word(word));
        };
        let long = flag.strip_prefix(b"-");
        let flag = long.unwrap_or(flag);
        let (name, value) = match flag.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                flag.get(..at).unwrap_or(flag),
                flag.get(at + 1..).map(OsStr::from_bytes),
            ),
            None => (flag, None),
        };
        let known = |names: &'static [&'static str]| {
            names.iter().find(|known| known.as_bytes() == name).copied()
        };
        Some(if let Some(known) = known(self.table.values) {
            Item::Value(known, value.or_else(|| self.word()))
        } else if let Some(known) = known(self.table.switches) {
            Item::Switch(known, value.is_some())
        } else {
            Item::Unknown(Unknown {
                word,
                name,
                attached: value.is_some(),
                short: long.is_none(),
            })
        })
    }
}
