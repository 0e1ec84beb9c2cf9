//! The ways of running something filtered: which of them work here, what stands in the way of the
//! others, and what mends it.
//!
//! Pure. A jail's own words say why it can't be had (`jail::Obstacle`, the one table of that); here
//! they become lines to type, for whoever can.

mod engines;

pub(super) use self::engines::HOOKS;
use super::facts::{HereFacts, HostFacts, JailKind, JailTrial};
use super::host::HostFindings;
use super::place::{ContainerKind, Place, Platform};
use super::process::ProcessFacts;
use super::report::{Audience, Fix, Way};
use crate::jail::Obstacle;

/// All ways, the strongest first. `host`: none in a container.
pub(super) fn ways(
    here: &HereFacts,
    place: &Place,
    host: Option<(&HostFacts, &HostFindings)>,
) -> Vec<Way> {
    let mut all = engines::ways(host);
    let jails = here.jails.iter();
    all.extend(jails.map(|trial| jail(trial, place, &here.process)));
    all
}

impl JailKind {
    /// All types, the strongest first.
    pub(super) const ALL: [Self; 4] = [
        Self::Nsjail,
        Self::NsjailWithoutUserNamespace,
        Self::Notify,
        Self::Landjail,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Nsjail => "nsjail",
            Self::NsjailWithoutUserNamespace => "nsjail-no-user-namespace",
            Self::Notify => "notify",
            Self::Landjail => "landjail",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Nsjail => "boundary-shim jail --jail-type nsjail -- COMMAND",
            Self::NsjailWithoutUserNamespace => {
                "boundary-shim jail --jail-type nsjail --no-user-namespace -- COMMAND"
            }
            Self::Notify => "boundary-shim jail --jail-type notify -- COMMAND",
            Self::Landjail => "boundary-shim jail --jail-type landjail -- COMMAND",
        }
    }

    /// The options that ask for it.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Nsjail => &["--jail-type", "nsjail"],
            Self::NsjailWithoutUserNamespace => &["--jail-type", "nsjail", "--no-user-namespace"],
            Self::Notify => &["--jail-type", "notify"],
            Self::Landjail => &["--jail-type", "landjail"],
        }
    }
}

fn jail(trial: &JailTrial, place: &Place, process: &ProcessFacts) -> Way {
    let (works, why, warnings, fixes) = match &trial.outcome {
        Ok(warnings) => (true, None, warnings.clone(), Vec::new()),
        Err(why) => {
            let fixes = fixes(why, trial.jail, place, process);
            (false, Some(why.clone()), Vec::new(), fixes)
        }
    };
    Way {
        name: trial.jail.name(),
        command: trial.jail.command(),
        works: Some(works),
        why,
        warnings,
        fixes,
    }
}

/// What mends a way, for those who can do something here.
fn fixes(why: &str, jail: JailKind, place: &Place, process: &ProcessFacts) -> Vec<Fix> {
    let all = match Obstacle::told_in(why) {
        Some(obstacle) => mending(obstacle, place, process),
        None if jail == JailKind::Nsjail => ubuntus(process),
        None => Vec::new(),
    };
    let fix = |(whom, line): (Audience, String)| Fix { whom, line };
    let all = all.into_iter().filter(|(whom, _)| place.has(*whom));
    all.map(fix).collect()
}

impl Place {
    /// Whether there is somebody here who can do what is for them.
    fn has(&self, whom: Audience) -> bool {
        let on = |platform| self.platforms.contains(&platform);
        let unmarked = self.container == Some(ContainerKind::Other);
        match whom {
            _ if on(Platform::Fargate) || on(Platform::EksAuto) => false,
            Audience::Shell => self.container.is_none(),
            // Nobody has a shell there.
            Audience::Host => !on(Platform::Bottlerocket) && !on(Platform::Talos),
            Audience::Bottlerocket => on(Platform::Bottlerocket),
            Audience::Docker => {
                unmarked
                    || matches!(
                        self.container,
                        Some(ContainerKind::Docker | ContainerKind::Podman)
                    )
            }
            Audience::Pod => unmarked || self.container == Some(ContainerKind::Pod),
        }
    }
}

type Lines = Vec<(Audience, String)>;

