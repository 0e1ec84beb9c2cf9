//! The command line of the embedded runtime: runc's, as far as libcontainer can do what it says.
//!
//! Read by the same reader as every call (`runc_flags`), so that what was prepared is what is done.
//! An option that isn't known is an error: nothing is started on a guess.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use crate::container::plan::ContainerId;
use crate::runc_flags::{self, FlagReader, FlagTable, Item};

/// One call.
#[derive(Debug)]
pub(super) struct CommandLine {
    /// `--root`.
    pub(super) root: Option<PathBuf>,
    pub(super) verb: Verb,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Verb {
    Create(Create),
    Start(ContainerId),
    State(ContainerId),
    Exec(Exec),
    Kill {
        id: ContainerId,
        signal: String,
        all: bool,
    },
    Pause(ContainerId),
    Resume(ContainerId),
    Ps {
        id: ContainerId,
        json: bool,
    },
    List {
        json: bool,
    },
    Delete {
        id: ContainerId,
        force: bool,
    },
    Unsupported(String),
}

/// `create` and `run`.
#[derive(Debug)]
pub(super) struct Create {
    pub(super) id: ContainerId,
    pub(super) bundle: PathBuf,
    /// Whether the container is started at once.
    pub(super) starts: bool,
    /// Whether nobody waits for its end.
    pub(super) detached: bool,
    /// `--keep`: whether it stays after its end.
    pub(super) keep: bool,
    pub(super) no_pivot: bool,
    pub(super) attachments: Attachments,
}

/// `exec`.
#[derive(Debug)]
pub(super) struct Exec {
    pub(super) id: ContainerId,
    /// `--process`.
    pub(super) process: Option<PathBuf>,
    /// What is run where no file says it.
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<String>,
    pub(super) directory: Option<PathBuf>,
    pub(super) detached: bool,
    pub(super) attachments: Attachments,
}

/// What connects a started process with its caller.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    pub(super) pid_file: Option<PathBuf>,
    pub(super) console_socket: Option<PathBuf>,
    /// Descriptors from 3 on that the process keeps.
    pub(super) preserve_fds: u32,
}

