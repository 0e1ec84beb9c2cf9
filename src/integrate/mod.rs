//! Other programs' configuration: how an engine comes to offer the runtime.
//!
//! Owns the files of engines and nothing of ours at run time. Each engine computes a list of [`step::Step`]s first, so
//! that `--dry-run` prints exactly what would happen, and only then applies them.

pub mod binary;
mod config_file;
pub mod containerd;
pub mod docker;
pub mod drop_in;
pub mod kubernetes;
pub mod plan;
pub mod runtime_name;
pub mod step;
