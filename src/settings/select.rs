//! Chooses the policy of one container: the host's settings, the runtime's name or argument, the
//! annotations, most trusted first.
//!
//! Pure: reads files only through a function that it is given.
//!
//! Invariant: an annotation can choose only what the settings list, and its rules apply only within
//! the host's ceiling. Whoever starts a container may be less trusted than the host's
//! administrator. The host's layers (`ceiling.d`) bound every policy, whoever chose it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::library::Shelves;
use super::values::Settings;
use crate::escape::{excerpt, quoted};
use crate::policy::text::{self, Mistake, RuleFile};
use crate::policy::{LayerSource, Mode, PolicyName, PolicySource};

/// Longest `boundary.allow`, in bytes.
pub const MAX_ANNOTATION: usize = 8 * 1024;

/// The list of what `policy sync` wrote, among the policies: no policy can be called so.
pub const SYNCED: &str = ".synced";
/// Its first line while not all of that is there.
pub const UNFINISHED: &str = "unfinished";

const POLICY: &str = "boundary.policy";
const ALLOW: &str = "boundary.allow";
const MODE: &str = "boundary.mode";
/// Written by the shim itself for its later calls; says nothing about policy.
const ORIGINAL_NETWORK: &str = "boundary.original-network";

/// What the runtime's name (`boundary-NAME`, `boundary-NAME+observe`) or its arguments (`--boundary-policy
/// NAME`, `--boundary-mode MODE`) choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named<'a> {
    /// The policy, by its name.
    pub policy: Option<&'a str>,
    /// The mode.
    pub mode: Option<Mode>,
}

