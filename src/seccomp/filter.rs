//! A filter as the OCI specification has it (`linux.seccomp`, config-linux.md#seccomp), read for
//! its meaning.
//!
//! It is only ever a view: what is written back is the JSON tree, unknown fields included. It means
//! what it means to runc and crun: a rule whose verdict is the default one is left out, and so are
//! names that a machine doesn't know.

use std::fmt;

use serde_json::{Map, Value};

use super::Fault;
use super::arch::Architecture;
use crate::escape::quoted;

/// The most arguments that a system call has.
const ARGUMENTS: u64 = 6;
/// `EPERM`, what ERRNO and TRACE give where no number stands beside them (config-linux.md#seccomp).
const EPERM: u16 = 1;

/// A filter, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What befalls a call that no rule names.
    pub default: Action,
    /// The architectures it is for; empty means the machine's own. Calls of all others kill.
    pub architectures: Vec<Architecture>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule: some calls, under some conditions, and what befalls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The calls' names, as they stand there.
    pub names: Vec<String>,
    /// What befalls them.
    pub verdict: Action,
    /// The conditions, as they stand there. See [`Rule::alternatives`] for what they mean.
    pub conditions: Vec<Condition>,
}

impl Rule {
    /// What the conditions mean: any one of these lists, each of which must hold as a whole. An
    /// empty one always holds.
    ///
    /// Conditions on different arguments must all hold; but where two are on the same argument,
    /// runc and crun make a rule of its own of every condition (`matchCall` in runc's
    /// libcontainer/seccomp), because libseccomp refuses such a rule.
    #[must_use]
    pub fn alternatives(&self) -> Vec<Vec<Condition>> {
        let repeated = |(at, condition): (usize, &Condition)| {
            self.conditions
                .iter()
                .take(at)
                .any(|earlier| earlier.argument == condition.argument)
        };
        if self.conditions.iter().enumerate().any(repeated) {
            self.conditions
                .iter()
                .map(|condition| vec![*condition])
                .collect()
        } else {
            vec![self.conditions.clone()]
        }
    }
}

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made, and noted by the kernel.
    Log,
    /// It fails with this error number.
    Errno(u16),
    /// A tracer decides, and gets this number.
    Trace(u16),
    /// The process gets SIGSYS.
    Trap,
    /// The calling thread ends (`SCMP_ACT_KILL` and `SCMP_ACT_KILL_THREAD`).
    KillThread,
    /// The process ends.
    KillProcess,
    /// A listener outside decides.
    Notify,
}

impl Action {
    /// Whether the call is made.
    #[must_use]
    pub fn allows(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => write!(out, "allowed"),
            Self::Log => write!(out, "allowed and logged"),
            Self::Errno(number) => write!(out, "error {number}"),
            Self::Trace(number) => write!(out, "traced with {number}"),
            Self::Trap => write!(out, "trapped"),
            Self::KillThread => write!(out, "the thread is killed"),
            Self::KillProcess => write!(out, "the process is killed"),
            Self::Notify => write!(out, "asked of a listener"),
        }
    }
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0.
    pub argument: u32,
    /// What must be true of it.
    pub test: Test,
}

impl Condition {
    /// Whether an argument's value meets it. All 64 bits count, without sign.
    #[must_use]
    pub fn holds(&self, value: u64) -> bool {
        match self.test {
            Test::NotEqual(other) => value != other,
            Test::Less(other) => value < other,
            Test::LessOrEqual(other) => value <= other,
            Test::Equal(other) => value == other,
            Test::GreaterOrEqual(other) => value >= other,
            Test::Greater(other) => value > other,
            // libseccomp compares under the mask (`_db_node_mask_fixup`): a value's other bits
            // count for nothing.
            Test::Masked { mask, value: other } => value & mask == other & mask,
        }
    }
}

/// What must be true of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// `SCMP_CMP_NE`
    NotEqual(u64),
    /// `SCMP_CMP_LT`
    Less(u64),
    /// `SCMP_CMP_LE`
    LessOrEqual(u64),
    /// `SCMP_CMP_EQ`
    Equal(u64),
    /// `SCMP_CMP_GE`
    GreaterOrEqual(u64),
    /// `SCMP_CMP_GT`
    Greater(u64),
    /// `SCMP_CMP_MASKED_EQ`: of the bits in `mask` (which the file calls `value`), just those of
    /// `value` (`valueTwo`) are set.
    Masked {
        /// The bits that are looked at.
        mask: u64,
        /// What they must be.
        value: u64,
    },
}

