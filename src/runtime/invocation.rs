//! Reads runc's command line as far as needed: what the call will do, and the words that go to the
//! real runtime.
//!
//! It reads as Go's `flag` package and urfave/cli do, with crun's argp in mind, and knows only the
//! options that it must. If it misread a line, the real runtime would start a container that nobody
//! filters.
//!
//! Invariant: a line that could be read in two ways is refused if either of them starts something;
//! anything else passes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::policy::Mode;
use crate::runc_flags::{self, FlagReader, Item, Unknown};

/// One call of the runtime.
#[derive(Debug)]
pub struct Invocation {
    /// What stands before the verb.
    pub globals: Globals,
    /// What it will do; or why that can't be determined.
    pub command: Result<RuntimeCommand, InvocationError>,
    /// The words after the program's name, without our own options: what the real runtime gets.
    pub arguments: Vec<OsString>,
    /// How many of them stand before the verb's own, the verb included.
    head: usize,
}

impl Invocation {
    /// The words of an `exec`, with another file wherever the line names one for the process.
    #[must_use]
    pub fn with_process_file(&self, file: &OsStr) -> Vec<OsString> {
        let (head, rest) = self.arguments.split_at(self.head.min(self.arguments.len()));
        let mut words = head.to_vec();
        let mut reader = FlagReader::new(rest, &runc_flags::EXEC);
        let mut unread = rest;
        while let Some(item) = reader.next() {
            let (read, after) = unread.split_at(unread.len() - reader.rest().len());
            unread = after;
            words.extend_from_slice(read);
            match item {
                Item::Value("process" | "p", Some(value)) => {
                    if let Some(last) = words.last_mut() {
                        *last = ending(last, value, file);
                    }
                }
                Item::Word(_) => break,
                _ => {}
            }
        }
        words.extend_from_slice(unread);
        words
    }
}

/// A word with another end, where it ends in `old`.
fn ending(word: &OsStr, old: &OsStr, new: &OsStr) -> OsString {
    let start = word.as_bytes().strip_suffix(old.as_bytes());
    let mut changed = OsStr::from_bytes(start.unwrap_or_default()).to_owned();
    changed.push(new);
    changed
}

/// What stands before the verb, as far as we care. The last one wins, an empty one counts as none.
#[derive(Debug, Default)]
pub struct Globals {
    /// The policy named by our own name or by `--boundary-policy`, which wins.
    pub policy: Option<String>,
    /// The mode named by our own name (`boundary-NAME+observe`) or by `--boundary-mode`, which wins.
    pub mode: Option<Mode>,
    /// `--boundary-config`.
    pub config: Option<PathBuf>,
    /// `--root`, as given.
    pub root: Option<PathBuf>,
    /// `--log`.
    pub log: Option<PathBuf>,
    /// `--log-format`.
    pub log_format: Option<OsString>,
}

/// What a call will do, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeCommand {
    /// `create`, `run`, `restore`.
    Create {
        /// `--bundle`, as given.
        bundle: Option<PathBuf>,
        /// The container.
        id: String,
        /// Whether the container waits for the verb `start` (it doesn't after `run` and `restore`).
        waits: bool,
        /// Whether it is `restore`, by which processes get back what they were under.
        restores: bool,
        /// Whether `--no-pivot` is on the line, whatever its value.
        no_pivot: bool,
        /// `--preserve-fds`; [`u32::MAX`] where it isn't a plain number.
        preserved: u32,
    },
    /// `start`.
    Start {
        /// The container.
        id: String,
    },
    /// `exec`.
    Exec {
        /// The container.
        id: String,
        /// `--process`.
        process: Option<PathBuf>,
        /// `--cap`, all of them.
        capabilities: Vec<String>,
        /// As for `create`.
        preserved: u32,
    },
    /// `delete`.
    Delete {
        /// The container.
        id: String,
    },
    /// `features`.
    Features,
    /// `--version`, without a verb.
    Version,
    /// Everything else, known or not.
    Other,
}

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// One of our own options ends the line.
    #[error("--{0} needs a value")]
    NoValue(&'static str),
    /// Our own option's value is not valid UTF-8.
    #[error("--{0} is not valid UTF-8")]
    NotText(&'static str),
    /// There is no such mode.
    #[error("--boundary-mode is enforce or observe")]
    NoMode,
    /// The line may mean two things.
    #[error("can't tell whether the unknown option {0} takes a value: write the value with =")]
    UnknownOption(String),
    /// crun's other `config.json`, or an abbreviation of an option that matters.
    #[error(
        "the option {0} is not supported: write --bundle, --no-pivot, --process, --cap and --preserve-fds in full, and name no other config.json"
    )]
    Unsupported(String),
    /// Not exactly one container.
    #[error("{0} takes exactly one container ID, found {1}")]
    Ids(&'static str, usize),
}