/// Chooses and reads a container's policy.
///
/// `named`: what the runtime's name and arguments choose, which are the host's. `annotations`:
/// the container's; only those that begin with `boundary.` are looked at. `read` gives a file's
/// text, or `None` where there is no such file.
///
/// Only the settings' own default may lack its file: then everything is denied, and the source's
/// note says why.
///
/// # Errors
/// Every mistake in all of them.
pub fn select(
    settings: &Settings,
    named: Named<'_>,
    annotations: &BTreeMap<String, String>,
    read: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<PolicySource, Vec<Mistake>> {
    let mut selection = Selection {
        settings,
        annotations,
        named_mode: named.mode,
        read,
        mistakes: Vec::new(),
    };
    selection.check_keys();
    let source = selection.policy(named.policy);
    selection.completed(source)
}

/// The policy that a container would be given now which was given `in_force` before, by the same
/// choices.
///
/// # Errors
/// Every mistake for which it would be given none.
pub fn again(
    settings: &Settings,
    in_force: &PolicySource,
    read: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<PolicySource, Vec<Mistake>> {
    // The settings' own default may lack its file, unless somebody names it.
    let policy = Some(in_force.name.as_str()).filter(|name| *name != settings.policy.to_string());
    let mode = in_force.named_mode;
    select(settings, Named { policy, mode }, &chosen(in_force), read)
}

/// The policy that a container has which was started with `started`, with these rules, called `name`,
/// in the place of its own file's: its mode, its annotations, and the host's ceiling over those, hold.
///
/// # Errors
/// Every mistake for which it would be given none.
pub fn with_rules(
    settings: &Settings,
    started: &PolicySource,
    name: &str,
    rules: RuleFile,
    read: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<PolicySource, Vec<Mistake>> {
    let annotations = chosen(started);
    let selection = Selection {
        settings,
        annotations: &annotations,
        named_mode: started.named_mode,
        read,
        mistakes: Vec::new(),
    };
    let source = rules.source(name.to_owned());
    selection.completed(source)
}

/// The same policy, below the layers that the host has now: whatever else stays as it is, they hold.
///
/// # Errors
/// Every mistake in them.
pub fn bounded(
    settings: &Settings,
    source: PolicySource,
    read: impl Fn(&Path) -> io::Result<Option<String>>,
) -> Result<PolicySource, Vec<Mistake>> {
    let mut selection = Selection {
        settings,
        annotations: &BTreeMap::new(),
        named_mode: None,
        read,
        mistakes: Vec::new(),
    };
    let layers = selection.layers();
    if selection.mistakes.is_empty() {
        Ok(PolicySource { layers, ..source })
    } else {
        Err(selection.mistakes)
    }
}

/// The annotations by which a container was given its mode and its own rules.
fn chosen(started: &PolicySource) -> BTreeMap<String, String> {
    let by_others = started.named_mode.unwrap_or_default();
    let mode = (started.mode != by_others).then(|| (MODE.to_owned(), started.mode.to_string()));
    let rules =
        (!started.annotated.is_empty()).then(|| (ALLOW.to_owned(), started.annotated.join("\n")));
    mode.into_iter().chain(rules).collect()
}

/// Whether that is what a sync leaves in its list when it is interrupted.
#[must_use]
pub fn is_unfinished(list: &str) -> bool {
    list.lines().next() == Some(UNFINISHED)
}

/// Whether any of the annotations chooses something.
#[must_use]
pub fn chooses(annotations: &BTreeMap<String, String>) -> bool {
    [POLICY, ALLOW, MODE]
        .iter()
        .any(|key| annotations.contains_key(*key))
}

struct Selection<'a, Read> {
    settings: &'a Settings,
    annotations: &'a BTreeMap<String, String>,
    named_mode: Option<Mode>,
    read: Read,
    mistakes: Vec<Mistake>,
}

impl<'a, Read: Fn(&Path) -> io::Result<Option<String>>> Selection<'a, Read> {
    /// The policy with what the annotations say besides, below the host's layers, unless there was a mistake.
    fn completed(mut self, source: PolicySource) -> Result<PolicySource, Vec<Mistake>> {
        let mode = self.mode();
        let source = self.widened(PolicySource {
            mode,
            named_mode: self.named_mode,
            ..source
        });
        let layers = self.layers();
        let source = PolicySource { layers, ..source };
        if self.mistakes.is_empty() {
            Ok(source)
        } else {
            Err(self.mistakes)
        }
    }

    /// A mistyped annotation must not be silent: its author believes that it does something.
    fn check_keys(&mut self) {
        let ours = self
            .annotations
            .keys()
            .filter(|key| key.starts_with("boundary."));
        for key in
            ours.filter(|key| ![POLICY, ALLOW, MODE, ORIGINAL_NETWORK].contains(&key.as_str()))
        {
            self.mistakes.push(mistake(
                &excerpt(key),
                format!("unknown annotation (expected {POLICY}, {ALLOW} or {MODE})"),
            ));
        }
    }

    /// The policy itself: the annotation's choice, else the runtime's, else the settings'.
    fn policy(&mut self, named: Option<&str>) -> PolicySource {
        let named =
            named.map(|name| PolicyName::parse(name).map_err(|error| mistake("runtime", error)));
        let (name, chosen) = match (self.annotated_policy(), named) {
            (Some(Ok(name)), None | Some(Ok(_))) | (None, Some(Ok(name))) => (name, true),
            (None, None) => (
                self.settings.policy.clone(),
                self.settings.policy != Settings::default().policy,
            ),
            (annotated, named) => {
                let errors = [annotated.and_then(Result::err), named.and_then(Result::err)];
                self.mistakes.extend(errors.into_iter().flatten());
                return PolicySource::default();
            }
        };
        let (rules, note) = match self.rules_of(&name) {
            Some(rules) => (rules, None),
            None if chosen => {
                self.missing(&name);
                (RuleFile::default(), None)
            }
            None => (
                RuleFile::default(),
                Some(format!(
                    "no policy: {} does not exist",
                    self.file(&name).display()
                )),
            ),
        };
        PolicySource {
            note,
            ..rules.source(name.to_string())
        }
    }

    fn annotated_policy(&self) -> Option<Result<PolicyName, Mistake>> {
        let text = self.annotations.get(POLICY)?;
        let open = &self.settings.annotations.policies;
        let name = PolicyName::parse(text).and_then(|name| match open.contains(&name) {
            true => Ok(name),
            false => Err(format!(
                "policy {name} is not allowed here: the host's setting annotations.policies {}",
                listed(open)
            )),
        });
        Some(name.map_err(|error| mistake(POLICY, error)))
    }

    fn mode(&mut self) -> Mode {
        let Some(text) = self.annotations.get(MODE) else {
            return self.named_mode.unwrap_or_default();
        };
        let Some(mode) = Mode::parse(text) else {
            self.mistakes.push(mistake(
                MODE,
                format!(
                    "unknown mode {} (expected enforce or observe)",
                    quoted(text)
                ),
            ));
            return Mode::Enforce;
        };
        let open = &self.settings.annotations.modes;
        if !open.contains(&mode) {
            let message = format!(
                "mode {mode} is not allowed here: the host's setting annotations.modes {}",
                listed(open)
            );
            self.mistakes.push(mistake(MODE, message));
        }
        mode
    }

    /// The policy with `boundary.allow` and the ceiling over it. A denial in the ceiling's file
    /// holds as one in the policy's: denials beat every allowance, wherever either is written. Which
    /// TLS is intercepted, only the policy's file says.
    fn widened(&mut self, mut source: PolicySource) -> PolicySource {
        let Some(text) = self.annotations.get(ALLOW) else {
            return source;
        };
        if text.len() > MAX_ANNOTATION {
            self.mistakes.push(mistake(
                ALLOW,
                format!("longer than {MAX_ANNOTATION} bytes"),
            ));
            return source;
        }
        match text::parse_list(&format!("annotation {ALLOW}"), text, source.tls.intercept) {
            Ok(rules) => source.annotated = rules,
            Err(mistakes) => self.mistakes.extend(mistakes),
        }
        let Some(ceiling) = &self.settings.annotations.ceiling else {
            let message = "not allowed here: the host's setting annotations.ceiling names no policy as its limit";
            self.mistakes.push(mistake(ALLOW, message.to_owned()));
            return source;
        };
        match self.rules_of(ceiling) {
            Some(rules) => {
                source.ceiling = rules.allow();
                source.deny.extend(rules.deny());
                source.ceiling_files = rules.files;
            }
            None => self.missing(ceiling),
        }
        source
    }

    /// What bounds every policy. Mistakes are noted.
    fn layers(&mut self) -> Vec<LayerSource> {
        self.refuse_two_versions();
        let files = self.settings.layers.iter();
        files.filter_map(|file| self.layer(file)).collect()
    }

    /// Whoever chooses a policy has the lock that a sync takes: one that isn't finished won't be by itself.
    fn refuse_two_versions(&mut self) {
        let list = self.settings.policies.join(SYNCED);
        let message = match (self.read)(&list).map(Option::unwrap_or_default) {
            Ok(text) if !is_unfinished(&text) => return,
            Ok(_) => "policy sync was interrupted, so that these files may be of two versions: run it again (on Kubernetes' nodes \
                      the DaemonSet does)"
                .to_owned(),
            Err(error) => error.to_string(),
        };
        self.mistakes.push(wrong_file(&list, message));
    }

    fn layer(&mut self, file: &Path) -> Option<LayerSource> {
        let noted = self.mistakes.len();
        let Some(rules) = self.read_rules(file) else {
            // It was there when the folder was listed.
            self.mistakes
                .push(wrong_file(file, "no such file".to_owned()));
            return None;
        };
        if self.mistakes.len() > noted {
            return None;
        }
        let layer = layer(file, rules);
        layer.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    /// A policy's rules; `None` where it has no file. Mistakes in the file are noted.
    fn rules_of(&mut self, name: &PolicyName) -> Option<RuleFile> {
        self.read_rules(&self.file(name))
    }

    fn read_rules(&mut self, file: &Path) -> Option<RuleFile> {
        let shelves = Shelves::of_host(self.settings, &self.read);
        let library = |name: &PolicyName| shelves.find(name);
        let read = match (self.read)(file) {
            Ok(None) => return None,
            Ok(Some(content)) => text::parse_whole(&file.display().to_string(), &content, &library),
            Err(error) => Err(vec![wrong_file(file, error.to_string())]),
        };
        Some(read.unwrap_or_else(|mistakes| {
            self.mistakes.extend(mistakes);
            RuleFile::default()
        }))
    }

    fn missing(&mut self, name: &PolicyName) {
        let message = format!("no such file (policy {name})");
        let mistake = wrong_file(&self.file(name), message);
        self.mistakes.push(mistake);
    }

    fn file(&self, name: &PolicyName) -> PathBuf {
        name.file(&self.settings.policies)
    }
}

/// What a layer's file says, as it bounds policies.
///
/// # Errors
/// It can't bound any: it says nothing (as a file does that was emptied), or what only a policy can say.
pub fn layer(file: &Path, rules: RuleFile) -> Result<LayerSource, Mistake> {
    let wrong = if rules.says_tls {
        "a layer has allow, deny and include; which TLS is intercepted, policies say"
    } else if !rules.says_allow && rules.rules.is_empty() {
        "a layer that neither allows nor denies bounds nothing: write what it allows or denies, or remove it"
    } else {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        return Ok(rules.layer(format!("ceiling.d/{name}")));
    };
    Err(wrong_file(file, wrong.to_owned()))
}

fn wrong_file(file: &Path, message: String) -> Mistake {
    Mistake {
        origin: file.display().to_string(),
        line: None,
        key: String::new(),
        message,
    }
}

fn mistake(key: &str, message: String) -> Mistake {
    let origin = if key == "runtime" {
        "policy name"
    } else {
        "annotation"
    };
    Mistake {
        origin: origin.to_owned(),
        line: None,
        key: key.to_owned(),
        message,
    }
}

fn listed<T: fmt::Display>(open: &[T]) -> String {
    match open {
        [] => "allows none".to_owned(),
        _ => format!(
            "allows {}",
            open.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests;
