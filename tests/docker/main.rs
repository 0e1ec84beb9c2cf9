//! End to end: real dockerd, containerd and runc in a private bed, a little internet behind it, and
//! captures on the wire.
//!
//! `cargo test --test docker` needs root. `BED_ENGINE_ROOT=DIR` takes Docker from another root file
//! system (`scripts/newer-docker`), and `BOUNDARY_TEST_RUNTIME=runc` runs only what proves the bed
//! itself.
//!
//! Every test is a function of its own, takes the shared bed, and uses names that nobody else uses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the bed is made of other programs"
)]

mod annotations;
mod approvals;
mod attacks;
mod audit;
mod bounds;
mod by_hand;
mod cases;
mod clients;
mod composed;
mod control;
mod denials;
mod denied_clients;
mod endings;
mod far_attacks;
mod far_end;
mod far_tools;
mod far_world;
mod filter;
mod https;
mod https_clients;
mod https_http2;
mod https_key;
mod https_protocols;
mod https_rules;
mod https_world;
mod https_wrong;
mod jail;
mod memory;
mod names;
mod nesting;
mod networks;
mod open_flows;
mod policies;
mod policies_crowd;
mod policies_http2;
mod policies_older;
mod policies_open;
mod policy_files;
mod privilege;
mod record;
mod refusals;
mod resolver;
mod servers;
mod session;
mod side_by_side;
mod status;
mod transparency;
mod trust;
mod trust_systems;

use libtest_mimic::Trial;
use test_support::bed::Bed;
use test_support::docker;
use test_support::harness::{Suite, Test};
use test_support::needs::{Needs, not_here};

/// Tests that belong together; the name leads theirs, so that `cargo test --test docker -- filter`
/// runs one group.
#[derive(Clone, Copy)]
struct Group {
    name: &'static str,
    tests: &'static [Test],
    /// Whether its tests have to pass without any filter.
    proves_the_bed: bool,
    /// The first major version of Docker that can do what they do, where it isn't any.
    since: Option<u32>,
    /// A program of this machine that they need, where not every system packages it.
    program: Option<&'static str>,
    /// Whether no other test may run meanwhile: so many containers at once leave the others no
    /// time.
    alone: bool,
}

const fn group(name: &'static str, tests: &'static [Test]) -> Group {
    Group {
        name,
        tests,
        proves_the_bed: false,
        since: None,
        program: None,
        alone: false,
    }
}

const GROUPS: [Group; 50] = [
    Group {
        proves_the_bed: true,
        ..group("control", control::TESTS)
    },
    Group {
        proves_the_bed: true,
        alone: true,
        ..group("control_alone", control::ALONE)
    },
    Group {
        proves_the_bed: true,
        ..group("transparency", transparency::TESTS)
    },
    group("filter", filter::TESTS),
    group("attacks", attacks::TESTS),
    group("networks", networks::TESTS),
    group("far_end", far_end::TESTS),
    group("far_attacks", far_attacks::TESTS),
    Group {
        alone: true,
        ..group("far_flood", far_attacks::FLOODS)
    },
    group("names", names::TESTS),
    group("endings", endings::TESTS),
    group("record", record::TESTS),
    Group {
        alone: true,
        ..group("crowd", endings::CROWD)
    },
    group("bounds", bounds::TESTS),
    Group {
        alone: true,
        ..group("memory", memory::TESTS)
    },
    group("privilege", privilege::TESTS),
    group("by_hand", by_hand::TESTS),
    group("cases", cases::TESTS),
    group("composed", composed::TESTS),
    group("audit", audit::TESTS),
    Group {
        alone: true,
        ..group("flood", audit::FLOOD)
    },
    group("refusals", refusals::TESTS),
    group("status", status::TESTS),
    group("policies", policies::TESTS),
    group("policy_files", policy_files::TESTS),
    Group {
        alone: true,
        ..group("policies_crowded", policies::CROWDED)
    },
    group("approvals", approvals::TESTS),
    Group {
        since: Some(24),
        ..group("approvals_ceiling", approvals::CEILING)
    },
    Group {
        alone: true,
        ..group("approvals_flood", approvals::FLOOD)
    },
    Group {
        alone: true,
        ..group("policies_crowd", policies_crowd::TESTS)
    },
    group("policies_open", policies_open::TESTS),
    // With an older program, no other may start containers meanwhile.
    Group {
        alone: true,
        ..group("policies_older", policies_older::TESTS)
    },
    Group {
        alone: true,
        ..group("policies_open_alone", policies_open::ALONE)
    },
    group("resolver", resolver::TESTS),
    Group {
        since: Some(24),
        ..group("annotations", annotations::TESTS)
    },
    group("https", https::TESTS),
    Group {
        program: Some("keytool"),
        ..group("denied_clients", denied_clients::TESTS)
    },
    Group {
        program: Some("keytool"),
        ..group("https_clients", https_clients::TESTS)
    },
    Group {
        program: Some("chromium-headless-shell"),
        ..group("https_browser", https_clients::BROWSER_TESTS)
    },
    Group {
        program: Some("keytool"),
        ..group("https_protocols", https_protocols::TESTS)
    },
    Group {
        alone: true,
        ..group("https_large", https_protocols::LARGE)
    },
    group("https_rules", https_rules::TESTS),
    group("https_key", https_key::TESTS),
    group("https_wrong", https_wrong::TESTS),
    group("trust", trust::TESTS),
    Group {
        program: Some("keytool"),
        ..group("trust_clients", trust::CLIENT_TESTS)
    },
    Group {
        program: Some("trust"),
        ..group("trust_systems", trust_systems::TESTS)
    },
    group("nesting", nesting::TESTS),
    group("jail", jail::TESTS),
    Group {
        program: Some("chromium-headless-shell"),
        ..group("nesting_browser", nesting::BROWSER_TESTS)
    },
];

