//! What libseccomp makes of a filter, and Docker of a profile, told again from the JSON and by
//! nothing of the product's: the measure that patches are held against.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::seccomp::tier::{Grant, Tier};

/// What a filter says of one call.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Model {
    default: String,
    rules: Vec<(String, Vec<Test>)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Test {
    index: usize,
    operator: String,
    value: u64,
    second: u64,
}

impl Model {
    /// A rule for each entry, or for each of its conditions where two are on the same argument.
    pub(super) fn new(seccomp: &Value, call: &str) -> Self {
        let default = action(seccomp, "defaultAction", "defaultErrnoRet");
        let mut rules = Vec::new();
        for entry in entries(seccomp, "syscalls")
            .filter(|entry| entries(entry, "names").any(|name| name == call))
        {
            let action = action(entry, "action", "errnoRet");
            let tests: Vec<Test> = entries(entry, "args").map(Test::new).collect();
            let mut indices: Vec<usize> = tests.iter().map(|test| test.index).collect();
            indices.sort_unstable();
            indices.dedup();
            if action == default {
            } else if indices.len() == tests.len() {
                rules.push((action, tests));
            } else {
                rules.extend(tests.into_iter().map(|test| (action.clone(), vec![test])));
            }
        }
        Self { default, rules }
    }

    /// What befalls a call: the action with its error number, or that it can't be known.
    pub(super) fn verdict(&self, args: [u64; 6], wide: bool) -> &str {
        let unconditional = self
            .rules
            .iter()
            .find(|(_, tests)| tests.iter().all(|test| test.is_always(wide)));
        if let Some((action, _)) = unconditional {
            return action;
        }
        let met = self
            .rules
            .iter()
            .filter(|(_, tests)| tests.iter().all(|test| test.holds(args, wide)));
        let met: Vec<&str> = met.map(|(action, _)| action.as_str()).collect();
        match met.split_first() {
            None => &self.default,
            Some((first, others)) if others.iter().all(|other| other == first) => first,
            Some(_) if met.iter().all(|action| allowed(action)) => MADE,
            Some(_) => "contradiction",
        }
    }
}

impl Test {
    fn new(arg: &Value) -> Self {
        let number = |key: &str| arg[key].as_u64().unwrap_or_default();
        Self {
            index: usize::try_from(number("index")).unwrap(),
            operator: arg["op"].as_str().unwrap().to_owned(),
            value: number("value"),
            second: number("valueTwo"),
        }
    }

    /// A condition of no bit is none.
    fn is_always(&self, wide: bool) -> bool {
        self.operator == "SCMP_CMP_MASKED_EQ" && seen(self.value, wide) == 0
    }

    fn holds(&self, args: [u64; 6], wide: bool) -> bool {
        let (value, second) = (seen(self.value, wide), seen(self.second, wide));
        let given = seen(args[self.index], wide);
        match self.operator.as_str() {
            "SCMP_CMP_NE" => given != value,
            "SCMP_CMP_LT" => given < value,
            "SCMP_CMP_LE" => given <= value,
            "SCMP_CMP_EQ" => given == value,
            "SCMP_CMP_GE" => given >= value,
            "SCMP_CMP_GT" => given > value,
            "SCMP_CMP_MASKED_EQ" => given & value == second & value,
            other => panic!("{other}"),
        }
    }
}

/// What 32-bit calls have of a number.
fn seen(number: u64, wide: bool) -> u64 {
    if wide { number } else { number & 0xffff_ffff }
}

/// Rules that meet a call allow it, all of them, and not all have it logged.
const MADE: &str = "made, and perhaps logged";

pub(super) fn allowed(verdict: &str) -> bool {
    ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", MADE].contains(&verdict)
}

/// Whether a tier promises a call.
pub(super) fn promised(tier: Tier, call: &str, args: [u64; 6], s390: bool) -> bool {
    let grants = |grant: &&Grant| grant.syscall == call;
    tier.grants().iter().find(grants).is_some_and(|grant| {
        grant.flags.is_none_or(|flags| {
            let argument = if s390 {
                flags.argument_on_s390
            } else {
                flags.argument
            };
            args[argument as usize] & flags.forbidden == 0
        })
    })
}