/// Verbs that start a process in a container, or one that waits.
const STARTING: [&str; 5] = ["create", "run", "restore", "start", "exec"];

/// Reads a command line, the program's name included.
#[must_use]
pub fn scan(words: &[OsString]) -> Invocation {
    let program = words.first().map(OsString::as_os_str).unwrap_or_default();
    let words = words.get(1..).unwrap_or_default();
    let (policy, mode) = named_by(program);
    let mut globals = Globals {
        policy,
        mode,
        ..Globals::default()
    };
    let head = globals.read(words);
    let command = match (head.mistake, head.doubt) {
        (Some(mistake), _) => Err(mistake),
        (None, Some(option)) if starts_otherwise(head.verb, head.rest) => {
            Err(InvocationError::UnknownOption(option))
        }
        _ => match head.verb {
            Some(verb) => command(verb, head.rest),
            None => Ok(if head.version {
                RuntimeCommand::Version
            } else {
                RuntimeCommand::Other
            }),
        },
    };
    let mut arguments = head.kept;
    let before = arguments.len();
    arguments.extend_from_slice(head.rest);
    Invocation {
        globals,
        command,
        arguments,
        head: before,
    }
}

/// The policy and the mode that our own name picks: `boundary-NAME`, `boundary-NAME+MODE`. The program's
/// proper name picks no policy.
fn named_by(program: &OsStr) -> (Option<String>, Option<Mode>) {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    let Some(name) = name.and_then(|name| name.strip_prefix("boundary-")) else {
        return (None, None);
    };
    let split = name.rsplit_once('+');
    let split = split.and_then(|(policy, mode)| Some((policy, Mode::parse(mode)?)));
    let (policy, mode) = split.map_or((name, None), |(policy, mode)| (policy, Some(mode)));
    let policy = Some(policy).filter(|policy| !policy.is_empty() && *policy != "shim");
    (policy.map(str::to_owned), mode)
}

/// The line up to the verb.
#[derive(Debug)]
struct LineHead<'a> {
    /// What of it the real runtime gets, the verb included.
    kept: Vec<OsString>,
    verb: Option<&'a OsStr>,
    /// What follows the verb.
    rest: &'a [OsString],
    /// Whether the version is asked for.
    version: bool,
    /// An unknown option that may have swallowed the next word.
    doubt: Option<String>,
    mistake: Option<InvocationError>,
}

