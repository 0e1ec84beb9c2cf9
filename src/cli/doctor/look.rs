//! Collects the facts: does what the start of a container and of a jail does and undoes it at once, and
//! asks the programs that would be called.
//!
//! Changes nothing on the host. Lists of modules and versions say little about what a kernel can
//! do, so things are tried instead.

mod engines;
mod gateway;
mod hooks;
mod jails;
mod process;
mod runtime;
mod settings;
mod traces;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::facts::{Facts, GatewayFacts, HereFacts, HostFacts};
use super::place;
use crate::apparmor::{self, Denied};
use crate::cli::install::{InstallTarget, installation};
use crate::container::state;
use crate::host::Host;
use crate::runtime::runtimes::RealRuntime;
use crate::seccomp::tier::Tier;
use crate::sys::exec;
use crate::sys::process::Trial;

/// Looks at this process and this host, or at what one engine needs: that is asked about often, and by
/// who waits for it.
///
/// # Errors
/// This program's own file can't be found.
pub(super) fn look(config: Option<&Path>, only: Option<InstallTarget>) -> anyhow::Result<Facts> {
    if only.is_some() {
        let host = Some(host(config, only)?);
        return Ok(Facts { here: None, host });
    }
    // First of all: it takes a process with but one thread.
    let process = process::look();
    let traces = traces::look(engines::are_here());
    let in_container = place::recognise(&traces).container.is_some();
    let host = (!in_container).then(|| host(config, None)).transpose()?;
    let here = Some(HereFacts {
        traces,
        process,
        jails: jails::tried(),
    });
    Ok(Facts { here, host })
}

/// `only`: what nothing else is looked at for.
fn host(config: Option<&Path>, only: Option<InstallTarget>) -> anyhow::Result<HostFacts> {
    let settings = crate::settings::load(config);
    // With a broken configuration no runtime is called: report the one used without configuration.
    let configured = settings
        .as_ref()
        .ok()
        .and_then(|settings| settings.runtime.clone());
    let nesting = settings.as_ref().ok().and_then(|settings| settings.nesting);
    Ok(HostFacts {
        as_root: geteuid().is_root(),
        runtime: RealRuntime::choose(configured.as_deref())
            .map(|real| runtime::ask(&real))
            .map_err(|error| format!("{error:#}")),
        configuration: settings
            .map(|settings| settings::judge(&settings, only.is_none()))
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect()),
        gateway: gateway::make_a_gateway().map_err(|error| format!("{error:#}")),
        host: Host::read(),
        user_namespace: crate::sys::process::try_in_child(Trial::UserNamespace, None)
            .map_err(|error| error.to_string()),
        profiles: nesting.map(profiles).unwrap_or_default(),
        neighbours: neighbours(),
        networks: networks(),
        gateways: gateways(),
        engines: engines::engines(&installation()?, only),
        hooks: hooks::look(),
    })
}

fn gateways() -> GatewayFacts {
    let records = state::list().unwrap_or_default();
    let lost = records
        .iter()
        .filter(|record| record.has_lost_its_gateway());
    let keepers = records
        .iter()
        .filter(|record| record.is_kept())
        .filter_map(|record| record.proxy);
    let older = keepers.filter(|keeper| exec::was_replaced(keeper.pid) == Some(true));
    GatewayFacts {
        lost: lost.count(),
        older: older.count(),
    }
}

/// Those that processes are in, without this one's own.
fn networks() -> u64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let links = processes.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        std::fs::read_link(path.join("ns/net")).ok()
    });
    let mut all: HashSet<PathBuf> = links.collect();
    if let Ok(own) = std::fs::read_link("/proc/self/ns/net") {
        all.remove(&own);
    }
    u64::try_from(all.len()).unwrap_or(u64::MAX)
}

/// What the kernel tells in the first network namespace alone. One without IPv6 isn't judged.
fn neighbours() -> Option<[u64; 2]> {
    let most = |family: &str| {
        let file = format!("/proc/sys/net/{family}/neigh/default/gc_thresh3");
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    Some([most("ipv4")?, most("ipv6")?])
}

/// The profiles that containers get, tried out by a confined child: ours, or if it isn't loaded the
/// engines' own.
fn profiles(tier: Tier) -> Vec<(String, Option<Denied>)> {
    if !apparmor::kernel::is_enabled() {
        return Vec::new();
    }
    let ours = apparmor::profiles::for_tier(tier);
    let loaded = apparmor::kernel::loaded();
    let has_ours = loaded.iter().any(|profile| profile == ours);
    let given = |profile: &String| {
        if has_ours {
            profile == ours
        } else {
            apparmor::is_engine_default(profile)
        }
    };
    let tried = loaded.into_iter().filter(given).map(|profile| {
        let denied = apparmor::kernel::denies(&profile, tier);
        (profile, denied)
    });
    tried.collect()
}
