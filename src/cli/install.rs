//! `install` and `uninstall`: add the runtime to an engine's configuration, or remove it.
//!
//! `install/words.rs` has the arguments; `integrate` knows the engines.
//!
//! Invariant: a dry run prints exactly the steps that would be applied.

mod running;
mod words;

use std::io::{self, Write};

use anyhow::{Context, ensure};

pub(super) use self::words::{ContainerdWords, InstallTarget};
pub use self::words::{InstallArguments, UninstallArguments};
use self::words::{
    InstallEngine, KubernetesWords, PolicyArgument, PurgeArgument, Telling, UninstallEngine,
};
use crate::container::state;
use crate::integrate::apparmor::AppArmor;
use crate::integrate::change_plan::ChangePlan;
use crate::integrate::step::{self, Step};
use crate::integrate::{self, Installation, kubernetes};
use crate::prepare::proof;
use crate::{cgroup, dockerd, embedded, settings};

/// Runs `install`.
///
/// # Errors
/// Not root, or why the engine's configuration was left alone.
pub fn install(arguments: InstallArguments) -> anyhow::Result<()> {
    let (target, telling, PolicyArgument { policy, mode }) = match arguments.engine {
        InstallEngine::Docker(words) => {
            let (target, telling, more) = words.meant();
            (more.applied_to(target), telling, more.policy)
        }
        InstallEngine::Containerd(words) => words.meant(),
        InstallEngine::Podman(words) => words.meant(),
        InstallEngine::Crio(words) => words.meant(),
        InstallEngine::Kubernetes(words) => return print_or_apply(&words),
    };
    require_root()?;
    let plan = integrate::install(
        &target.engine,
        &installation()?,
        &target.name,
        &policy,
        mode,
    )?;
    carry_out(&plan, &telling, "already installed", target.example)
}

/// Runs `uninstall`.
///
/// # Errors
/// Not root, or why the engine's configuration was left alone; pods still need it.
pub fn uninstall(arguments: UninstallArguments) -> anyhow::Result<()> {
    // Whether containerd's pods may still need it.
    let mut needed = false;
    let (target, telling, PurgeArgument { purge }) = match arguments.engine {
        UninstallEngine::Docker(words) => words.meant(),
        UninstallEngine::Containerd(words) => {
            let (target, telling, own) = words.meant();
            needed = !own.force;
            (target, telling, own.purge)
        }
        UninstallEngine::Podman(words) => words.meant(),
        UninstallEngine::Crio(words) => words.meant(),
        UninstallEngine::Kubernetes(words) => {
            let commands = kubernetes::removal(&words.name)?;
            return Ok(io::stdout().write_all(commands.as_bytes())?);
        }
    };
    require_root()?;
    if needed {
        running::refuse_if_containerds()?;
    }
    let ours = installation()?;
    let mut plan = integrate::uninstall(&target.engine, &ours, &target.name)?;
    if purge {
        running::refuse_if_any()?;
        integrate::purge(&mut plan, &ours)?;
    }
    carry_out(&plan, &telling, "not installed", None)
}

fn print_or_apply(words: &KubernetesWords) -> anyhow::Result<()> {
    let PolicyArgument { policy, mode } = &words.policy;
    let manifests =
        kubernetes::manifests(&words.name, policy, *mode, &words.image, &words.layout())?;
    if words.apply {
        kubernetes::apply(&manifests).context("kubectl apply")
    } else {
        Ok(io::stdout().write_all(manifests.as_bytes())?)
    }
}

/// What this program writes beside engines' files. A folder of records that the settings name stays: others may use it, too.
const BELONGINGS: [&str; 8] = [
    settings::DIRECTORY,
    settings::DEFAULT_AUDIT,
    state::DIRECTORY,
    state::LOCK,
    dockerd::SEEN,
    embedded::ROOT,
    cgroup::leftover::DIRECTORY,
    proof::PROOFS,
];

/// What belongs to this program on this host.
///
/// # Errors
/// This program's executable can't be found.
pub(super) fn installation() -> anyhow::Result<Installation> {
    Ok(Installation {
        binary: std::env::current_exe().context("can't find this program's executable")?,
        policies: settings::DEFAULT_POLICIES.into(),
        running: state::DIRECTORY.into(),
        configurations: integrate::USUAL_CONFIGURATIONS.map(Into::into).to_vec(),
        apparmor: AppArmor::of_this_host(),
        belongings: BELONGINGS.map(Into::into).to_vec(),
    })
}

/// Also for a dry run: it can't inspect other users' processes, so its output could be wrong.
fn require_root() -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "only root can change an engine's configuration: use sudo"
    );
    Ok(())
}

/// Does what is planned, or only says so. `example`: a command that uses what is there then.
fn carry_out(
    plan: &ChangePlan,
    telling: &Telling,
    nothing_to_do: &str,
    example: Option<String>,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if telling.json {
        if !telling.dry_run {
            step::apply(&plan.steps, |_| Ok(()))?;
        }
        let told = Told::of(plan, telling.dry_run, example.as_deref());
        writeln!(out, "{}", serde_json::to_string(&told)?)?;
        return Ok(());
    }
    if plan.steps.is_empty() {
        writeln!(out, "{nothing_to_do}")?;
    } else if telling.dry_run {
        writeln!(out, "these changes would be made:")?;
        plan.steps
            .iter()
            .try_for_each(|step| preview(&mut out, step))?;
    } else {
        step::apply(&plan.steps, |step| tell(&mut out, step))?;
    }
    let notes = plan.notes.iter().map(|note| format!("note: {note}"));
    let example = example.map(|example| format!("try: {example}"));
    let mut rest = notes.chain(example).chain(plan.last.clone());
    rest.try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(())
}

/// The same for programs: what `--json` prints.
#[derive(serde::Serialize)]
struct Told<'a> {
    dry_run: bool,
    /// Each with what becomes different by it.
    steps: Vec<ToldStep<'a>>,
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'a str>,
    /// What is left to be done by whoever called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct ToldStep<'a> {
    step: String,
    changes: &'a [String],
}

impl<'a> Told<'a> {
    fn of(plan: &'a ChangePlan, dry_run: bool, example: Option<&'a str>) -> Self {
        let steps = plan.steps.iter().map(|step| ToldStep {
            step: step.to_string(),
            changes: step.changes(),
        });
        Self {
            dry_run,
            steps: steps.collect(),
            notes: &plan.notes,
            example,
            last: plan.last.as_deref(),
        }
    }
}

fn tell(out: &mut impl Write, step: &Step) -> io::Result<()> {
    writeln!(out, "{step}")?;
    step.changes()
        .iter()
        .try_for_each(|change| writeln!(out, "  {change}"))
}

fn preview(out: &mut impl Write, step: &Step) -> io::Result<()> {
    tell(out, step)?;
    match step {
        Step::Write { before, after, .. } => {
            writeln!(
                out,
                "--- before\n{}+++ after\n{after}",
                before.as_deref().unwrap_or("(no file)\n")
            )
        }
        _ => Ok(()),
    }
}