/// Docker's way from a profile to a filter, for profiles in the usual spelling.
pub(super) fn resolved(
    profile: &Value,
    capabilities: &[&str],
    architecture: &str,
    kernel: f64,
) -> Value {
    let holds = |entry: &&Value| {
        let list = |side: &str, key: &str| -> Vec<String> {
            let listed = entry[side][key].as_array().cloned().unwrap_or_default();
            listed
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect()
        };
        let least = |side: &str| {
            entry[side]["minKernel"]
                .as_str()
                .map(|version| version.parse::<f64>().unwrap())
        };
        let has = |name: &String| capabilities.contains(&name.as_str());
        let is = |name: &String| name == architecture;
        let arches = list("includes", "arches");
        !list("excludes", "arches").iter().any(is)
            && !list("excludes", "caps").iter().any(has)
            && least("excludes").is_none_or(|least| kernel < least)
            && (arches.is_empty() || arches.iter().any(is))
            && list("includes", "caps").iter().all(has)
            && least("includes").is_none_or(|least| kernel >= least)
    };
    let mut filter = profile.clone();
    filter["syscalls"] = profile["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(holds)
        .cloned()
        .collect();
    filter
}

fn action(holder: &Value, key: &str, errno: &str) -> String {
    match (
        holder[key].as_str().unwrap(),
        holder[errno].as_u64().unwrap_or(1),
    ) {
        (word @ ("SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE"), number) => format!("{word} {number}"),
        ("SCMP_ACT_KILL", _) => "SCMP_ACT_KILL_THREAD".to_owned(),
        (word, _) => word.to_owned(),
    }
}

fn entries<'a>(holder: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    holder[key].as_array().into_iter().flatten()
}

/// Bits that rules and calls are made of: the namespaces', two of `clone`'s others, one that 32-bit
/// calls don't have.
const BITS: [u32; 11] = [0, 8, 17, 25, 26, 27, 28, 29, 30, 31, 33];

pub(super) fn bits() -> impl Strategy<Value = u64> {
    let some = |count| proptest::sample::subsequence(BITS.to_vec(), count);
    let number = |bits: Vec<u32>| {
        bits.into_iter()
            .fold(0_u64, |number, bit| number | 1 << bit)
    };
    prop_oneof![
        4 => some(0..=3).prop_map(number),
        2 => some(0..=11).prop_map(number),
        1 => Just(0x7e02_0000),
        1 => Just(0x2e02_0000),
        1 => Just(0x3000_0000),
    ]
}

pub(super) fn any_args() -> impl Strategy<Value = [u64; 6]> {
    (bits(), bits(), bits()).prop_map(|(a, b, c)| [a, b, c, 0, 0, 0])
}

pub(super) fn any_tier() -> impl Strategy<Value = Tier> {
    proptest::sample::select(Tier::ALL.to_vec())
}

pub(super) const CALLS: [&str; 7] = [
    "clone",
    "unshare",
    "mount",
    "umount2",
    "pivot_root",
    "setns",
    "read",
];

fn any_action() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        json!({"action": "SCMP_ACT_ALLOW"}),
        json!({"action": "SCMP_ACT_ALLOW"}),
        json!({"action": "SCMP_ACT_ALLOW"}),
        json!({"action": "SCMP_ACT_ERRNO"}),
        json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 1}),
        json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 1}),
        json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 38}),
        json!({"action": "SCMP_ACT_LOG"}),
        json!({"action": "SCMP_ACT_KILL"}),
        json!({"action": "SCMP_ACT_KILL_THREAD"}),
        json!({"action": "SCMP_ACT_KILL_PROCESS"}),
        json!({"action": "SCMP_ACT_TRAP"}),
        json!({"action": "SCMP_ACT_TRACE", "errnoRet": 7}),
        json!({"action": "SCMP_ACT_NOTIFY"}),
    ])
}

fn any_condition() -> impl Strategy<Value = Value> {
    let others = [
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
    ];
    let others = proptest::sample::select(others.to_vec());
    let operator =
        prop_oneof![12 => Just("SCMP_CMP_MASKED_EQ"), 2 => Just("SCMP_CMP_EQ"), 1 => others];
    let within = prop_oneof![9 => Just(true), 1 => Just(false)];
    (
        proptest::sample::select(vec![0, 0, 0, 1, 1, 2]),
        operator,
        bits(),
        bits(),
        within,
    )
        .prop_map(|(index, op, value, second, within)| {
            let second = if within { value & second } else { second };
            json!({"index": index, "value": value, "valueTwo": second, "op": op})
        })
}

pub(super) fn any_entry() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        3 => Just(vec!["clone"]),
        2 => Just(vec!["unshare"]),
        2 => proptest::collection::vec(proptest::sample::select(CALLS.to_vec()), 0..6),
    ];
    let conditions = prop_oneof![
        2 => Just(Vec::new()),
        5 => proptest::collection::vec(any_condition(), 1..=1),
        2 => proptest::collection::vec(any_condition(), 2..=3),
    ];
    (names, any_action(), conditions).prop_map(|(names, mut entry, conditions)| {
        entry["names"] = json!(names);
        entry["args"] = json!(conditions);
        entry["ours"] = json!("unknown");
        entry
    })
}

