//! Which circumstances an attack is tried in: all of them, or so few that every two that can go
//! together do so once.
//!
//! Pure.

use std::collections::BTreeSet;
use std::fmt;

/// Who attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum User {
    Root,
    Somebody,
}

/// Over which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What a container may nest: with nsjail's tier it has CAP_NET_ADMIN over its own network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nesting {
    None,
    Nsjail,
}

/// The real runtime below the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runtime {
    Runc,
    Crun,
}

/// Docker's older way of attaching networks, before the container starts, or its newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    Older,
    Newer,
}

/// The circumstances of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Circumstances {
    pub(crate) user: User,
    pub(crate) family: Family,
    pub(crate) nesting: Nesting,
    pub(crate) runtime: Runtime,
    pub(crate) engine: Engine,
}

impl fmt::Display for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.user == User::Root {
            "root"
        } else {
            "uid 1000"
        };
        let family = if self.family == Family::V4 {
            "IPv4"
        } else {
            "IPv6"
        };
        let nesting = if self.nesting == Nesting::None {
            "no nesting"
        } else {
            "nsjail"
        };
        let runtime = if self.runtime == Runtime::Runc {
            "runc"
        } else {
            "crun"
        };
        let engine = if self.engine == Engine::Older {
            "older Docker"
        } else {
            "newer Docker"
        };
        write!(f, "{user}, {family}, {nesting}, {runtime}, {engine}")
    }
}

/// All there are.
pub(crate) fn all() -> Vec<Circumstances> {
    let mut all = Vec::new();
    for user in [User::Root, User::Somebody] {
        for family in [Family::V4, Family::V6] {
            for nesting in [Nesting::None, Nesting::Nsjail] {
                for runtime in [Runtime::Runc, Runtime::Crun] {
                    for engine in [Engine::Older, Engine::Newer] {
                        all.push(Circumstances {
                            user,
                            family,
                            nesting,
                            runtime,
                            engine,
                        });
                    }
                }
            }
        }
    }
    all
}

/// Few of them in which every pair of values that occurs in `possible` occurs: of what is left,
/// always the one with the most pairs that are new.
pub(crate) fn pairwise(possible: &[Circumstances]) -> Vec<Circumstances> {
    let mut missing: BTreeSet<Pair> = possible.iter().flat_map(pairs).collect();
    let mut chosen = Vec::new();
    while !missing.is_empty() {
        let news = |one: &&Circumstances| pairs(one).filter(|pair| missing.contains(pair)).count();
        // `max_by_key` gives the last of equals; the order of `possible` must decide, the same in
        // every run.
        let Some(best) = possible.iter().rev().max_by_key(news) else {
            break;
        };
        chosen.push(*best);
        for pair in pairs(best) {
            missing.remove(&pair);
        }
    }
    chosen
}

/// Two dimensions, and a value of each.
type Pair = ((usize, bool), (usize, bool));

fn pairs(one: &Circumstances) -> impl Iterator<Item = Pair> + use<> {
    let values = [
        one.user == User::Root,
        one.family == Family::V4,
        one.nesting == Nesting::None,
        one.runtime == Runtime::Runc,
        one.engine == Engine::Older,
    ];
    (0..values.len()).flat_map(move |a| (0..a).map(move |b| ((a, values[a]), (b, values[b]))))
}

/// What the other files rely on; run with the attacks.
pub(crate) fn every_pair_is_covered_by_few() {
    let conditions: [fn(&Circumstances) -> bool; 4] = [
        |_| true,
        |one| one.user == User::Root,
        |one| one.family == Family::V6,
        |one| one.nesting == Nesting::Nsjail || one.user == User::Root,
    ];
    for (condition, most) in conditions.into_iter().zip([7, 6, 6, 7]) {
        let possible: Vec<Circumstances> = all().into_iter().filter(condition).collect();
        let chosen = pairwise(&possible);
        let (wanted, got): (BTreeSet<Pair>, BTreeSet<Pair>) = (
            possible.iter().flat_map(pairs).collect(),
            chosen.iter().flat_map(pairs).collect(),
        );
        assert_eq!(wanted, got);
        assert!(chosen.iter().all(|one| possible.contains(one)));
        assert!(
            chosen.len() <= most,
            "{} of {}",
            chosen.len(),
            possible.len()
        );
    }
}