impl Globals {
    fn read<'a>(&mut self, words: &'a [OsString]) -> LineHead<'a> {
        let kept = Vec::with_capacity(words.len());
        let mut head = LineHead {
            kept,
            verb: None,
            rest: words,
            version: false,
            doubt: None,
            mistake: None,
        };
        let mut reader = FlagReader::new(words, &runc_flags::GLOBAL);
        while head.verb.is_none()
            && let Some(item) = reader.next()
        {
            let taken = head.rest.len() - reader.rest().len();
            let (read, rest) = head.rest.split_at(taken);
            head.rest = rest;
            match item {
                Item::Value(
                    name @ (runc_flags::CONFIG | runc_flags::POLICY | runc_flags::MODE),
                    value,
                ) => {
                    head.mistake = head.mistake.or_else(|| self.note_own(name, value).err());
                    continue;
                }
                Item::Value(name, value) => self.note(name, value),
                Item::Unknown(unknown) if !unknown.attached => {
                    head.doubt = Some(shown(unknown.word))
                }
                Item::Switch("version" | "v", false) => head.version = true,
                Item::Unknown(_) | Item::Switch(..) => {}
                Item::Word(verb) => head.verb = Some(verb),
            }
            head.kept.extend_from_slice(read);
        }
        head
    }

    fn note_own(
        &mut self,
        name: &'static str,
        value: Option<&OsStr>,
    ) -> Result<(), InvocationError> {
        let value = value
            .filter(|value| !value.is_empty())
            .ok_or(InvocationError::NoValue(name))?;
        let text = || value.to_str().ok_or(InvocationError::NotText(name));
        match name {
            runc_flags::CONFIG => self.config = Some(PathBuf::from(value)),
            runc_flags::MODE => {
                let mode = Mode::parse(text()?);
                self.mode = Some(mode.ok_or(InvocationError::NoMode)?);
            }
            _ => self.policy = Some(text()?.to_owned()),
        }
        Ok(())
    }

    fn note(&mut self, name: &str, value: Option<&OsStr>) {
        let value = value.filter(|value| !value.is_empty());
        match name {
            "root" => self.root = value.map(PathBuf::from),
            "log" => self.log = value.map(PathBuf::from),
            "log-format" => self.log_format = value.map(OsStr::to_owned),
            _ => {}
        }
    }
}

/// Whether the line starts something if the word taken for the verb is an option's value and a
/// later one is the verb.
fn starts_otherwise(verb: Option<&OsStr>, rest: &[OsString]) -> bool {
    verb.is_some()
        && rest
            .iter()
            .any(|word| STARTING.iter().any(|starting| word == starting))
}

fn command(verb: &OsStr, rest: &[OsString]) -> Result<RuntimeCommand, InvocationError> {
    match verb.to_str() {
        Some("create") => create("create", rest),
        Some("run") => create("run", rest),
        Some("restore") => create("restore", rest),
        Some("start") => {
            Ok(one_id("start", rest)?
                .map_or(RuntimeCommand::Other, |id| RuntimeCommand::Start { id }))
        }
        // Forgetting is a courtesy: a line that we don't understand is not worth failing a delete.
        Some("delete") => Ok(one_id("delete", rest)
            .ok()
            .flatten()
            .map_or(RuntimeCommand::Other, |id| RuntimeCommand::Delete { id })),
        Some("exec") => exec(rest),
        Some("features") => Ok(RuntimeCommand::Features),
        _ => Ok(RuntimeCommand::Other),
    }
}

fn create(verb: &'static str, rest: &[OsString]) -> Result<RuntimeCommand, InvocationError> {
    let (mut bundle, mut ids, mut help, mut no_pivot, mut preserved) =
        (None, Vec::new(), false, false, 0);
    for item in FlagReader::new(rest, &runc_flags::CREATE) {
        match item {
            Item::Value("bundle" | "b", value) => bundle = value.map(OsStr::to_owned),
            Item::Value("preserve-fds", value) => preserved = count(value),
            Item::Switch("help" | "h", _) => help = true,
            Item::Switch("no-pivot", _) => no_pivot = true,
            Item::Value(..) | Item::Switch(..) => {}
            Item::Unknown(unknown) => match attached_letter(&unknown, b'b') {
                Some(value) => bundle = Some(value.to_owned()),
                None => refuse_alias(
                    &unknown,
                    &["bundle", "config", "f", "no-pivot", "preserve-fds"],
                )?,
            },
            Item::Word(word) => ids.push(word),
        }
    }
    match ids.as_slice() {
        [id] => {
            let bundle = bundle
                .filter(|bundle| !bundle.is_empty())
                .map(PathBuf::from);
            Ok(RuntimeCommand::Create {
                bundle,
                id: text(id),
                waits: verb == "create",
                restores: verb == "restore",
                no_pivot,
                preserved,
            })
        }
        [] if help => Ok(RuntimeCommand::Other),
        _ => Err(InvocationError::Ids(verb, ids.len())),
    }
}

