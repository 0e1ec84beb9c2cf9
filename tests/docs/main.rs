//! The pages for users, README and `docs/`, held against what they speak of: links lead somewhere, and
//! the table of jails has the rows that suites run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't read the pages says where"
)]

mod jail_table;
mod links;
mod page;
