//! Chooses the personality. Nothing else happens here.
//!
//! Called as `boundary`, by a link of that name, it is coder/boundary's command line, whatever the
//! arguments. Else the **first argument** alone decides, never a later word: engines put options with values before
//! the verb (`--root logs state ID`), and telling a value from a verb takes runc's whole grammar,
//! which is the runtime's business. No runc verb is an operator's word, so what an engine says
//! always reaches the runtime, `--version` included.
//!
//! A first word that is nobody's is a typing mistake of a person's: engines put global options first, and
//! with these any word goes on to the real runtime, which may know more than we do.
//!
//! Invariant: what engines rely on stays unchanged. No descriptor is closed, no environment
//! variable read, no mask or directory changed, and nothing but an answer that was asked for goes
//! to stdout.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use boundary_shim::{cli, hook, runtime, supervisor};

/// As fast as glibc's, which musl's own isn't; of one thread, as the filter has.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

const USAGE: &str = "\
boundary-shim is an OCI runtime: container engines call it with the same arguments as runc.
To set it up: boundary-shim install docker. For all commands: boundary-shim help.
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let called_as = arguments
        .first()
        .and_then(|path| Path::new(path).file_name());
    if called_as == Some(OsStr::new(cli::boundary::NAME)) {
        return cli::boundary::run(arguments);
    }
    match arguments.get(1).map(OsString::as_os_str) {
        None => usage(),
        Some(first) if first == "hook" => hook::run(arguments.get(2..).unwrap_or_default()),
        Some(first) if first == "proxy" => supervisor::run(),
        Some(first) if first == "embedded-runtime" => {
            runtime::run_embedded(arguments.get(1..).unwrap_or_default())
        }
        Some(first) if cli::has_command(first) => cli::run(arguments),
        Some(first) if is_help(first) && called_as == Some(OsStr::new("boundary-shim")) => {
            cli::run(arguments)
        }
        Some(first) if first == "version" || first == "-V" => {
            let program = arguments.first().cloned().unwrap_or_default();
            runtime::run(&[program, "--version".into()])
        }
        Some(first) if runtime::may_mean(first) => runtime::run(&arguments),
        Some(_) => cli::run(arguments),
    }
}

/// Under another name (`boundary-npm --help`) the program is a runtime, and help is the real
/// runtime's.
fn is_help(word: &OsStr) -> bool {
    word == "help" || word == "--help" || word == "-h"
}

fn usage() -> ExitCode {
    // Where stderr is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(USAGE.as_bytes());
    ExitCode::from(2)
}
