//! What is looked at, and what was found. An error is a text for people, its causes joined.

use super::place::Traces;
use super::process::ProcessFacts;
use crate::apparmor::Denied;
use crate::host::Host;
use crate::integrate::containerd::RunningConfig;
use crate::settings::UserNamespace;

/// All that was found.
#[derive(Debug)]
pub(super) struct Facts {
    /// About this process, where not only one engine was asked about.
    pub(super) here: Option<HereFacts>,
    /// About the host; none in a container that has no engine.
    pub(super) host: Option<HostFacts>,
}

/// Facts about this process, and where it runs.
#[derive(Debug)]
pub(super) struct HereFacts {
    pub(super) traces: Traces,
    pub(super) process: ProcessFacts,
    /// What came of trying each type of jail.
    pub(super) jails: Vec<JailTrial>,
}

/// What came of trying a type of jail.
#[derive(Debug)]
pub(super) struct JailTrial {
    /// The type, with its options.
    pub(super) jail: JailKind,
    /// What was said though it works, or why it doesn't.
    pub(super) outcome: Result<Vec<String>, String>,
}

/// A type of jail, with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JailKind {
    Nsjail,
    NsjailWithoutUserNamespace,
    Notify,
    Landjail,
}

/// Facts about the host.
#[derive(Debug)]
pub(super) struct HostFacts {
    /// Whether this was looked at with root's rights; without them little can be tried.
    pub(super) as_root: bool,
    /// The runtime that calls go to.
    pub(super) runtime: Result<RuntimeFacts, String>,
    /// The host's configuration, or its mistakes.
    pub(super) configuration: Result<SettingsFacts, Vec<String>>,
    /// Whether a gateway could be created, with its ruleset, its link and its sockets.
    pub(super) gateway: Result<(), String>,
    /// The kernel's switches.
    pub(super) host: Host,
    /// Whether a user namespace could be created.
    pub(super) user_namespace: Result<(), String>,
    /// The AppArmor profiles of containers that may nest, and what each denies of what nesting
    /// needs.
    pub(super) profiles: Vec<(String, Option<Denied>)>,
    /// How many neighbours the kernel learns, in IPv4 and IPv6 (`gc_thresh3`, arp(7)), for all
    /// network namespaces together; none where that can't be seen.
    pub(super) neighbours: Option<[u64; 2]>,
    /// Network namespaces that processes are in, but the host's.
    pub(super) networks: u64,
    pub(super) gateways: GatewayFacts,
    /// The engines on this host.
    pub(super) engines: Vec<EngineFacts>,
    pub(super) hooks: HookFacts,
}

/// Facts about hooks in the folder that engines look into by themselves.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct HookFacts {
    /// The programs that files there run as this program's hook, and whether each is there.
    pub(super) programs: Vec<(String, bool)>,
    /// The file to be copied there, where a package brought one.
    pub(super) packaged: Option<&'static str>,
}

/// Facts about the gateways on this host.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct GatewayFacts {
    /// How many containers have lost theirs, and with it their network.
    pub(super) lost: usize,
    /// How many run a program whose file was replaced since.
    pub(super) older: usize,
}

/// Facts about the real runtime.
#[derive(Debug)]
pub(super) struct RuntimeFacts {
    pub(super) name: &'static str,
    /// Its path; none for the embedded one.
    pub(super) path: Option<String>,
    pub(super) version: Result<String, String>,
    /// The hooks that it claims to run; none if it has no `features`.
    pub(super) hooks: Option<Vec<String>>,
    /// Whether it reports that it loads no seccomp filter.
    pub(super) ignores_seccomp: bool,
    /// The services that it needs and that can't be reached, each with the error.
    pub(super) unreachable: Vec<String>,
    pub(super) differences: &'static [&'static str],
}

/// The parts of the configuration that are judged here.
#[derive(Debug)]
pub(super) struct SettingsFacts {
    pub(super) user_namespace: UserNamespace,
    /// Number of valid policy files.
    pub(super) policies: usize,
    /// Mistakes in the others.
    pub(super) mistakes: Vec<String>,
    /// The default policy's file, if it is missing.
    pub(super) missing_default: Option<String>,
    /// What is wrong with files of `extra-ca`.
    pub(super) extra_ca: Vec<String>,
    pub(super) audit_directory: String,
    /// Whether records can be written.
    pub(super) audit: Result<(), String>,
    /// Bytes that are left for them; none where that can't be told.
    pub(super) space: Option<u64>,
}

/// An engine on this host.
#[derive(Debug)]
pub(super) struct EngineFacts {
    pub(super) name: &'static str,
    /// The runtime's name there.
    pub(super) runtime: String,
    /// Whether this very engine was asked about, and so has to offer the runtime.
    pub(super) asked_for: bool,
    /// Whether its configuration offers the runtime.
    pub(super) installed: Result<bool, String>,
    /// What a containerd or a CRI-O that runs goes by; none for other engines, and where it can't be told.
    pub(super) running: Option<RunningConfig>,
    /// Its own default runtime, where its configuration has it elsewhere than others of that name.
    pub(super) runs: Option<String>,
    /// What its program says of its version, where it was asked.
    pub(super) version: Option<String>,
    /// The dockerds that run.
    pub(super) dockerds: Vec<DockerdFacts>,
}

/// A dockerd that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DockerdFacts {
    /// The DNS servers of its command line and its file, as that is now.
    pub(super) dns: Vec<String>,
    /// Whether it was started with such.
    pub(super) goes_by_dns: bool,
    /// Whether it says that it has the runtime, where that is in its file.
    pub(super) knows_runtime: Result<bool, String>,
    /// What its command line and its file say of who manages control groups.
    pub(super) cgroup_driver: Option<String>,
}
