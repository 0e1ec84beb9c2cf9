//! What was denied for want of a rule alone, for whoever may approve it: the attempts that differ, each
//! once, however often it was made.
//!
//! Invariant: bounded whatever a container tries. At most [`MOST`] are kept; beyond, the one that was not
//! made for longest of those that nobody has seen makes room, and is only counted.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::record::{Direction, Kind, Subject, without_query};
use crate::policy::rule::plain_path;
use crate::policy::{Denial, DeniedAttempt, Hostname, Policy, Protocol};

/// Attempts that are kept, and those that are remembered as dismissed.
pub const MOST: usize = 256;

/// An attempt that was denied, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// It.
    pub attempt: DeniedAttempt,
    /// How many times it was made.
    pub count: u64,
    /// When it was made first, in seconds since 1970.
    pub first: u64,
    /// When it was made last.
    pub last: u64,
}

/// All of one container's.
#[derive(Debug, Default)]
pub(super) struct Denied {
    kept: HashMap<DeniedAttempt, Kept>,
    dismissed: VecDeque<DeniedAttempt>,
    pushed_out: u64,
    turns: u64,
}

#[derive(Debug)]
struct Kept {
    count: u64,
    first: u64,
    last: u64,
    /// When it was made last, in the order of all.
    turn: u64,
    seen: bool,
}

impl Denied {
    /// Notes so many of one, unless nothing could approve it.
    pub(super) fn note(
        &mut self,
        subject: &Subject,
        denial: &Denial,
        seen: SystemTime,
        count: u64,
    ) {
        let Some(attempt) = approvable(subject, denial) else {
            return;
        };
        if self.dismissed.contains(&attempt) {
            return;
        }
        self.turns += 1;
        let now = seconds(seen);
        if !self.kept.contains_key(&attempt) && self.kept.len() >= MOST {
            self.push_one_out();
        }
        let kept = self.kept.entry(attempt).or_insert(Kept {
            count: 0,
            first: now,
            last: now,
            turn: 0,
            seen: false,
        });
        kept.count = kept.count.saturating_add(count);
        kept.last = now;
        kept.turn = self.turns;
    }

    /// Each that is kept, those made last first, and how many were pushed out. `seen`: somebody is shown
    /// them.
    pub(super) fn list(&mut self, seen: bool) -> (Vec<Pending>, u64) {
        self.kept.values_mut().for_each(|kept| kept.seen |= seen);
        let mut all: Vec<_> = self.kept.iter().collect();
        all.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.turn));
        let pending = all.into_iter().map(|(attempt, kept)| Pending {
            attempt: attempt.clone(),
            count: kept.count,
            first: kept.first,
            last: kept.last,
        });
        (pending.collect(), self.pushed_out)
    }

    /// Takes one out, and keeps it out when it is made again.
    pub(super) fn dismiss(&mut self, attempt: DeniedAttempt) {
        self.kept.remove(&attempt);
        if self.dismissed.contains(&attempt) {
            return;
        }
        if self.dismissed.len() >= MOST {
            self.dismissed.pop_front();
        }
        self.dismissed.push_back(attempt);
    }

    /// Forgets those that this policy, the one in force from now on, allows, or that nothing could approve
    /// any more.
    pub(super) fn judge_again(&mut self, policy: &Policy) {
        self.kept
            .retain(|attempt, _| policy.approval_for(attempt).is_some());
    }

    fn push_one_out(&mut self) {
        let oldest = self
            .kept
            .iter()
            .min_by_key(|(_, kept)| (kept.seen, kept.turn))
            .map(|(attempt, _)| attempt.clone());
        if let Some(oldest) = oldest {
            self.kept.remove(&oldest);
            self.pushed_out = self.pushed_out.saturating_add(1);
        }
    }
}

