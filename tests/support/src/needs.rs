//! What a suite needs of the machine it runs on, and what becomes of its tests without that.
//!
//! One rule for all suites: where something is missing, the tests are reported as ignored, with the
//! reason; with `CI` set they fail, so that a run that tested nothing doesn't pass for one that did.

use std::fmt::Display;

use libtest_mimic::{Failed, Trial};

/// What tests need, and whether it is there.
#[derive(Debug, Clone)]
pub struct Needs {
    what: String,
    /// Why the tests can't run.
    missing: Option<String>,
}

impl Needs {
    /// `what` completes the sentence "needs …".
    pub fn new(what: &str, there: bool) -> Self {
        Self::tried(what, &there.then_some(()).ok_or("it is missing"))
    }

    /// The same where only trying shows whether it is there.
    pub fn tried<T>(what: &str, attempt: &Result<T, impl Display>) -> Self {
        Self {
            what: what.to_owned(),
            missing: attempt.as_ref().err().map(ToString::to_string),
        }
    }

    /// Root, by the effective user.
    pub fn root() -> Self {
        Self::new("root", nix::unistd::geteuid().is_root())
    }

    /// Something more, which is only looked for where this is met.
    #[must_use]
    pub fn and(self, more: impl FnOnce() -> Self) -> Self {
        if self.are_met() { more() } else { self }
    }

    /// Whether the tests can run.
    pub fn are_met(&self) -> bool {
        self.missing.is_none()
    }

    /// A test that needs this.
    pub fn trial(
        &self,
        name: impl Into<String>,
        test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Trial {
        let Some(missing) = &self.missing else {
            return Trial::test(name, test);
        };
        let why = format!("needs {}: {missing}", self.what);
        Trial::test(name, move || Err(why.into()))
            .with_kind(format!("needs {}", self.what))
            .with_ignored_flag(!in_ci())
    }
}

/// A test that can't run here and needn't, not even with `CI` set: the engine is too old for it, or
/// not every system has a package of what it needs.
pub fn not_here(test: Trial, needs: &str) -> Trial {
    test.with_kind(format!("needs {needs}"))
        .with_ignored_flag(true)
}

/// For a unit test of which a part needs root; the standard harness can't ignore a part. Panics
/// without root where `CI` is set.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(
        root || !in_ci(),
        "a part of this test needs root, and with CI set that is a failure"
    );
    root
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}