fn main() {
    let suite = Suite::begin(Needs::root(), Bed::with_docker);
    let engine = if suite.needs.are_met() {
        docker::engine_version()
    } else {
        None
    };
    let trials = GROUPS
        .iter()
        .filter(|group| group.proves_the_bed || docker::runtime() != "runc")
        .flat_map(|group| {
            group
                .tests
                .iter()
                .map(|test| trial(&suite, group, *test, engine))
        })
        .chain(with_programs(&suite, "servers", servers::TESTS))
        .chain(with_programs(&suite, "far_tools", far_tools::TESTS))
        .chain(with_programs(&suite, "https_http2", https_http2::TESTS))
        .chain(with_programs(&suite, "denials", denials::TESTS))
        .chain(with_programs(&suite, "session", session::TESTS))
        .chain(with_programs(
            &suite,
            "policies_http2",
            policies_http2::TESTS,
        ))
        .chain(on_newer_debian(&suite))
        .collect();
    suite.conclude(trials);
}

/// Tests of real programs, each with the one that it needs; none of them proves the bed.
fn with_programs<'suite>(
    suite: &'suite Suite,
    group: &'static str,
    tests: &'static [(&'static str, Test)],
) -> impl Iterator<Item = Trial> + use<'suite> {
    tests
        .iter()
        .filter(|_| docker::runtime() != "runc")
        .map(move |(program, test)| needing(suite.trial(group, *test), Some(program)))
}

/// Tests of another system, where it is there.
fn on_newer_debian(suite: &Suite) -> impl Iterator<Item = Trial> + use<'_> {
    let tests = trust_systems::NEWER_DEBIAN.iter();
    let tests = tests.filter(|_| docker::runtime() != "runc");
    tests.map(|test| {
        let trial = suite.trial("trust_systems", *test);
        match trust_systems::newer_debian().exists() {
            true => trial,
            false => not_here(trial, "scripts/newer-docker"),
        }
    })
}

fn trial(suite: &Suite, group: &Group, test: Test, engine: Option<u32>) -> Trial {
    let trial = match group.alone {
        true => suite.trial_alone(group.name, test),
        false => suite.trial(group.name, test),
    };
    match group.since {
        // An unknown version runs, and fails, rather than pass for tested.
        Some(since) if engine.is_some_and(|engine| engine < since) => {
            not_here(trial, &format!("Docker {since}"))
        }
        _ => needing(trial, group.program),
    }
}

fn needing(trial: Trial, program: Option<&str>) -> Trial {
    match program {
        Some(program) if !docker::is_installed(program) => not_here(trial, program),
        _ => trial,
    }
}
