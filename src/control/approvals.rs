//! What is said about attempts that may be approved.

use serde::{Deserialize, Serialize};

use crate::audit::denied::Pending;
use crate::policy::ApprovalId;

/// What is to be approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Under which ID it is pending.
    pub id: ApprovalId,
    /// For how many seconds; none: until the container's end.
    pub seconds: Option<u64>,
}

/// What was denied and may be approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingList {
    /// Each attempt once, those made last first.
    pub pending: Vec<PendingAttempt>,
    /// How many that nobody has seen were pushed out by later ones.
    pub pushed_out: u64,
}

/// An attempt that may be approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAttempt {
    /// By which it is approved.
    pub id: ApprovalId,
    /// The rule that an approval adds.
    pub rule: String,
    /// It, and how often it was made.
    #[serde(flatten)]
    pub made: Pending,
}

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// The rule that is in force.
    pub rule: String,
    /// Until when, in seconds since 1970; none: until the container's end.
    pub until: Option<u64>,
    /// Which of the gateway's policies is in force now.
    pub generation: u64,
}
