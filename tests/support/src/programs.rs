//! The programs that end-to-end suites put into a private host: the product, and what is built for
//! it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::shell;

/// Where the repository is; the test binary runs from there.
pub const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The product under test, as cargo built it for the tests.
pub fn product() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_boundary-shim")
        .expect("the suite is run by cargo, which says where the program is")
        .into()
}

/// Builds what the bed runs, as the product was built, and tells where it is: `cargo test --test
/// docker` builds no examples, and would run what an earlier build left.
pub fn build_examples() -> Vec<PathBuf> {
    let product = product();
    let profile = product
        .parent()
        .and_then(Path::file_name)
        .expect("a profile's directory");
    let profile = if profile == "debug" {
        OsStr::new("dev")
    } else {
        profile
    };
    let mut cargo = Command::new(env!("CARGO"));
    // Told to its tests by cargo. Dependencies that look at it would be built again here, and again
    // by the next run.
    let told =
        |name: &OsStr| name == "CARGO_MANIFEST_DIR" || name.as_bytes().starts_with(b"CARGO_PKG_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| told(name)) {
        cargo.env_remove(name);
    }
    let output = cargo
        .args([
            "build",
            "--quiet",
            "--offline",
            "--message-format=json",
            "--example=little-internet",
            "--example=attacker",
            "--example=load",
            "--example=webpki",
        ])
        .arg("--profile")
        .arg(profile)
        .current_dir(REPOSITORY)
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "the examples don't build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect()
}

/// Builds a Go program, static and from one file of the repository's: no module, nothing to
/// download.
pub fn build_go_program(source: &str, to: &Path) {
    let script = "GO111MODULE=off GOFLAGS= CGO_ENABLED=0 GOCACHE=\"$1\" go build -o \"$2\" \"$3\"";
    let product = product();
    let target = product.ancestors().nth(2).expect("a target directory");
    let cache = target.join("tmp/go");
    let source = Path::new(REPOSITORY).join(source);
    shell(script, &[cache, to.to_owned(), source]);
}
