//! `policy pending`: what containers were denied for want of a rule, and may be allowed by `policy approve`.
//!
//! What a container tried is anybody's words, and comes out escaped.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::ensure;
use serde_json::{Value, json};

use super::asked::list;
use super::change::who;
use super::choice::choose;
use crate::cli::columns;
use crate::container::state::SavedState;
use crate::control::{PendingAttempt, PendingList};
use crate::escape::clean;
use crate::policy::ApprovalId;

/// How often `--follow` looks at records.
const LOOKED: Duration = Duration::from_millis(250);
/// How often it looks which containers there are, while no record grows: that reads all of their states.
const CHOSEN: Duration = Duration::from_secs(1);
/// How often it asks gateways whatever their records are: of many attempts that are alike, lines come late.
const ASKED: Duration = Duration::from_secs(10);
/// A record that isn't there yet.
const NO_RECORD: Stamp = (0, 0);
/// Longest rule that is shown, in bytes: none is longer.
const MAX_RULE: usize = 1024;

/// `policy pending`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An attempt that no rule covers is denied at once, never held. Here it is shown once, however often it is made, with the rule that
would allow exactly that: policy approve ID puts it into force for this container, policy dismiss ID has it not shown any more.
A name that was only looked up is shown with the usual rule for it: HTTP on port 80, HTTPS on port 443.
Not shown is what a rule denies, what is never open, and what an annotation asks for beyond the host's ceiling.
At most 256 are kept for a container; beyond, the oldest that nobody has seen are only counted.

Examples:
  sudo boundary-shim policy pending
  sudo boundary-shim policy pending web --follow")]
pub(super) struct PendingArguments {
    /// The containers; all, if none is named
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
    /// Go on, and print what comes
    #[arg(short, long)]
    follow: bool,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
}

/// Does it.
///
/// # Errors
/// No such container; a gateway can't be asked, after all others were. Where the reader of standard output
/// is gone, that very error, bare.
pub(super) fn run(arguments: &PendingArguments) -> anyhow::Result<()> {
    if arguments.follow {
        return follow(arguments);
    }
    let (mut lists, mut failed) = (Vec::new(), 0);
    for record in choose(&arguments.containers)? {
        match list(&record) {
            Ok(list) => lists.push((record, list)),
            Err(error) => {
                failed += 1;
                log::error!("{}: {error:#}", who(&record));
            }
        }
    }
    write(arguments, &lists)?;
    ensure!(failed == 0, "{failed} gateways could not be asked");
    Ok(())
}

/// Goes on, and shows what is new: gateways are asked once their records have grown.
fn follow(arguments: &PendingArguments) -> anyhow::Result<()> {
    let mut known = Known::default();
    let mut all_asked = Instant::now();
    let mut chosen: Option<Instant> = None;
    loop {
        if all_asked.elapsed() >= ASKED {
            all_asked = Instant::now();
            known.have_all_asked();
        }
        if !known.is_quiet() || chosen.is_none_or(|at| at.elapsed() >= CHOSEN) {
            chosen = Some(Instant::now());
            let records = choose(&arguments.containers)?;
            let lists: Vec<_> = records
                .into_iter()
                .filter_map(|record| known.news(record, &mut list))
                .collect();
            known.keep_those_of_now();
            write(arguments, &lists)?;
        }
        sleep(LOOKED);
    }
}

/// What one container's gateway says.
type Listed = (SavedState, PendingList);

/// What is known of the gateways that are followed, by their state directories.
#[derive(Debug, Default)]
struct Known {
    before: HashMap<PathBuf, Followed>,
    now: HashMap<PathBuf, Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    audit: PathBuf,
    /// How its record was when it was asked last.
    stamp: Option<Stamp>,
    /// What was shown of it, and is pending still.
    shown: HashSet<ApprovalId>,
    /// Whether it gave no answer last time, which is said once.
    silent: bool,
}

/// By which a file is known to have grown, or to be another.
type Stamp = (u64, u64);

fn stamp(file: &Path) -> Stamp {
    fs::metadata(file).map_or(NO_RECORD, |file| (file.ino(), file.len()))
}