impl Filter {
    /// Reads a filter, `linux.seccomp` of a specification.
    ///
    /// # Errors
    /// The first [`Fault`]: a word or a type that isn't the specification's.
    pub fn read(seccomp: &Value) -> Result<Self, Fault> {
        let seccomp = seccomp
            .as_object()
            .ok_or_else(|| Fault::new("seccomp", "not an object"))?;
        let default = verdict(seccomp, "", "defaultAction", "defaultErrnoRet")?;
        let mut architectures = Vec::new();
        for (at, name) in list(seccomp, "", "architectures")?.iter().enumerate() {
            let known = name.as_str().and_then(Architecture::parse);
            architectures.push(
                known.ok_or_else(|| {
                    unknown(format!("architectures[{at}]"), name, "an architecture")
                })?,
            );
        }
        let rules = list(seccomp, "", "syscalls")?.iter().enumerate();
        let rules = rules
            .map(|(at, entry)| rule(entry, &format!("syscalls[{at}]")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            default,
            architectures,
            rules,
        })
    }
}

fn rule(entry: &Value, place: &str) -> Result<Rule, Fault> {
    let entry = entry
        .as_object()
        .ok_or_else(|| Fault::new(place, "not an object"))?;
    let mut names = Vec::new();
    for (at, name) in list(entry, place, "names")?.iter().enumerate() {
        match name.as_str() {
            Some(name) if !name.is_empty() => names.push(name.to_owned()),
            _ => {
                return Err(unknown(
                    format!("{place}.names[{at}]"),
                    name,
                    "the name of a system call",
                ));
            }
        }
    }
    let conditions = list(entry, place, "args")?.iter().enumerate();
    let conditions = conditions.map(|(at, entry)| condition(entry, &format!("{place}.args[{at}]")));
    let verdict = verdict(entry, place, "action", "errnoRet")?;
    Ok(Rule {
        names,
        verdict,
        conditions: conditions.collect::<Result<_, _>>()?,
    })
}

fn condition(entry: &Value, place: &str) -> Result<Condition, Fault> {
    let entry = entry
        .as_object()
        .ok_or_else(|| Fault::new(place, "not an object"))?;
    let argument = number(entry, place, "index")?;
    if argument >= ARGUMENTS {
        return Err(Fault::new(
            within(place, "index"),
            format!("{argument} is beyond the last argument, 5"),
        ));
    }
    let (value, second) = (
        number(entry, place, "value")?,
        number(entry, place, "valueTwo")?,
    );
    let operator = entry.get("op").unwrap_or(&Value::Null);
    let test = match operator.as_str() {
        Some("SCMP_CMP_NE") => Test::NotEqual(value),
        Some("SCMP_CMP_LT") => Test::Less(value),
        Some("SCMP_CMP_LE") => Test::LessOrEqual(value),
        Some("SCMP_CMP_EQ") => Test::Equal(value),
        Some("SCMP_CMP_GE") => Test::GreaterOrEqual(value),
        Some("SCMP_CMP_GT") => Test::Greater(value),
        Some("SCMP_CMP_MASKED_EQ") => Test::Masked {
            mask: value,
            value: second,
        },
        _ => {
            return Err(unknown(
                within(place, "op"),
                operator,
                "a comparison (SCMP_CMP_…)",
            ));
        }
    };
    Ok(Condition {
        argument: u32::try_from(argument).unwrap_or_default(),
        test,
    })
}

fn verdict(
    holder: &Map<String, Value>,
    place: &str,
    action: &str,
    errno: &str,
) -> Result<Action, Fault> {
    let word = holder.get(action).unwrap_or(&Value::Null);
    let number = match holder.get(errno) {
        None | Some(Value::Null) => EPERM,
        Some(number) => number
            .as_u64()
            .and_then(|number| u16::try_from(number).ok())
            .ok_or_else(|| {
                Fault::new(
                    within(place, errno),
                    format!("{} is not an error number", shown(number)),
                )
            })?,
    };
    Ok(match word.as_str() {
        Some("SCMP_ACT_ALLOW") => Action::Allow,
        Some("SCMP_ACT_LOG") => Action::Log,
        Some("SCMP_ACT_ERRNO") => Action::Errno(number),
        Some("SCMP_ACT_TRACE") => Action::Trace(number),
        Some("SCMP_ACT_TRAP") => Action::Trap,
        Some("SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD") => Action::KillThread,
        Some("SCMP_ACT_KILL_PROCESS") => Action::KillProcess,
        Some("SCMP_ACT_NOTIFY") => Action::Notify,
        _ => {
            return Err(unknown(
                within(place, action),
                word,
                "an action (SCMP_ACT_…)",
            ));
        }
    })
}

/// A number that may be left out, for 0.
fn number(holder: &Map<String, Value>, place: &str, key: &str) -> Result<u64, Fault> {
    match holder.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(number) => number.as_u64().ok_or_else(|| {
            Fault::new(
                within(place, key),
                format!(
                    "{} is not a whole number from 0 to {}",
                    shown(number),
                    u64::MAX
                ),
            )
        }),
    }
}

