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
use self::words::{InstallEngine, KubernetesWords, PolicyArgument, UninstallEngine};
use crate::container::state;
use crate::integrate::apparmor::AppArmor;
use crate::integrate::change_plan::ChangePlan;
use crate::integrate::step::{self, Step};
use crate::integrate::{self, Installation, kubernetes};
use crate::settings;

/// Runs `install`.
///
/// # Errors
/// Not root, or why the engine's configuration was left alone.
pub fn install(arguments: InstallArguments) -> anyhow::Result<()> {
    let (target, dry_run, PolicyArgument { policy }) = match arguments.engine {
        InstallEngine::Docker(words) => {
            let (target, dry_run, more) = words.meant();
            (more.applied_to(target), dry_run, more.policy)
        }
        InstallEngine::Containerd(words) => words.meant(),
        InstallEngine::Podman(words) => words.meant(),
        InstallEngine::Crio(words) => words.meant(),
        InstallEngine::Kubernetes(words) => return print_or_apply(&words),
    };
    require_root()?;
    let plan = integrate::install(&target.engine, &installation()?, &target.name, &policy)?;
    carry_out(&plan, dry_run, "already installed")?;
    if let Some(example) = target.example {
        writeln!(io::stdout(), "try: {example}")?;
    }
    if let Some(last) = plan.last {
        writeln!(io::stdout(), "{last}")?;
    }
    Ok(())
}

/// Runs `uninstall`.
///
/// # Errors
/// Not root, or why the engine's configuration was left alone; pods still need it.
pub fn uninstall(arguments: UninstallArguments) -> anyhow::Result<()> {
    // Whether what runs may still need it.
    let mut needed = false;
    let (target, dry_run, ()) = match arguments.engine {
        UninstallEngine::Docker(words) => words.meant(),
        UninstallEngine::Containerd(words) => {
            let (target, dry_run, own) = words.meant();
            needed = !own.force;
            (target, dry_run, ())
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
        running::refuse()?;
    }
    let plan = integrate::uninstall(&target.engine, &installation()?, &target.name)?;
    carry_out(&plan, dry_run, "not installed")
}

fn print_or_apply(words: &KubernetesWords) -> anyhow::Result<()> {
    let manifests =
        kubernetes::manifests(&words.name, &words.policy, &words.image, &words.layout())?;
    if words.apply {
        kubernetes::apply(&manifests).context("kubectl apply")
    } else {
        Ok(io::stdout().write_all(manifests.as_bytes())?)
    }
}

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

fn carry_out(plan: &ChangePlan, dry_run: bool, nothing_to_do: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if plan.steps.is_empty() {
        writeln!(out, "{nothing_to_do}")?;
    } else if dry_run {
        writeln!(out, "these changes would be made:")?;
        plan.steps
            .iter()
            .try_for_each(|step| preview(&mut out, step))?;
    } else {
        step::apply(&plan.steps, |step| tell(&mut out, step))?;
    }
    plan.notes
        .iter()
        .try_for_each(|note| writeln!(out, "note: {note}"))?;
    Ok(())
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
