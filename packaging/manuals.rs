//! Writes the manual pages and the completions for shells of the operator's commands into a folder, from
//! the very definitions that the program parses its words with. A tool of `scripts/release`; no part of
//! the program.
//!
//! `cargo run --example manuals DIRECTORY`

use std::path::Path;

use boundary_shim::cli;
use clap_complete::Shell;

const NAME: &str = "boundary-shim";

fn main() -> std::io::Result<()> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or_else(|| std::io::Error::other("expected one word: the directory to write into"))?;
    let directory = Path::new(&directory);
    let command = || cli::command().version(env!("CARGO_PKG_VERSION"));
    let (manuals, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&manuals)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(command(), &manuals)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), NAME, &completions)?;
    }
    Ok(())
}
