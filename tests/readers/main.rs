//! Heads that servers understand differently: what each server that is here makes of them, and that
//! of those which pass, all make what ours did.
//!
//! The servers run on the loopback of a network namespace of their own. `cargo test --test readers
//! -- --nocapture` prints who accepted what.

#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start servers, in a namespace of their own, and write their configuration"
)]

mod heads;
mod hyper_server;
mod ours;
mod servers;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed};
use test_support::needs::Needs;

use crate::heads::{Head, MARK, Verdict};
use crate::ours::Ours;
use crate::servers::{READERS, Reader, Servers};
use crate::wire::Heard;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let print = arguments.nocapture;
    let root = Needs::tried("root", &servers::make_private());
    let servers = Arc::new(Servers::default());
    let mut trials = Vec::new();
    for reader in READERS {
        let needs = root
            .clone()
            .and(|| Needs::new(reader.name, reader.is_there()));
        let servers = Arc::clone(&servers);
        trials.push(needs.trial(format!("reader::{}", reader.name), move || {
            understands(reader, &servers)
        }));
    }
    for head in heads::all() {
        let servers = Arc::clone(&servers);
        trials.push(root.trial(format!("head::{}", head.name), move || {
            all_agree(head, &servers, print)
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    servers.stop();
    conclusion.exit_code()
}

/// A server tells all about requests that nobody reads in two ways.
fn understands(reader: &'static Reader, servers: &Servers) -> Result<(), Failed> {
    servers.start();
    let plain = b"POST /plain?q HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let heard = wire::say(reader.port, &[plain, MARK].concat());
    let told: Vec<_> = heard.requests.iter().map(wire::Told::text).collect();
    let expected = [
        "POST /plain?q a.example \"hello\"",
        "GET /marked marked.example \"\"",
    ];
    match told == expected {
        true => Ok(()),
        false => Err(format!("{told:?}").into()),
    }
}

/// What passes of a head and what follows it, every server that accepts it reads as it was judged.
fn all_agree(head: &'static Head, servers: &Servers, print: bool) -> Result<(), Failed> {
    servers.start();
    let said = [head.bytes, MARK].concat();
    let ours = Ours::of(&said);
    let heard: Vec<(&str, Heard)> = std::thread::scope(|scope| {
        let asked: Vec<_> = READERS
            .iter()
            .filter(|reader| reader.is_there())
            .map(|reader| {
                (
                    reader.name,
                    scope.spawn(|| wire::say(reader.port, &ours.sent)),
                )
            })
            .collect();
        asked
            .into_iter()
            .map(|(name, heard)| (name, heard.join().unwrap()))
            .collect()
    });
    if print {
        print_row(head, &ours, &heard);
    }
    let mut wrong = Vec::new();
    if ours.verdict() != head.ours {
        wrong.push(format!("ours: {}", ours.text()));
    }
    if ours.verdict() == Verdict::Passes {
        for (name, heard) in &heard {
            if !ours.agrees(&heard.requests) {
                wrong.push(format!("{name} reads {}", heard.text()));
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("ours reads {}; {}", ours.text(), wrong.join("; ")).into()),
    }
}

#[expect(clippy::print_stdout, reason = "it was asked for")]
fn print_row(head: &Head, ours: &Ours, heard: &[(&str, Heard)]) {
    let first = heard.first().map(|(_, heard)| &heard.requests);
    let alike = heard
        .iter()
        .all(|(_, heard)| !heard.requests.is_empty() && Some(&heard.requests) == first);
    let strict = match alike && ours.verdict() == Verdict::Refuses {
        true => "  <- all servers agree",
        false => "",
    };
    let cells: Vec<_> = heard
        .iter()
        .map(|(name, heard)| format!("\n    {name:12} {}", heard.text()))
        .collect();
    println!("{}: {}{strict}{}", head.name, ours.text(), cells.concat());
}