impl Known {
    fn have_all_asked(&mut self) {
        self.before.values_mut().for_each(|one| one.stamp = None);
    }

    /// Whether no record has grown since.
    fn is_quiet(&self) -> bool {
        let mut all = self.before.values();
        all.all(|one| one.stamp == Some(stamp(&one.audit)))
    }

    /// What one that may have something new has by now besides what was shown. What it denies, it notes
    /// before its record has a line of it.
    fn news(
        &mut self,
        record: SavedState,
        list: &mut impl FnMut(&SavedState) -> anyhow::Result<PendingList>,
    ) -> Option<Listed> {
        let state = record.plan.state.clone();
        let before = self.before.remove(&state);
        let is_first = before.is_none();
        let mut one = before.unwrap_or_default();
        one.audit.clone_from(&record.plan.audit);
        let stamp = Some(stamp(&one.audit));
        let is_asked = one.stamp != stamp;
        one.stamp = stamp;
        let answer = is_asked.then(|| list(&record));
        let news = match answer {
            None => None,
            Some(Ok(list)) => {
                let now = ids(&list);
                let news = match is_first {
                    true => list,
                    false => without(list, &one.shown),
                };
                (one.shown, one.silent) = (now, false);
                Some((record, news))
            }
            Some(Err(error)) => {
                if !one.silent {
                    log::error!("{}: {error:#}", who(&record));
                }
                one.silent = true;
                None
            }
        };
        self.now.insert(state, one);
        news
    }

