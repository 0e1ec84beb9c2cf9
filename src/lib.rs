//! boundary-shim: containers that reach the network only as a written policy allows.
//!
//! The crate is one program with four personalities (`main.rs` chooses). `ARCHITECTURE.md` is the
//! map.

pub mod apparmor;
pub mod audit;
pub mod certificates;
pub mod cgroup;
pub mod cli;
pub mod container;
pub mod control;
pub mod daemon;
pub mod dockerd;
pub mod embedded;
pub mod escape;
pub mod gateway;
pub mod hook;
pub mod host;
pub mod integrate;
pub mod jail;
pub mod logging;
pub mod packets;
pub mod policy;
pub mod prepare;
pub mod proxy;
pub mod resolv_conf;
pub mod runc_flags;
pub mod runtime;
pub mod seccomp;
pub mod settings;
pub mod spec;
pub mod supervisor;
pub mod sys;
pub mod text;