pub(super) fn any_filter() -> impl Strategy<Value = Value> {
    let default = proptest::sample::select(vec![
        json!({"defaultAction": "SCMP_ACT_ERRNO"}),
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1}),
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38}),
        json!({"defaultAction": "SCMP_ACT_KILL"}),
        json!({"defaultAction": "SCMP_ACT_ALLOW"}),
        json!({"defaultAction": "SCMP_ACT_LOG"}),
    ]);
    let architectures = proptest::sample::select(vec![
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        json!(["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]),
        json!(["SCMP_ARCH_S390X", "SCMP_ARCH_AARCH64"]),
    ]);
    (
        default,
        architectures,
        proptest::collection::vec(any_entry(), 0..5),
    )
        .prop_map(|(mut filter, machines, rules)| {
            filter["architectures"] = machines;
            filter["syscalls"] = json!(rules);
            filter["ours"] = json!({"deep": [null, 1.5]});
            filter
        })
}

/// Filters of which it is certain what they mean, and that bits can tell: they must not be refused.
pub(super) fn plain_filter() -> impl Strategy<Value = Value> {
    let split = (1_u64 << 28, 1_u64 << 17);
    let rule = move |action: Value, call: &str, value: u64| {
        let mut entry = action;
        entry["names"] = json!(["setns", call, call]);
        entry["args"] = json!([{"index": 0, "value": split.0 | split.1 | 1 << 8, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}]);
        entry
    };
    let parts = proptest::collection::vec(
        (
            any_action(),
            proptest::sample::select(vec!["clone", "unshare"]),
        ),
        0..8,
    );
    let ending = prop_oneof![3 => Just(None), 1 => any_action().prop_map(Some)];
    (any_filter(), parts, ending, any::<bool>()).prop_map(
        move |(mut filter, parts, ending, first)| {
            let value = |at: usize| [at & 1, at >> 1 & 1, at >> 2].map(|bit| bit as u64);
            let value = |at: usize| value(at)[0] << 28 | value(at)[1] << 17 | value(at)[2] << 8;
            let parts = parts.into_iter().enumerate();
            let mut rules: Vec<Value> = parts
                .map(|(at, (action, call))| rule(action, call, value(at)))
                .collect();
            if let Some(mut ending) = ending {
                ending["names"] = json!(CALLS);
                rules.insert(if first { 0 } else { rules.len() }, ending);
            }
            filter["architectures"] = json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
            filter["syscalls"] = json!(rules);
            filter
        },
    )
}

pub(super) fn any_profile() -> impl Strategy<Value = Value> {
    let side = || {
        let caps = proptest::sample::subsequence(vec!["CAP_SYS_ADMIN", "CAP_NET_ADMIN"], 0..=2);
        let arches = proptest::sample::subsequence(vec!["amd64", "arm64", "s390x", "s390"], 0..=4);
        let arches = prop_oneof![2 => Just(Vec::new()), 1 => arches];
        let kernel = proptest::sample::select(vec![None, None, None, Some("4.8")]);
        let full = (caps, arches, kernel).prop_map(|(caps, arches, kernel)| {
            let mut side = json!({"caps": caps, "arches": arches});
            if let Some(kernel) = kernel {
                side["minKernel"] = json!(kernel);
            }
            side
        });
        prop_oneof![3 => Just(Value::Null), 2 => full]
    };
    let gates = proptest::collection::vec((side(), side()), 8);
    (prop_oneof![any_filter(), plain_filter()], gates).prop_map(|(mut profile, gates)| {
        for (entry, (includes, excludes)) in profile["syscalls"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .zip(gates)
        {
            entry["includes"] = includes;
            entry["excludes"] = excludes;
        }
        profile.as_object_mut().unwrap().remove("architectures");
        profile
    })
}

/// Any JSON at all, rich in the words of profiles.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let words = [
        "clone",
        "unshare",
        "mount",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_CMP_MASKED_EQ",
        "SCMP_CMP_LT",
        "4.8",
        "",
    ];
    let keys = [
        "defaultAction",
        "syscalls",
        "names",
        "Names",
        "name",
        "action",
        "args",
        "index",
        "value",
        "valueTwo",
        "op",
        "includes",
        "excludes",
        "caps",
        "arches",
        "minKernel",
        "ſyscalls",
        "errnoRet",
        "architectures",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-9_i64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let key = proptest::sample::select(keys.to_vec());
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6).prop_map(|pairs| Value::Object(
                pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            )),
        ]
    })
}