/// A list that may be left out, or null, for an empty one.
fn list<'a>(holder: &'a Map<String, Value>, place: &str, key: &str) -> Result<&'a [Value], Fault> {
    match holder.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(found)) => Ok(found),
        Some(_) => Err(Fault::new(within(place, key), "not a list")),
    }
}

fn within(place: &str, key: &str) -> String {
    if place.is_empty() {
        key.to_owned()
    } else {
        format!("{place}.{key}")
    }
}

fn unknown(place: String, found: &Value, wanted: &str) -> Fault {
    match found {
        Value::Null => Fault::new(place, format!("{wanted} is missing")),
        _ => Fault::new(place, format!("{} is not {wanted}", shown(found))),
    }
}

/// A piece of a profile as a message shows it.
fn shown(found: &Value) -> String {
    match found {
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(rule: Value) -> Result<Rule, Fault> {
        let filter = Filter::read(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}))?;
        Ok(filter.rules[0].clone())
    }

    #[test]
    fn conditions_on_one_argument_are_alternatives_and_on_several_they_join() {
        let args = |indices: &[u32]| -> Value {
            indices
                .iter()
                .map(|index| json!({"index": index, "value": 7, "op": "SCMP_CMP_EQ"}))
                .collect()
        };
        let alternatives = |indices: &[u32]| {
            let rule = read(
                json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args(indices)}),
            )
            .unwrap();
            rule.alternatives().iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(alternatives(&[]), [0]);
        assert_eq!(alternatives(&[0, 1]), [2]);
        // Three rules of one condition each: that of argument 1 holds alone, too.
        assert_eq!(alternatives(&[0, 1, 0]), [1, 1, 1]);
    }

    #[test]
    fn bits_of_a_value_outside_its_mask_count_for_nothing() {
        let test = Test::Masked {
            mask: 0b10,
            value: 0b111,
        };
        let condition = Condition { argument: 0, test };
        assert!(condition.holds(0b10) && condition.holds(0b1011));
        assert!(!condition.holds(0b101));
    }

    #[test]
    fn an_error_without_a_number_is_eperm() {
        let rule = read(json!({"names": ["a"], "action": "SCMP_ACT_ERRNO"})).unwrap();
        assert_eq!(rule.verdict, Action::Errno(1));
        let rule =
            read(json!({"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0})).unwrap();
        assert_eq!(rule.verdict, Action::Errno(0));
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_cause() {
        let told = |rule: Value| read(rule).unwrap_err().to_string();
        assert_eq!(told(json!(7)), "syscalls[0]: not an object");
        assert_eq!(
            told(json!({"names": ["a"], "action": "ALLOW"})),
            "syscalls[0].action: \"ALLOW\" is not an action (SCMP_ACT_…)"
        );
        assert_eq!(
            told(json!({"names": [""], "action": "SCMP_ACT_ALLOW"})),
            "syscalls[0].names[0]: \"\" is not the name of a system call"
        );
        let with =
            |arg: Value| told(json!({"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [arg]}));
        assert_eq!(
            with(json!({"index": 6, "op": "SCMP_CMP_EQ"})),
            "syscalls[0].args[0].index: 6 is beyond the last argument, 5"
        );
        assert_eq!(
            with(json!({"value": -1})),
            "syscalls[0].args[0].value: -1 is not a whole number from 0 to 18446744073709551615"
        );
        assert_eq!(
            with(json!({})),
            "syscalls[0].args[0].op: a comparison (SCMP_CMP_…) is missing"
        );
    }

    #[test]
    fn what_a_profile_holds_reaches_a_message_escaped_and_short() {
        let told = |action: Value| {
            read(json!({"names": ["a"], "action": action}))
                .unwrap_err()
                .cause
        };
        assert_eq!(
            told(json!("A\u{7f}\n\u{202e}")),
            r#""A\u{7f}\u{a}\u{202e}" is not an action (SCMP_ACT_…)"#
        );
        assert_eq!(
            told(json!("A".repeat(1 << 20))),
            format!("\"{}…\" is not an action (SCMP_ACT_…)", "A".repeat(61))
        );
        assert_eq!(
            told(json!({"a": [1]})),
            "an object is not an action (SCMP_ACT_…)"
        );
        let errno = |number: Value| {
            read(json!({"action": "SCMP_ACT_ERRNO", "errnoRet": number}))
                .unwrap_err()
                .cause
        };
        assert_eq!(errno(json!(["\u{7f}"])), "a list is not an error number");
        assert_eq!(errno(json!(65_536)), "65536 is not an error number");
    }
}