/// What there is to approve.
fn approvable(subject: &Subject, denial: &Denial) -> Option<DeniedAttempt> {
    let protocol = match subject.kind {
        Kind::Http => Some(Protocol::Http),
        Kind::Https => Some(Protocol::Https),
        Kind::Tcp => Some(Protocol::Tcp),
        Kind::Udp => Some(Protocol::Udp),
        Kind::Dns => None,
        Kind::Icmp | Kind::Other => return None,
    };
    let name = subject.name.as_deref();
    let name = name.and_then(|name| Hostname::parse(name).ok());
    let how = denial.approvable.as_deref()?;
    let address = match (how.at, &name) {
        (None, None) => Some(subject.destination.ip().to_canonical()),
        (at, _) => at,
    };
    let path = subject.path.as_deref().filter(|_| how.request);
    let attempt = DeniedAttempt {
        protocol,
        name,
        address,
        port: if protocol.is_some() {
            subject.destination.port()
        } else {
            0
        },
        method: subject.method.clone().filter(|_| how.request),
        path: path.and_then(|path| plain_path(without_query(path))),
    };
    (subject.direction == Direction::Out && attempt.is_sound()).then_some(attempt)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{PolicySource, Verdict};

    fn policy(allow: &[&str]) -> Policy {
        let allow = allow.iter().map(ToString::to_string).collect();
        let source = PolicySource {
            allow,
            ..PolicySource::default()
        };
        Policy::compile(&source).unwrap()
    }

    /// A request of this path that is denied, as it is recorded.
    fn denied(name: &str, path: &str) -> (Subject, Denial) {
        let to = "192.0.2.1:80".parse().unwrap();
        let subject = Subject {
            name: Some(name.to_owned()),
            method: Some("GET".to_owned()),
            path: Some(path.to_owned()),
            ..Subject::new(Kind::Http, Direction::Out, to, to)
        };
        let name = Hostname::parse(name).unwrap();
        let attempt = crate::policy::Attempt {
            protocol: Protocol::Http,
            name: Some(&name),
            destination: to,
            method: Some("GET"),
            path: Some(path),
        };
        match policy(&["domain=a.test path=/none"]).decide(&attempt) {
            Verdict::Deny(denial) => (subject, denial),
            Verdict::Allow(_) => panic!("{subject:?}"),
        }
    }

    fn note(all: &mut Denied, name: &str, path: &str) {
        let (subject, denial) = denied(name, path);
        all.note(&subject, &denial, SystemTime::now(), 1);
    }

    fn paths(all: &mut Denied, seen: bool) -> Vec<String> {
        let (pending, _) = all.list(seen);
        pending
            .into_iter()
            .filter_map(|pending| pending.attempt.path)
            .collect()
    }

    #[test]
    fn repeats_are_one_and_the_query_is_none_of_it() {
        let mut all = Denied::default();
        for path in ["/a", "/b", "/a"] {
            note(&mut all, "a.test", path);
        }
        let (mut subject, denial) = denied("a.test", "/a");
        subject.path = Some("/a?token=secret".to_owned());
        all.note(&subject, &denial, SystemTime::now(), 3);
        assert_eq!(paths(&mut all, false), ["/a", "/b"]);
        assert_eq!(all.list(false).0[0].count, 5);
    }

    #[test]
    fn a_flood_of_different_ones_is_bounded_and_pushes_out_what_nobody_has_seen() {
        let mut all = Denied::default();
        note(&mut all, "a.test", "/seen");
        all.list(true);
        note(&mut all, "a.test", "/unseen");
        for number in 0..100_000 {
            note(&mut all, &format!("n{number}.test"), "/");
        }
        let (pending, pushed_out) = all.list(false);
        assert_eq!((pending.len(), pushed_out), (MOST, 100_002 - 256));
        let paths = paths(&mut all, false);
        assert!(paths.contains(&"/seen".to_owned()) && !paths.contains(&"/unseen".to_owned()));
    }

    #[test]
    fn what_is_dismissed_stays_away_and_what_a_new_policy_allows_goes() {
        let mut all = Denied::default();
        note(&mut all, "a.test", "/a");
        note(&mut all, "a.test", "/b");
        let dismissed = all.list(false).0.remove(0).attempt;
        all.dismiss(dismissed);
        note(&mut all, "a.test", "/b");
        assert_eq!(paths(&mut all, false), ["/a"]);
        all.judge_again(&policy(&["domain=other.test"]));
        assert_eq!(paths(&mut all, false), ["/a"]);
        all.judge_again(&policy(&["domain=a.test"]));
        assert_eq!(paths(&mut all, false), [""; 0]);
    }

    #[test]
    fn what_nothing_could_approve_is_not_kept() {
        let mut all = Denied::default();
        let (mut subject, denial) = denied("a.test", "/a");
        let by_rule = Denial {
            approvable: None,
            ..denial.clone()
        };
        all.note(&subject, &by_rule, SystemTime::now(), 1);
        subject.direction = Direction::In;
        all.note(&subject, &denial, SystemTime::now(), 1);
        subject.direction = Direction::Out;
        subject.kind = Kind::Icmp;
        all.note(&subject, &denial, SystemTime::now(), 1);
        // A name that is none, at an address: a rule would be for the address.
        subject.kind = Kind::Http;
        subject.method = Some("GET\u{1b}[2J".to_owned());
        all.note(&subject, &denial, SystemTime::now(), 1);
        assert_eq!(all.list(false), (Vec::new(), 0));
    }
}
