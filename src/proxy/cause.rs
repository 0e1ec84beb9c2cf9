//! Why another policy is in force, as the keeper tells the filter, and the filter the record.

use serde::{Deserialize, Serialize};

/// Why another policy is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// This user changed it.
    Changed(u32),
    /// This user approved something.
    Approved(u32),
    /// What was approved has ended.
    Ended,
}

impl Cause {
    /// For the record.
    pub(super) fn words(self) -> String {
        match self {
            Self::Changed(by) => format!("user {by} changed it"),
            Self::Approved(by) => format!("user {by} approved something besides"),
            Self::Ended => "what was approved besides has ended".to_owned(),
        }
    }
}