impl Attachments {
    /// Stores the value of one of these options; returns whether it is one.
    fn note(&mut self, name: &str, value: &OsStr) -> anyhow::Result<bool> {
        match name {
            "pid-file" => self.pid_file = Some(value.into()),
            "console-socket" => self.console_socket = Some(value.into()),
            "preserve-fds" => {
                let number = value
                    .to_str()
                    .and_then(|number| number.parse().ok())
                    .filter(|number| *number < 1024);
                self.preserve_fds = number.context("--preserve-fds takes a number below 1024")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl CommandLine {
    /// Reads the words after the program's name.
    pub(super) fn read(words: &[OsString]) -> anyhow::Result<Self> {
        let mut root = None;
        let mut reader = FlagReader::new(words, &runc_flags::GLOBAL);
        while let Some(item) = reader.next() {
            match item {
                Item::Value("root", value) => {
                    root = value
                        .filter(|value| !value.is_empty())
                        .map(absolute)
                        .transpose()?
                }
                Item::Value("log" | "log-format" | "log-level", _) | Item::Switch("debug", _) => {}
                Item::Switch("systemd-cgroup", _) => bail!(
                    "the embedded runtime doesn't support systemd's control groups: set the engine's cgroup driver to cgroupfs, or install runc"
                ),
                Item::Value(name, _) | Item::Switch(name, _) => {
                    bail!("the embedded runtime has no option --{name}")
                }
                Item::Unknown(unknown) => {
                    bail!("the embedded runtime has no option {}", shown(unknown.word))
                }
                Item::Word(verb) => {
                    return Ok(Self {
                        root,
                        verb: Verb::read(verb, reader.rest())?,
                    });
                }
            }
        }
        bail!(
            "no command: expected create, start, run, exec, state, kill, delete, list, ps, pause or resume"
        );
    }
}

impl Verb {
    fn read(verb: &OsStr, rest: &[OsString]) -> anyhow::Result<Self> {
        let word = verb.to_string_lossy().into_owned();
        Ok(match word.as_str() {
            "create" | "run" => Self::Create(Create::read(rest, word == "run")?),
            "exec" => Self::Exec(Exec::read(rest)?),
            "start" => Self::Start(Plain::read(rest, &runc_flags::PLAIN)?.id()?),
            "state" => Self::State(Plain::read(rest, &runc_flags::PLAIN)?.id()?),
            "pause" => Self::Pause(Plain::read(rest, &runc_flags::PLAIN)?.id()?),
            "resume" => Self::Resume(Plain::read(rest, &runc_flags::PLAIN)?.id()?),
            "delete" => {
                let plain = Plain::read(rest, &runc_flags::PLAIN)?;
                Self::Delete {
                    id: plain.id()?,
                    force: plain.switched(&["force", "f"]),
                }
            }
            "list" => Self::List {
                json: Plain::read(rest, &runc_flags::MANAGE)?.json,
            },
            "ps" => {
                let plain = Plain::read(rest, &runc_flags::MANAGE)?;
                Self::Ps {
                    id: plain.id()?,
                    json: plain.json,
                }
            }
            "kill" => {
                let plain = Plain::read(rest, &runc_flags::MANAGE)?;
                let signal = plain.words.get(1).map_or("TERM", String::as_str).to_owned();
                Self::Kill {
                    id: plain.id()?,
                    signal,
                    all: plain.switched(&["all", "a"]),
                }
            }
            _ => Self::Unsupported(word),
        })
    }
}

impl Create {
    fn read(rest: &[OsString], starts: bool) -> anyhow::Result<Self> {
        let (mut bundle, mut id, mut attachments) =
            (PathBuf::from("."), None, Attachments::default());
        let (mut detached, mut keep, mut no_pivot) = (false, false, false);
        for item in FlagReader::new(rest, &runc_flags::CREATE) {
            match item {
                Item::Value("bundle" | "b", Some(value)) if !value.is_empty() => {
                    bundle = value.into()
                }
                Item::Value(name, Some(value)) if attachments.note(name, value)? => {}
                Item::Switch("detach" | "d", false) => detached = true,
                Item::Switch("keep", false) => keep = true,
                Item::Switch("no-pivot", false) => no_pivot = true,
                // A kernel keyring is never made, and there is no subreaper.
                Item::Switch("no-new-keyring" | "no-subreaper", false) => {}
                Item::Word(word) if id.is_none() => id = Some(container(word)?),
                other => bail!(
                    "the embedded runtime doesn't support {}",
                    item_shown(&other)
                ),
            }
        }
        let id = id.context("expected a container ID")?;
        let bundle = absolute(bundle.as_os_str())?;
        Ok(Self {
            id,
            bundle,
            starts,
            detached: detached || !starts,
            keep,
            no_pivot,
            attachments,
        })
    }
}

impl Exec {
    fn read(rest: &[OsString]) -> anyhow::Result<Self> {
        let (mut process, mut directory, mut environment) = (None, None, Vec::new());
        let (mut detached, mut attachments) = (false, Attachments::default());
        let mut reader = FlagReader::new(rest, &runc_flags::EXEC);
        while let Some(item) = reader.next() {
            match item {
                Item::Value("process" | "p", Some(value)) => process = Some(absolute(value)?),
                Item::Value("cwd", Some(value)) => directory = Some(value.into()),
                Item::Value("env" | "e", Some(value)) => environment.push(text(value)?),
                Item::Value(name, Some(value)) if attachments.note(name, value)? => {}
                Item::Switch("detach" | "d", false) => detached = true,
                Item::Word(word) => {
                    let (id, command) = (
                        container(word)?,
                        reader.rest().iter().map(|word| text(word)).collect(),
                    );
                    let command: anyhow::Result<Vec<String>> = command;
                    return Ok(Self {
                        id,
                        process,
                        command: command?,
                        environment,
                        directory,
                        detached,
                        attachments,
                    });
                }
                other => bail!(
                    "the embedded runtime's exec doesn't support {}",
                    item_shown(&other)
                ),
            }
        }
        bail!("expected a container ID")
    }
}

/// A verb with an id and little else.
#[derive(Debug)]
struct Plain {
    words: Vec<String>,
    switches: Vec<&'static str>,
    json: bool,
}

impl Plain {
    fn read(rest: &[OsString], table: &'static FlagTable) -> anyhow::Result<Self> {
        let mut plain = Self {
            words: Vec::new(),
            switches: Vec::new(),
            json: false,
        };
        for item in FlagReader::new(rest, table) {
            match item {
                Item::Value("format" | "f", Some(value)) => plain.json = value == "json",
                Item::Switch(name, false) => plain.switches.push(name),
                Item::Word(word) => plain.words.push(text(word)?),
                other => bail!(
                    "the embedded runtime doesn't support {}",
                    item_shown(&other)
                ),
            }
        }
        Ok(plain)
    }

    fn id(&self) -> anyhow::Result<ContainerId> {
        ensure!(self.words.len() <= 2, "expected exactly one container ID");
        Ok(ContainerId::parse(
            self.words.first().context("expected a container ID")?,
        )?)
    }

    fn switched(&self, names: &[&str]) -> bool {
        self.switches.iter().any(|switch| names.contains(switch))
    }
}

fn container(word: &OsStr) -> anyhow::Result<ContainerId> {
    Ok(ContainerId::parse(&word.to_string_lossy())?)
}

fn absolute(path: &OsStr) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).context("can't determine the working directory")
}

fn text(word: &OsStr) -> anyhow::Result<String> {
    Ok(word
        .to_str()
        .with_context(|| format!("{} is not valid UTF-8", shown(word)))?
        .to_owned())
}

fn item_shown(item: &Item<'_>) -> String {
    match item {
        Item::Value(name, _) | Item::Switch(name, _) => format!("--{name}"),
        Item::Unknown(unknown) => shown(unknown.word),
        Item::Word(word) => shown(word),
    }
}

fn shown(word: &OsStr) -> String {
    crate::escape::quoted(&word.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> anyhow::Result<CommandLine> {
        CommandLine::read(
            &line
                .split_ascii_whitespace()
                .map(OsString::from)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_lines_of_containerd_are_understood() {
        let line = read(
            "--root /r --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid --no-new-keyring c",
        );
        let CommandLine {
            root,
            verb: Verb::Create(create),
        } = line.unwrap()
        else {
            panic!("a create")
        };
        assert_eq!(
            (root.unwrap(), create.bundle, create.id.as_str()),
            ("/r".into(), "/b".into(), "c")
        );
        assert!(create.detached && !create.starts);
        assert_eq!(
            create.attachments.pid_file.unwrap(),
            PathBuf::from("/b/init.pid")
        );
        assert!(
            matches!(read("kill --all c 9").unwrap().verb, Verb::Kill { signal, all: true, .. } if signal == "9")
        );
        assert!(matches!(
            read("delete --force c").unwrap().verb,
            Verb::Delete { force: true, .. }
        ));
        assert!(matches!(
            read("ps --format json c").unwrap().verb,
            Verb::Ps { json: true, .. }
        ));
        let Verb::Exec(exec) = read("exec --process /p --detach --pid-file f c")
            .unwrap()
            .verb
        else {
            panic!("an exec")
        };
        assert!(exec.detached && exec.command.is_empty() && exec.process.is_some());
    }

    #[test]
    fn run_waits_unless_it_is_told_not_to() {
        let Verb::Create(run) = read("run --keep c").unwrap().verb else {
            panic!("a run")
        };
        assert!(run.starts && !run.detached && run.keep);
        let Verb::Create(run) = read("run -d c").unwrap().verb else {
            panic!("a run")
        };
        assert!(run.detached);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "",
            "--systemd-cgroup create c",
            "--criu x list",
            "create",
            "create a b",
            "create ..",
            "create --pidfd-socket s c",
            "create --frobnicate c",
            "create --preserve-fds -1 c",
            "create --detach=false c",
            "exec --cap CAP_SYS_ADMIN c sh",
            "exec",
            "state ../x",
            "kill",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        assert!(matches!(
            read("checkpoint c").unwrap().verb,
            Verb::Unsupported(_)
        ));
    }
}
