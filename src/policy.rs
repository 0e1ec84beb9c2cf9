//! The rulebook: decides, for one attempt, whether it may go out and where to.
//!
//! Pure: no I/O, no clock. Invariant: only this module can make a [`Permit`] or an
//! [`UpstreamAddr`], and the dialler takes nothing else, so a connection that nobody decided about
//! cannot be written.

mod advice;
mod attempt;
mod decide;
mod denial;
mod denied;
mod denied_names;
mod domain;
mod exit;
mod explain;
mod given;
mod hash;
pub mod host;
mod layers;
mod name;
mod net;
mod path;
mod permit;
mod places;
mod ports;
mod presets;
pub mod rule;
mod shared;
mod source;
pub mod suggest;
pub mod text;
mod tls;

pub use advice::advice;
pub use attempt::{Attempt, Protocol};
pub use decide::{Denials, FIRST_GENERATION, Policy};
pub use denial::{Approvable, Denial, Grounds};
pub use denied::{ApprovalId, ApprovalIdError, DeniedAttempt};
pub use denied_names::{DENIED_V4, DENIED_V6, DeniedNames, never_answered, stands_for_denied};
pub use exit::Exit;
pub use given::GivenNames;
pub use host::Hostname;
pub use name::PolicyName;
pub use net::{canonical, is_public};
pub use permit::{Permit, UpstreamAddr, Verdict, own_denial};
pub use places::{Places, PolicyFile};
pub use ports::CapturedPorts;
pub use presets::{preset, presets};
pub use source::{Intercept, LayerSource, Mode, PolicySource, TlsSource};
