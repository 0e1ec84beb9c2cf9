//! `boundary-shim gen-seccomp`: writes a seccomp profile that lets a jail run inside a container,
//! for engines that don't use this runtime.
//!
//! Owns options, files and messages; `seccomp::generate` makes the profile.
//!
//! Invariant: nothing is written before everything has been checked.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::seccomp::catalogue::{self, Engine};
use crate::seccomp::docker::profile::{LONGEST, Profile};
use crate::seccomp::docker::resolve::{Arch, Generation, Target, kernel_of};
use crate::seccomp::generate::{DEFAULT_CAPABILITIES, Form, Origin, generate};
use crate::seccomp::patch::Changes;
use crate::seccomp::tier::Tier;
use crate::sys::file;

/// `gen-seccomp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Tiers: nsjail    user and network namespaces by clone(2): coder/boundary's nsjail, Go's SysProcAttr
       unshare   the same, also by unshare(2): unshare -Urn
       chromium  user, network and pid namespaces: a browser's sandbox
       bwrap     all namespaces, and the mounts that bubblewrap makes
       seed      clone(2) with any flags, as in many hand-edited profiles

Use the docker format with docker run --security-opt seccomp=FILE. As a Kubernetes Localhost profile under containerd it is a
SECURITY HOLE: containerd ignores the conditions of its rules, and so allows mount, setns, bpf and more. Use --format oci there.

Examples:
  boundary-shim gen-seccomp > nsjail.json
  boundary-shim gen-seccomp --tier bwrap --docker-version 25.0 --output bwrap.json --explain
  boundary-shim gen-seccomp --format oci --engine containerd > localhost-profile.json")]
pub struct GenSeccompArguments {
    /// Start from Docker's default profile of this version (20.10 to 29; default: the newest)
    #[arg(long, value_name = "V", conflicts_with_all = ["engine", "base"])]
    docker_version: Option<String>,
    /// Start from this engine's newest default profile
    #[arg(long, value_name = "ENGINE", value_parser = engine, conflicts_with = "base")]
    engine: Option<Engine>,
    /// Start from your own profile in Docker's format (- for standard input); unknown fields are
    /// kept
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// What a container may nest inside itself
    #[arg(long, default_value = "nsjail", value_parser = tier)]
    tier: Tier,
    /// docker: for docker run --security-opt; oci: for Kubernetes, resolved for one architecture
    /// and set of capabilities
    #[arg(long, default_value = "docker", value_parser = format)]
    format: Form,
    /// With --format oci: the architecture (amd64, arm64, …; default: this machine's)
    #[arg(long, value_name = "A", value_parser = architecture)]
    arch: Option<Arch>,
    /// With --format oci: the container's capabilities (CAP_CHOWN,…; default: Docker's)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    caps: Option<Vec<String>>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Explain what was changed and what that allows; the profile itself is written only to
    /// --output
    #[arg(long)]
    explain: bool,
}

fn engine(word: &str) -> Result<Engine, String> {
    Engine::parse(word).ok_or_else(|| "expected docker, containerd or podman".to_owned())
}

fn tier(word: &str) -> Result<Tier, String> {
    Tier::parse(word).ok_or_else(|| "expected nsjail, unshare, chromium, bwrap or seed".to_owned())
}

fn format(word: &str) -> Result<Form, String> {
    match word {
        "docker" => Ok(Form::Docker),
        "oci" => Ok(Form::Oci),
        _ => Err("expected docker or oci".to_owned()),
    }
}

fn architecture(word: &str) -> Result<Arch, String> {
    Arch::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Arch::all().map(Arch::name).collect();
        format!("expected one of {}", known.join(", "))
    })
}

/// Makes the profile and writes it.
///
/// # Errors
/// A base that can't be read or patched, an unknown version, a self-check that failed, a file that
/// can't be written: nothing is written then.
pub fn run(arguments: &GenSeccompArguments) -> Result<()> {
    if arguments.format == Form::Docker && (arguments.arch.is_some() || arguments.caps.is_some()) {
        bail!(
            "--arch and --caps need --format oci: --format docker keeps all of a profile's rules"
        );
    }
    let (base, name) = base(arguments)?;
    let caps = arguments
        .caps
        .clone()
        .unwrap_or_else(|| DEFAULT_CAPABILITIES.map(str::to_owned).to_vec());
    let target = Target {
        bounding: &caps,
        architecture: arguments.arch.map_or_else(here, Ok)?,
        kernel: kernel()?,
        generation: Generation::V23,
    };
    let origin = if arguments.base.is_some() {
        Origin::Theirs
    } else {
        Origin::Ours
    };
    let made = generate(&base, origin, arguments.tier, arguments.format, &target)
        .with_context(|| name.clone())?;
    let mut text = serde_json::to_string_pretty(&made.profile)?;
    text.push('\n');
    if let Some(output) = &arguments.output {
        file::replace(output, text.as_bytes(), 0o644)
            .with_context(|| format!("can't write {}", output.display()))?;
    }
    let shown = match (arguments.explain, &arguments.output) {
        (true, _) => explanation(&name, arguments.tier, &made.changes),
        (false, None) => text,
        (false, Some(_)) => return Ok(()),
    };
    Ok(io::stdout().write_all(shown.as_bytes())?)
}

/// What was changed, for people.
fn explanation(name: &str, tier: Tier, changes: &Changes) -> String {
    let lines: Vec<String> = changes
        .0
        .iter()
        .map(|change| format!("  {change}\n"))
        .collect();
    let proof = "No other system call is affected: both profiles were compiled with libseccomp and compared.\n";
    format!(
        "{name}, tier {}:\n\n{}\n{proof}",
        tier.name(),
        lines.concat()
    )
}

/// The profile to patch, and its name in messages.
fn base(arguments: &GenSeccompArguments) -> Result<(Profile, String)> {
    if let Some(path) = &arguments.base {
        let name = if path == Path::new("-") {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        let text = read(path).with_context(|| format!("can't read {name}"))?;
        let profile = Profile::read(&text).with_context(|| name.clone())?;
        return Ok((profile, name));
    }
    let engine = arguments.engine.unwrap_or(Engine::Docker);
    let version = arguments.docker_version.as_deref();
    let profile =
        Profile::of(catalogue::profile(engine, version)?).context("in a built-in profile")?;
    let name = match version {
        Some(version) => format!("{}'s default profile, version {version}", engine.name()),
        None => format!("{}'s newest default profile", engine.name()),
    };
    Ok((profile, name))
}

/// Reads at most one byte more than a profile may have: the parser then reports that it is too
/// long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut text)?;
    }
    Ok(text)
}

fn here() -> Result<Arch> {
    let machine = std::env::consts::ARCH;
    Arch::parse(machine)
        .with_context(|| format!("unsupported architecture {machine}: choose one with --arch"))
}

fn kernel() -> Result<(u32, u32)> {
    let release = nix::sys::utsname::uname()
        .context("can't determine the kernel's release")?
        .release()
        .to_owned();
    release
        .to_str()
        .and_then(kernel_of)
        .ok_or_else(|| anyhow!("malformed kernel release {release:?}"))
}
