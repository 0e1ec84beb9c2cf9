//! Raw system calls. All `unsafe` lives here; depends on no other module of this crate.

pub mod buffers;
pub mod channel;
pub mod clock;
pub mod confine;
pub mod credentials;
pub mod exec;
pub mod file;
pub mod fork;
pub mod links;
pub mod memory;
pub mod mountinfo;
pub mod mounts;
pub mod netlink;
pub mod netns;
pub mod notify;
mod passwd;
pub mod process;
pub mod random;
pub mod readiness;
pub mod reaper;
pub mod rooted;
pub mod sealed;
pub mod signal;
pub mod socket;
pub mod stand_in;
pub mod sysctl;
pub mod title;
