//! boundary-shim: containers that reach the network only as a written policy allows.
//!
//! The crate is one program with four personalities (`main.rs` chooses). `ARCHITECTURE.md` is the
//! map.

pub mod apparmor;
pub mod audit;
pub mod bundle;
pub mod cgroup;
pub mod cli;
pub mod control;
pub mod dockerd;
pub mod gateway;
pub mod hook;
pub mod host;
pub mod integrate;
pub mod logging;
pub mod plan;
pub mod policy;
pub mod proxy;
pub mod resolv_conf;
pub mod runtime;
pub mod seccomp;
pub mod settings;
pub mod spec;
pub mod state;
pub mod supervisor;
pub mod sys;
pub mod text;
