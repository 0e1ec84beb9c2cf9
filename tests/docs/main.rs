//! The pages for users, README and `docs/`, held against what they speak of: links lead somewhere, the
//! table of jails has the rows that suites run, and everything that can be typed is typed by a test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't read the pages says where"
)]

#[path = "../commands/catalogue.rs"]
#[expect(dead_code, reason = "how things are typed is the suite commands' own")]
mod catalogue;
mod commands;
mod examples;
mod jail_table;
mod links;
mod matrix;
mod page;