fn mending(obstacle: Obstacle, place: &Place, process: &ProcessFacts) -> Lines {
    match obstacle {
        Obstacle::Seccomp => seccomp(place),
        Obstacle::SecurityModule => security(place, process),
        Obstacle::NamespacesUsedUp => namespaces(process),
        Obstacle::KernelSetting => {
            let shut = process.number("kernel.unprivileged_userns_clone") == Some(0);
            let line = (Audience::Host, sysctl("kernel.unprivileged_userns_clone=1"));
            shut.then_some(line).into_iter().collect()
        }
        Obstacle::RootWithoutSetfcap => vec![
            (Audience::Docker, "--user 1000".to_owned()),
            (Audience::Docker, "--cap-add SETFCAP".to_owned()),
            (Audience::Pod, "securityContext: {runAsUser: 1000}".to_owned()),
            (Audience::Pod, added_capabilities("SETFCAP")),
        ],
        Obstacle::NoCapabilities => vec![
            (
                Audience::Shell,
                "sudo boundary-shim jail --jail-type nsjail --no-user-namespace -- COMMAND".to_owned(),
            ),
            (
                Audience::Docker,
                "--cap-add SYS_ADMIN --cap-add NET_ADMIN".to_owned(),
            ),
            (Audience::Pod, added_capabilities("SYS_ADMIN, NET_ADMIN")),
        ],
        Obstacle::TracingNeedsRight => vec![
            (Audience::Host, sysctl("kernel.yama.ptrace_scope=1")),
            (Audience::Docker, "--cap-add SYS_PTRACE".to_owned()),
            (Audience::Pod, added_capabilities("SYS_PTRACE")),
        ],
        Obstacle::NoTracing => vec![(
            Audience::Host,
            "echo kernel.yama.ptrace_scope=1 > /etc/sysctl.d/99-boundary.conf, without another file that sets 3, and reboot"
                .to_owned(),
        )],
        Obstacle::NoNamespaces
        | Obstacle::AnotherSupervisor
        | Obstacle::NoNotification
        | Obstacle::NotificationDenied
        | Obstacle::NoLandlock => Vec::new(),
    }
}

fn sysctl(setting: &str) -> String {
    format!("sysctl -w {setting}")
}

fn added_capabilities(list: &str) -> String {
    format!("securityContext: {{capabilities: {{add: [{list}]}}}}")
}

/// The profile's file, where Docker and where the kubelet look for it: a node has to be given one.
fn seccomp(place: &Place) -> Lines {
    let profile = |form: &str, file: &str| {
        let line = format!("boundary-shim gen-seccomp{form} --output {file}");
        (Audience::Host, line)
    };
    let in_docker = place.has(Audience::Docker).then(|| {
        [
            profile("", "boundary.json"),
            (
                Audience::Docker,
                "--security-opt seccomp=boundary.json".to_owned(),
            ),
            (Audience::Docker, "--runtime=boundary".to_owned()),
        ]
    });
    let in_pod = (place.has(Audience::Pod) && place.has(Audience::Host)).then(|| {
        [
            profile(" --format oci", "/var/lib/kubelet/seccomp/boundary.json"),
            (
                Audience::Pod,
                "securityContext: {seccompProfile: {type: Localhost, localhostProfile: boundary.json}}".to_owned(),
            ),
        ]
    });
    in_docker
        .into_iter()
        .flatten()
        .chain(in_pod.into_iter().flatten())
        .collect()
}

fn security(place: &Place, process: &ProcessFacts) -> Lines {
    // SELinux's contexts have colons, AppArmor's profiles of engines don't.
    let label = process.security_label.as_deref().unwrap_or_default();
    if label.contains(':') {
        let allowed = format!("allow user_namespace {{ create }} in SELinux's policy for {label}");
        return vec![(Audience::Host, allowed)];
    }
    // To install loads the profile.
    let in_docker = [
        (Audience::Host, "boundary-shim install docker"),
        (Audience::Docker, "--security-opt apparmor=boundary-default"),
        (Audience::Docker, "--runtime=boundary"),
    ];
    let in_pod = [
        (Audience::Host, "boundary-shim install containerd"),
        (
            Audience::Pod,
            "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: boundary-default}}",
        ),
    ];
    let can = |whom| place.has(whom) && place.has(Audience::Host);
    let given = |whom, lines| Vec::from_iter(can(whom).then_some(lines));
    let in_docker = given(Audience::Docker, &in_docker[..]);
    let all = in_docker.into_iter().chain(given(Audience::Pod, &in_pod));
    all.flatten()
        .map(|(whom, line)| (*whom, (*line).to_owned()))
        .collect()
}

fn namespaces(process: &ProcessFacts) -> Lines {
    let users = "user.max_user_namespaces";
    let networks = "user.max_net_namespaces";
    let which = if process.number(networks) == Some(0) && process.number(users) != Some(0) {
        networks
    } else {
        users
    };
    vec![
        (Audience::Host, sysctl(&format!("{which}=65536"))),
        (
            Audience::Bottlerocket,
            format!("[settings.kernel.sysctl]\n\"{which}\" = \"65536\""),
        ),
    ]
}

/// A namespace can be made there, but is of no use: the jail fails in it, with the kernel's words.
fn ubuntus(process: &ProcessFacts) -> Lines {
    let switch = "kernel.apparmor_restrict_unprivileged_userns";
    let on = process.number(switch) == Some(1);
    on.then(|| (Audience::Host, sysctl(&format!("{switch}=0"))))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests;
