//! The form of the files in `seccomp-profiles/`, as their README has it.
//!
//! The files are part of the program, so that a mistake in one is a mistake in the program: tests
//! read them all, and nothing here has to be reported to a user. An unknown key is a mistake too,
//! as it could be a condition.

use serde::Deserialize;

use super::release::{Range, Release};

/// One of the files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "'de: 'static"))]
pub(super) struct ProfileFile {
    /// The lines of releases whose profile is known, from the oldest.
    #[serde(default)]
    pub(super) lines: Vec<&'static str>,
    pub(super) default_errno: Option<DefaultErrno>,
    #[serde(default)]
    pub(super) architectures: Vec<Architecture>,
    pub(super) groups: Vec<Group>,
}

impl ProfileFile {
    /// Reads one of our own files.
    pub(super) fn read(text: &'static str) -> Self {
        serde_json::from_str(text).expect("the tests read every file that is part of the program")
    }
}

/// What a call that no rule names fails with, where it is said at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultErrno {
    #[serde(rename = "why")]
    _why: &'static str,
    #[serde(default, rename = "in")]
    pub(super) versions: Versions,
    pub(super) number: u16,
}

/// An architecture, and those that its kernels run besides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Architecture {
    pub(super) name: &'static str,
    #[serde(default, rename = "in")]
    pub(super) versions: Versions,
    #[serde(default)]
    pub(super) also: Vec<&'static str>,
}

/// Calls that serve one purpose and are treated alike.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    #[serde(rename = "group")]
    _group: &'static str,
    #[serde(rename = "why")]
    _why: &'static str,
    #[serde(default, rename = "in")]
    pub(super) versions: Versions,
    #[serde(rename = "if")]
    pub(super) includes: Option<Limits>,
    #[serde(rename = "unless")]
    pub(super) excludes: Option<Limits>,
    /// Conditions on the arguments, each one a rule of its own. None: any arguments.
    #[serde(default, rename = "where")]
    pub(super) alternatives: Vec<Conditions>,
    /// What the calls fail with. None: they are allowed.
    pub(super) errno: Option<u16>,
    pub(super) calls: Vec<&'static str>,
}

/// The versions in which something is so. None named: all.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Versions(Vec<Range>);

impl Versions {
    pub(super) fn hold(&self, release: Release) -> bool {
        self.0.is_empty() || self.0.iter().any(|range| range.holds(release))
    }
}

/// What must be so of a container or its machine, or mustn't.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    #[serde(default)]
    pub(super) caps: Vec<&'static str>,
    #[serde(default)]
    pub(super) arches: Vec<&'static str>,
    pub(super) kernel: Option<&'static str>,
}

/// Conditions that must all hold, as text: `argument 0 == 16 and argument 2 != 9`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Conditions(pub(super) Vec<Condition>);

/// One of them, in the words of Docker's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) op: &'static str,
    pub(super) value: u64,
    pub(super) value_two: u64,
}

impl TryFrom<String> for Conditions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let conditions = text.split(" and ").map(condition).collect::<Option<_>>();
        conditions
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a condition"))
    }
}

fn condition(text: &str) -> Option<Condition> {
    let (index, op, value, value_two) = match text.split(' ').collect::<Vec<_>>()[..] {
        ["argument", index, "&", mask, "==", value] => (index, "SCMP_CMP_MASKED_EQ", mask, value),
        ["argument", index, "!=", value] => (index, "SCMP_CMP_NE", value, "0"),
        ["argument", index, "<", value] => (index, "SCMP_CMP_LT", value, "0"),
        ["argument", index, "==", value] => (index, "SCMP_CMP_EQ", value, "0"),
        ["argument", index, ">", value] => (index, "SCMP_CMP_GT", value, "0"),
        _ => return None,
    };
    Some(Condition {
        index: index.parse().ok()?,
        op,
        value: number(value)?,
        value_two: number(value_two)?,
    })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_they_stand() {
        let read =
            |text: &str| Conditions::try_from(text.to_owned()).map(|conditions| conditions.0);
        let equal = |index, value| Condition {
            index,
            op: "SCMP_CMP_EQ",
            value,
            value_two: 0,
        };
        assert_eq!(
            read("argument 0 == 16 and argument 2 == 0x9"),
            Ok(vec![equal(0, 16), equal(2, 9)])
        );
        let masked = Condition {
            index: 1,
            op: "SCMP_CMP_MASKED_EQ",
            value: 0x7e02_0000,
            value_two: 3,
        };
        assert_eq!(read("argument 1 & 0x7e020000 == 3"), Ok(vec![masked]));
        for text in [
            "",
            "argument 0",
            "argument x == 1",
            "argument 0 = 1",
            "argument 0 == 1 and",
            "argument 0 == 0xg",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
