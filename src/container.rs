//! What lies on disk about one container: its plan, its record, its bundle, and what it is
//! given to trust its gateway.

pub mod bundle;
pub mod meeting;
pub mod pin;
pub mod plan;
pub mod state;
pub mod trust;
