//! The runtime personality: called as runc is, edits the bundle, hands off. (helper B)

/// Stub.
#[must_use]
pub fn run(_arguments: Vec<std::ffi::OsString>) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
