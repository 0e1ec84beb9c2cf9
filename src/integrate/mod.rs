//! Other programs' configuration: how an engine comes to offer the runtime.
//!
//! Owns the files of engines and nothing of ours at run time. Each engine computes a list of [`step::Step`]s first, so
//! that `--dry-run` prints exactly what would happen, and only then applies them.

pub mod binary;
pub mod docker;
pub mod step;
