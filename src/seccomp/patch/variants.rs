//! On which machines an entry of Docker's format holds (`includes`, `excludes`), and every
//! combination that a profile tells apart.
//!
//! It must not know what entries mean once they hold. What a maintainer must not forget: of
//! `includes.caps` all must be there, of `excludes.caps` any is enough, names are compared to the
//! letter (`setupSeccomp` in moby's profiles/seccomp).

use serde_json::{Map, Value, json};

use super::super::Fault;
use super::super::filter::{Filter, Verdict};
use super::super::tier::Grant;
use super::allowances::Granted;
use super::plan::{Context, Rules, World};
use super::{PatchError, Why};

/// Go's names of the architectures on which `clone` has its arguments in another order.
const S390: [&str; 2] = ["s390", "s390x"];
/// The most combinations that are looked at. Docker's own profiles have six.
const MOST: usize = 512;

/// Some machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// All.
    Any,
    /// s390 and s390x.
    S390,
    /// All others.
    Elsewhere,
}

impl Place {
    fn has(self, architecture: Option<&str>) -> bool {
        let s390 = architecture.is_some_and(|name| S390.contains(&name));
        match self {
            Self::Any => true,
            Self::S390 => s390,
            Self::Elsewhere => !s390,
        }
    }

    /// Restricts an entry to these machines. It must hold on one of them.
    pub(super) fn restrict(self, entry: &mut Map<String, Value>) {
        let included = arches(entry, "includes");
        let holds =
            |names: &[String]| !names.is_empty() && names.iter().all(|name| self.has(Some(name)));
        match self {
            _ if self == Self::Any || holds(&included) => {}
            Self::S390 => {
                let both = S390.map(str::to_owned).to_vec();
                let named: Vec<_> = included
                    .into_iter()
                    .filter(|name| self.has(Some(name)))
                    .collect();
                set_arches(
                    entry,
                    "includes",
                    if named.is_empty() { both } else { named },
                );
            }
            _ => {
                let mut excluded = arches(entry, "excludes");
                let missing: Vec<_> = S390
                    .iter()
                    .filter(|name| !excluded.iter().any(|there| there == *name))
                    .collect();
                excluded.extend(missing.into_iter().map(|name| (*name).to_owned()));
                set_arches(entry, "excludes", excluded);
            }
        }
    }
}

/// Every combination of the call's rules that holds on some machine, by where the flags are there.
pub(super) fn worlds(
    filter: &Filter,
    profile: &Value,
    grant: &Grant,
    rules: &Rules,
) -> Result<Vec<World>, PatchError> {
    let entry = |at: usize| {
        profile
            .get("syscalls")
            .and_then(|entries| entries.get(at))
            .unwrap_or(&Value::Null)
    };
    let gates = rules
        .keys()
        .map(|at| Ok((*at, Gate::read(entry(*at), &format!("syscalls[{at}]"))?)));
    let gates = gates.collect::<Result<Vec<_>, Fault>>()?;
    let refused = PatchError::Refused {
        call: grant.syscall,
        why: Why::Entangled,
    };
    let machines = machines(&gates).ok_or(refused)?;
    let (usual, s390) = (Granted::new(grant, false), Granted::new(grant, true));
    let world = |place: Place, granted| {
        let mut contexts: Vec<Context> = Vec::new();
        for machine in machines
            .iter()
            .filter(|machine| place.has(machine.architecture))
        {
            let rules: Vec<_> = gates
                .iter()
                .filter(|(_, gate)| gate.is_open(machine))
                .map(|(at, _)| *at)
                .collect();
            for default in defaults(filter.default) {
                let context = Context {
                    default,
                    rules: rules.clone(),
                };
                if !contexts.contains(&context) {
                    contexts.push(context);
                }
            }
        }
        World {
            place,
            granted,
            contexts,
        }
    };
    Ok(if usual == s390 {
        vec![world(Place::Any, usual)]
    } else {
        vec![world(Place::Elsewhere, usual), world(Place::S390, s390)]
    })
}

/// What Docker makes of a default verdict: before version 23 it passed over its error number.
fn defaults(written: Verdict) -> Vec<Verdict> {
    match written {
        Verdict::Errno(number) if number != 1 => vec![written, Verdict::Errno(1)],
        Verdict::Trace(number) if number != 1 => vec![written, Verdict::Trace(1)],
        _ => vec![written],
    }
}

/// What an entry demands of a machine.
struct Gate {
    includes: Limits,
    excludes: Limits,
}

#[derive(Default)]
struct Limits {
    capabilities: Vec<String>,
    architectures: Vec<String>,
    kernel: Option<Kernel>,
}

