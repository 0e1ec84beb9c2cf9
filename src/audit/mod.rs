//! The record: exactly one line for every attempt, allowed or denied.

pub mod journal;
pub mod record;

pub use journal::{Entry, Journal};
pub use record::{Direction, Kind, Record, Subject};
