//! What is reported: findings, and the ways of running something filtered; as text and as JSON. The names in here are what `--json` prints: scripts go by them.

use std::io::{self, Write};

use serde::Serialize;

use super::finding::{Finding, Severity};
use super::process::ProcessFacts;

/// One way of running something filtered, and whether it works here.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Way {
    pub(super) name: &'static str,
    /// How it is used.
    pub(super) command: &'static str,
    /// None where it can't be tried from here.
    pub(super) works: Option<bool>,
    /// Why it doesn't, or can't be tried.
    pub(super) why: Option<String>,
    /// What was said though it works.
    pub(super) warnings: Vec<String>,
    /// What would make it work.
    pub(super) fixes: Vec<Fix>,
}

/// Something that mends a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fix {
    #[serde(rename = "for")]
    pub(super) whom: Audience,
    /// As it is typed, or written there.
    pub(super) line: String,
}

/// Where it is typed or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Audience {
    /// A shell, of who runs the jail.
    Shell,
    /// A shell on the host or node.
    Host,
    /// `docker run`.
    Docker,
    /// A container in a pod's YAML.
    Pod,
    /// The settings of a Bottlerocket node.
    Bottlerocket,
}

impl Audience {
    fn name(self) -> &'static str {
        match self {
            Self::Shell => "here",
            Self::Host => "on the host",
            Self::Docker => "docker run",
            Self::Pod => "in the pod's container",
            Self::Bottlerocket => "in Bottlerocket's settings",
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether nothing has to be done.
    pub(super) healthy: bool,
    /// The kind of container that this runs in; none on a host.
    pub(super) container: Option<&'static str>,
    /// What was recognised.
    pub(super) platforms: Vec<&'static str>,
    /// What this process has and may do; none where one engine was asked about.
    pub(super) facts: Option<ProcessFacts>,
    pub(super) ways: Vec<Way>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// How many findings are broken.
    pub(super) fn broken(&self) -> usize {
        let all = self.findings.iter();
        all.filter(|finding| finding.is_broken()).count()
    }

    /// As one JSON object, in a line.
    ///
    /// # Errors
    /// What writing gives.
    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", serde_json::to_string(self)?)
    }

    /// For people.
    ///
    /// # Errors
    /// What writing gives.
    pub(super) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for finding in &self.findings {
            tell(out, finding)?;
        }
        for way in &self.ways {
            tell_way(out, way)?;
        }
        Ok(())
    }
}

fn tell(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let mark = match finding.severity {
        Severity::Fine => "ok  ",
        Severity::Fact => "is  ",
        Severity::Note => "note",
        Severity::Broken => "FAIL",
    };
    writeln!(out, "{mark}  {}", finding.what)?;
    finding
        .remarks
        .iter()
        .try_for_each(|remark| writeln!(out, "      {remark}"))
}

fn tell_way(out: &mut impl Write, way: &Way) -> io::Result<()> {
    let Way { name, command, .. } = way;
    let why = way.why.as_deref().unwrap_or_default();
    match way.works {
        Some(true) => writeln!(out, "ok    way {name}: works: {command}")?,
        Some(false) => writeln!(out, "no    way {name}: {why}")?,
        None => writeln!(out, "?     way {name}: {why}")?,
    }
    for warning in &way.warnings {
        writeln!(out, "      {warning}")?;
    }
    for Fix { whom, line } in &way.fixes {
        writeln!(out, "      {}: {line}", whom.name())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_looks_different_and_json_says_the_same() {
        let report = Report {
            healthy: false,
            container: Some("docker"),
            platforms: vec!["gvisor"],
            facts: None,
            ways: vec![Way {
                name: "nsjail",
                command: "boundary-shim jail",
                works: Some(false),
                why: Some("denied".to_owned()),
                warnings: Vec::new(),
                fixes: vec![Fix {
                    whom: Audience::Docker,
                    line: "--cap-add X".to_owned(),
                }],
            }],
            findings: vec![Finding::broken("a: b", "do c")],
        };
        let mut text = Vec::new();
        report.write_text(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "FAIL  a: b\n      do c\nno    way nsjail: denied\n      docker run: --cap-add X\n"
        );
        let mut json = Vec::new();
        report.write_json(&mut json).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(
            said,
            serde_json::json!({
                "healthy": false, "container": "docker", "platforms": ["gvisor"], "facts": null,
                "ways": [{
                    "name": "nsjail", "command": "boundary-shim jail", "works": false, "why": "denied",
                    "warnings": [], "fixes": [{"for": "docker", "line": "--cap-add X"}],
                }],
                "findings": [{"severity": "broken", "what": "a: b", "remarks": ["do c"]}],
            })
        );
    }
}
