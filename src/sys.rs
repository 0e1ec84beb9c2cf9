//! The kernel's doors: every raw system call and every `unsafe` is in here, and nothing of ours is
//! imported.

pub mod buffers;
pub mod channel;
pub mod clock;
pub mod confine;
pub mod file;
pub mod fork;
pub mod memory;
pub mod mountinfo;
pub mod netlink;
pub mod netns;
pub mod process;
pub mod readiness;
pub mod signal;
pub mod socket;
pub mod sysctl;
