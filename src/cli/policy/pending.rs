//! `policy pending`: what containers were denied for want of a rule, and may be allowed by `policy approve`.
//!
//! What a container tried is anybody's words, and comes out escaped.

use std::collections::HashSet;
use std::io::{self, Write};
use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

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

/// How often gateways are asked by `--follow`.
const ASKED: Duration = Duration::from_secs(1);
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
    let mut before = None;
    loop {
        let (lists, failed) = ask_all(arguments, before.is_none())?;
        let now = ids(&lists);
        let news = match &before {
            None => lists,
            Some(shown) => without(lists, shown),
        };
        if arguments.json {
            write_lines(&news, &mut io::stdout().lock())?;
        } else {
            write_table(&news, !arguments.follow, &mut io::stdout().lock())?;
        }
        if !arguments.follow {
            ensure!(failed == 0, "{failed} gateways could not be asked");
            return Ok(());
        }
        // Of those that are gone by now, nothing is kept, whatever comes.
        before = Some(now);
        sleep(ASKED);
    }
}

/// What one container's gateway says.
type Listed = (SavedState, PendingList);

/// What all of them say, and how many don't. `aloud`: which, and why.
fn ask_all(arguments: &PendingArguments, aloud: bool) -> anyhow::Result<(Vec<Listed>, usize)> {
    let (mut lists, mut failed) = (Vec::new(), 0);
    for record in choose(&arguments.containers)? {
        match list(&record) {
            Ok(list) => lists.push((record, list)),
            Err(error) => {
                failed += 1;
                if aloud {
                    log::error!("{}: {error:#}", who(&record));
                }
            }
        }
    }
    Ok((lists, failed))
}

fn ids(lists: &[Listed]) -> HashSet<ApprovalId> {
    let pending = lists.iter().flat_map(|(_, list)| &list.pending);
    pending.map(|one| one.id).collect()
}

/// The lists without what was shown before.
fn without(mut lists: Vec<Listed>, shown: &HashSet<ApprovalId>) -> Vec<Listed> {
    for (_, list) in &mut lists {
        list.pending.retain(|one| !shown.contains(&one.id));
        list.pushed_out = 0;
    }
    lists
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
    fn what_is_followed_is_shown_once_and_again_when_it_comes_again() {
        let first = [listed(&["a.test"], 1)];
        let shown = ids(&first);
        let next = without(vec![listed(&["a.test", "b.test"], 2)], &shown);
        assert_eq!(next[0].1.pending.len(), 1);
        assert!(next[0].1.pending[0].rule.contains("b.test"));
    }
}
