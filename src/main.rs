//! Chooses the personality. Nothing else happens here.

use std::process::ExitCode;

fn main() -> ExitCode {
    boundary_shim::runtime::run(&std::env::args_os().collect::<Vec<_>>())
}
