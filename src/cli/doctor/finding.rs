//! A finding: one line of the report. The names in here are what `--json` prints: scripts go by them.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// As it has to be.
    Fine,
    /// Neither good nor bad.
    Fact,
    /// Nothing fails, but it is worth knowing.
    Note,
    /// Something would fail.
    Broken,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) what: String,
    /// What helps, or what else is worth knowing.
    pub(super) remarks: Vec<String>,
}

impl Finding {
    /// Whether something would fail.
    pub(super) fn is_broken(&self) -> bool {
        self.severity == Severity::Broken
    }

    pub(super) fn fine(what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fine,
            what: what.into(),
            remarks: Vec::new(),
        }
    }

    pub(super) fn fact(what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fact,
            ..Self::fine(what)
        }
    }

    pub(super) fn note(what: impl Into<String>, remark: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            what: what.into(),
            remarks: vec![remark.into()],
        }
    }

    pub(super) fn broken(what: impl Into<String>, remark: impl Into<String>) -> Self {
        Self {
            severity: Severity::Broken,
            ..Self::note(what, remark)
        }
    }
}