/// `exec` ends its options at the id; what follows is the program's.
fn exec(rest: &[OsString]) -> Result<RuntimeCommand, InvocationError> {
    let (mut process, mut capabilities, mut preserved) = (None, Vec::new(), 0);
    for item in FlagReader::new(rest, &runc_flags::EXEC) {
        match item {
            Item::Value("process" | "p", value) => {
                process = value.filter(|value| !value.is_empty()).map(PathBuf::from);
            }
            Item::Value("preserve-fds", value) => preserved = count(value),
            // Some releases of Go's cli package split lists at commas.
            Item::Value("cap" | "c", value) => {
                capabilities.extend(
                    value
                        .map(text)
                        .unwrap_or_default()
                        .split(',')
                        .map(str::to_owned),
                );
            }
            Item::Value(..) | Item::Switch(..) => {}
            Item::Unknown(unknown) => {
                if !unknown.attached {
                    // Its value would be taken for the id, and a --process behind it for the
                    // program's.
                    return Err(InvocationError::UnknownOption(shown(unknown.word)));
                }
                refuse_alias(&unknown, &["process", "cap", "preserve-fds"])?;
            }
            Item::Word(id) => {
                return Ok(RuntimeCommand::Exec {
                    id: text(id),
                    process,
                    capabilities,
                    preserved,
                });
            }
        }
    }
    Ok(RuntimeCommand::Other)
}

/// The only id on the line; none where there is none (the real runtime will say so, or give help).
fn one_id(verb: &'static str, rest: &[OsString]) -> Result<Option<String>, InvocationError> {
    let word = |item| {
        if let Item::Word(word) = item {
            Some(word)
        } else {
            None
        }
    };
    let ids: Vec<&OsStr> = FlagReader::new(rest, &runc_flags::PLAIN)
        .filter_map(word)
        .collect();
    match ids.as_slice() {
        [] => Ok(None),
        [id] => Ok(Some(text(id))),
        _ => Err(InvocationError::Ids(verb, ids.len())),
    }
}

/// argp's `-bVALUE`. Go's flag package would refuse that word, so nothing is lost by reading it.
fn attached_letter<'a>(unknown: &Unknown<'a>, letter: u8) -> Option<&'a OsStr> {
    let word = unknown
        .word
        .as_bytes()
        .strip_prefix(b"-")
        .filter(|_| unknown.short)?;
    word.strip_prefix(&[letter])
        .filter(|value| !value.is_empty())
        .map(OsStr::from_bytes)
}

/// Refuses what argp may take for one of these options: a beginning of its name, or letters behind
/// a single dash.
fn refuse_alias(unknown: &Unknown<'_>, options: &[&str]) -> Result<(), InvocationError> {
    let alias = options
        .iter()
        .any(|option| option.as_bytes().starts_with(unknown.name));
    if alias || unknown.short {
        Err(InvocationError::Unsupported(shown(unknown.word)))
    } else {
        Ok(())
    }
}

/// A number of descriptors. Runtimes read more forms (`0x10`) than this: what isn't understood
/// counts as all of them.
fn count(value: Option<&OsStr>) -> u32 {
    value
        .and_then(OsStr::to_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or(u32::MAX)
}

/// An ID or a capability. What isn't UTF-8 isn't valid anyway, and stays invalid.
fn text(word: &OsStr) -> String {
    word.to_string_lossy().into_owned()
}

/// A word of the line, quoted for a message.
fn shown(word: &OsStr) -> String {
    crate::escape::quoted(&word.to_string_lossy())
}

#[cfg(test)]
mod tests;