    /// Of those that are gone by now, nothing is kept, whatever comes.
    fn keep_those_of_now(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

fn ids(list: &PendingList) -> HashSet<ApprovalId> {
    list.pending.iter().map(|one| one.id).collect()
}

/// The list without what was shown before.
fn without(mut list: PendingList, shown: &HashSet<ApprovalId>) -> PendingList {
    list.pending.retain(|one| !shown.contains(&one.id));
    list.pushed_out = 0;
    list
}

fn write(arguments: &PendingArguments, lists: &[Listed]) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    match arguments.json {
        true => write_lines(lists, out),
        false => write_table(lists, !arguments.follow, out),
    }
}

fn write_table(lists: &[Listed], says_nothing: bool, out: &mut impl Write) -> io::Result<()> {
    let header = ["ID", "CONTAINER", "TIMES", "LAST", "RULE"];
    let rows = lists.iter().flat_map(|(record, list)| {
        list.pending.iter().map(|one| {
            vec![
                one.id.to_string(),
                who(record),
                one.made.count.to_string(),
                time(one.made.last),
                clean(&one.rule, MAX_RULE),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        if says_nothing {
            writeln!(out, "nothing is pending")?;
        }
    } else {
        let header = header.map(str::to_owned).to_vec();
        columns::write(&[vec![header], rows].concat(), &[2], out)?;
    }
    for (record, list) in lists.iter().filter(|(_, list)| list.pushed_out > 0) {
        writeln!(
            out,
            "{}: {} more that nobody has seen were pushed out by later ones",
            who(record),
            list.pushed_out
        )?;
    }
    Ok(())
}

fn write_lines(lists: &[Listed], out: &mut impl Write) -> io::Result<()> {
    for (record, list) in lists {
        for one in &list.pending {
            writeln!(out, "{}", line(record, one))?;
        }
        if list.pushed_out > 0 {
            let container = &record.plan.container;
            writeln!(
                out,
                "{}",
                json!({"container": container, "pushed_out": list.pushed_out})
            )?;
        }
    }
    Ok(())
}

fn line(record: &SavedState, one: &PendingAttempt) -> Value {
    let attempt = &one.made.attempt;
    json!({
        "id": one.id,
        "container": record.plan.container,
        "container_name": record.plan.identity.name,
        "rule": one.rule,
        "protocol": attempt.protocol,
        "name": attempt.name,
        "address": attempt.address,
        "port": attempt.protocol.map(|_| attempt.port),
        "method": attempt.method,
        "path": attempt.path,
        "count": one.made.count,
        "first": time(one.made.first),
        "last": time(one.made.last),
    })
}

/// A time of seconds since 1970, whatever the filter says.
pub(super) fn time(seconds: u64) -> String {
    /// The last second of the year 9999, beyond which a time can't be written.
    const LAST: u64 = 253_402_300_799;
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::denied::Pending;
    use crate::cli::policy::change::tests::record;
    use crate::policy::{DeniedAttempt, Hostname, Protocol};
    use crate::sys::file::replace;

    fn listed(names: &[&str], pushed_out: u64) -> Listed {
        let pending = |name: &&str| {
            let rule = format!("proto=https domain={name} port=443");
            PendingAttempt {
                id: ApprovalId::of("abc", &rule),
                made: Pending {
                    attempt: DeniedAttempt {
                        protocol: Some(Protocol::Https),
                        name: Hostname::parse(name).ok(),
                        address: None,
                        port: 443,
                        method: None,
                        path: None,
                    },
                    count: 3,
                    first: 0,
                    last: u64::MAX,
                },
                rule,
            }
        };
        let pending = names.iter().map(pending).collect();
        (
            record("abc"),
            PendingList {
                pending,
                pushed_out,
            },
        )
    }

    fn shown(lists: &[Listed]) -> String {
        let mut out = Vec::new();
        write_table(lists, true, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_is_a_line_with_its_id_and_its_rule() {
        let lists = [listed(&["a.test"], 2)];
        let id = lists[0].1.pending[0].id;
        let text = shown(&lists);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("ID  "), "{text}");
        assert!(lines[1].starts_with(&id.to_string()), "{text}");
        assert!(lines[1].ends_with("9999-12-31T23:59:59Z  proto=https domain=a.test port=443"));
        assert_eq!(
            lines[2],
            "abc: 2 more that nobody has seen were pushed out by later ones"
        );
        assert_eq!(shown(&[listed(&[], 0)]), "nothing is pending\n");
    }

    #[test]
    fn what_a_gateway_says_is_shown_escaped() {
        let mut list = listed(&["a.test"], 0);
        list.1.pending[0].rule = "domain=\u{1b}[2J\u{202e}\n".to_owned();
        let text = shown(&[list.clone()]);
        assert!(
            !text.contains(['\u{1b}', '\u{202e}']) && text.lines().count() == 2,
            "{text}"
        );
        let mut out = Vec::new();
        write_lines(&[list], &mut out).unwrap();
        assert!(!out.contains(&0x1b) && out.iter().filter(|byte| **byte == b'\n').count() == 1);
    }

    #[test]
    fn what_is_followed_is_asked_once_its_record_has_grown_and_shows_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let audit = folder.path().join("abc.jsonl");
        let mut known = Known::default();
        let news = |known: &mut Known, names: &[&str]| {
            let (mut record, pending) = listed(names, 1);
            record.plan.audit = audit.clone();
            let mut asked = 0;
            let news = known.news(record, &mut |_| {
                asked += 1;
                Ok(pending.clone())
            });
            known.keep_those_of_now();
            let rules = news.map(|(_, list)| list.pending).unwrap_or_default();
            let rules: Vec<_> = rules.into_iter().map(|one| one.rule).collect();
            (asked, rules)
        };
        let rule = |name: &str| format!("proto=https domain={name} port=443");
        assert_eq!(news(&mut known, &["a.test"]), (1, vec![rule("a.test")]));
        assert_eq!(news(&mut known, &["a.test", "b.test"]), (0, vec![]));
        replace(&audit, b"{}\n", 0o640).unwrap();
        assert_eq!(
            news(&mut known, &["a.test", "b.test"]),
            (1, vec![rule("b.test")])
        );
        replace(&audit, b"{}\n{}\n", 0o640).unwrap();
        assert_eq!(news(&mut known, &["b.test"]), (1, vec![]));
        // What was gone is shown when it comes again.
        known.have_all_asked();
        assert_eq!(
            news(&mut known, &["a.test", "b.test"]),
            (1, vec![rule("a.test")])
        );
    }
}