/// Major and minor number.
type Kernel = (u8, u8);

struct Machine<'a> {
    capabilities: Vec<&'a str>,
    /// None: one that no entry names.
    architecture: Option<&'a str>,
    kernel: Kernel,
}

impl Gate {
    fn read(entry: &Value, place: &str) -> Result<Self, Fault> {
        let limits = |key: &str| match entry.get(key) {
            None | Some(Value::Null) => Ok(Limits::default()),
            Some(limits) => Limits::read(limits, &format!("{place}.{key}")),
        };
        Ok(Self {
            includes: limits("includes")?,
            excludes: limits("excludes")?,
        })
    }

    fn is_open(&self, machine: &Machine<'_>) -> bool {
        let Self { includes, excludes } = self;
        let has = |name: &String| machine.capabilities.contains(&name.as_str());
        let is = |name: &String| machine.architecture == Some(name);
        let shut = excludes.architectures.iter().any(is)
            || excludes.capabilities.iter().any(has)
            || excludes.kernel.is_some_and(|least| machine.kernel >= least);
        let fits = (includes.architectures.is_empty() || includes.architectures.iter().any(is))
            && includes.capabilities.iter().all(has)
            && includes.kernel.is_none_or(|least| machine.kernel >= least);
        fits && !shut
    }
}

impl Limits {
    fn read(limits: &Value, place: &str) -> Result<Self, Fault> {
        let limits = limits
            .as_object()
            .ok_or_else(|| Fault::new(place, "not an object"))?;
        let kernel = match limits.get("minKernel") {
            None | Some(Value::Null) => None,
            Some(Value::String(none)) if none.is_empty() => None,
            Some(version) => Some(version.as_str().and_then(kernel).ok_or_else(|| {
                Fault::new(
                    format!("{place}.minKernel"),
                    format!("{version} is not a kernel version (N.N)"),
                )
            })?),
        };
        Ok(Self {
            capabilities: names(limits, place, "caps")?,
            architectures: names(limits, place, "arches")?,
            kernel,
        })
    }
}

fn kernel(version: &str) -> Option<Kernel> {
    let (major, minor) = version.split_once('.')?;
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    };
    Some((number(major)?, number(minor)?)).filter(|version| *version != (0, 0))
}

fn names(limits: &Map<String, Value>, place: &str, key: &str) -> Result<Vec<String>, Fault> {
    let wrong = || Fault::new(format!("{place}.{key}"), "not a list of names");
    match limits.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(wrong),
        Some(_) => Err(wrong()),
    }
}

/// Every machine that the gates tell apart; none if those are too many to look at.
fn machines(gates: &[(usize, Gate)]) -> Option<Vec<Machine<'_>>> {
    let limits = || {
        gates
            .iter()
            .flat_map(|(_, gate)| [&gate.includes, &gate.excludes])
    };
    let capabilities = distinct(
        limits()
            .flat_map(|limits| &limits.capabilities)
            .map(String::as_str),
    );
    let named = limits()
        .flat_map(|limits| &limits.architectures)
        .map(String::as_str);
    let architectures = distinct(S390.into_iter().chain(named).map(Some).chain([None]));
    let kernels = distinct(limits().filter_map(|limits| limits.kernel).chain([(0, 0)]));
    let sets = u32::try_from(capabilities.len())
        .ok()
        .and_then(|count| 1_usize.checked_shl(count))?;
    if sets
        .checked_mul(architectures.len() * kernels.len())
        .is_none_or(|count| count > MOST)
    {
        return None;
    }
    let mut machines = Vec::new();
    for set in 0..sets {
        let held = capabilities
            .iter()
            .enumerate()
            .filter(|(at, _)| set >> at & 1 == 1);
        let held: Vec<&str> = held.map(|(_, name)| *name).collect();
        for architecture in &architectures {
            let machine = |kernel: &Kernel| Machine {
                capabilities: held.clone(),
                architecture: *architecture,
                kernel: *kernel,
            };
            machines.extend(kernels.iter().map(machine));
        }
    }
    Some(machines)
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn arches(entry: &Map<String, Value>, key: &str) -> Vec<String> {
    entry
        .get(key)
        .and_then(Value::as_object)
        .and_then(|limits| names(limits, key, "arches").ok())
        .unwrap_or_default()
}

fn set_arches(entry: &mut Map<String, Value>, key: &str, arches: Vec<String>) {
    let limits = entry.entry(key).or_insert(Value::Null);
    match limits {
        Value::Object(limits) => drop(limits.insert("arches".to_owned(), json!(arches))),
        _ => *limits = json!({ "arches": arches }),
    }
}
