//! Which DNS servers to write to `dns`: ones that respond, and that keep up when the host's change.
//!
//! Where systemd-resolved serves the host by its stub on loopback, it alone knows the servers of
//! the moment (a laptop's change with every network): it is told to listen on the bridge's address
//! too, and that address is named. Else the host's resolv.conf names servers that others can ask as
//! well. Plans only.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::daemon_json::DaemonJson;
use crate::dockerd::Daemon;
use crate::integrate::dns_probe;
use crate::integrate::step::Step;
use crate::resolv_conf;

/// systemd's name for it.
pub(super) const RESOLVED: &str = "systemd-resolved.service";
/// The address of Docker's bridge where nobody said another (`bip`).
const BRIDGE: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));
/// How our file for systemd-resolved begins.
const HEADER: &str = "# Made by boundary-shim: lets containers ask this host's resolver.\n";

/// What the host has of DNS.
#[derive(Debug)]
pub struct HostDns {
    /// Where the host's DNS servers are written, the best first.
    pub resolv_confs: Vec<PathBuf>,
    /// The directory that is there while systemd-resolved runs.
    pub resolved: PathBuf,
    /// Our file for systemd-resolved.
    pub drop_in: PathBuf,
    /// Whether a server answers.
    pub answers: fn(IpAddr) -> bool,
}

impl HostDns {
    /// That of this host.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self {
            resolv_confs: resolv_conf::HOST.map(PathBuf::from).to_vec(),
            resolved: "/run/systemd/resolve".into(),
            drop_in: "/etc/systemd/resolved.conf.d/boundary.conf".into(),
            answers: dns_probe::answers,
        }
    }

    /// The servers to name; else why there is none.
    pub(super) fn choose(
        &self,
        config: &DaemonJson,
        daemons: &[Daemon],
    ) -> Result<Servers, String> {
        let named = self
            .resolv_confs
            .first()
            .map(|path| resolv_conf::nameservers(&resolv_conf::text(path)));
        let only_loopback =
            named.is_some_and(|named| !named.is_empty() && named.iter().all(IpAddr::is_loopback));
        if only_loopback && self.resolved.exists() {
            return self
                .bridge(config, daemons)
                .map(Servers::Resolved)
                .ok_or_else(|| {
                    "Docker has no bridge address for systemd-resolved to listen on".to_owned()
                });
        }
        let usable = resolv_conf::servers(&self.resolv_confs);
        if usable.is_empty() {
            return Err("this host has no DNS server that containers could reach".to_owned());
        }
        let (answering, silent): (Vec<_>, Vec<_>) = usable
            .into_iter()
            .partition(|server| (self.answers)(*server));
        if answering.is_empty() {
            let silent: Vec<_> = silent.iter().map(ToString::to_string).collect();
            return Err(format!(
                "this host's DNS servers ({}) don't respond",
                silent.join(", ")
            ));
        }
        Ok(Servers::Named(answering))
    }

    fn bridge(&self, config: &DaemonJson, daemons: &[Daemon]) -> Option<IpAddr> {
        let flag = |name: &str| {
            daemons
                .iter()
                .find_map(|daemon| Some((*daemon.flag(name).last()?).to_owned()))
        };
        if flag("--bridge")
            .or_else(|| config.text_of("bridge"))
            .is_some_and(|bridge| bridge != "docker0")
        {
            return None;
        }
        match flag("--bip").or_else(|| config.text_of("bip")) {
            Some(bip) => bip.split('/').next()?.parse().ok(),
            None => Some(BRIDGE),
        }
    }

    /// What makes systemd-resolved listen there.
    pub(super) fn listen(&self, address: IpAddr) -> Vec<Step> {
        let before = std::fs::read_to_string(&self.drop_in).ok();
        let after = format!("{HEADER}[Resolve]\nDNSStubListenerExtra={address}\n");
        let write = Step::Write {
            path: self.drop_in.clone(),
            before,
            after,
            changes: vec![format!("systemd-resolved also listens on {address}")],
        };
        vec![
            write,
            Step::Restart(RESOLVED.to_owned()),
            Step::Ask(address),
        ]
    }

    /// Our file for systemd-resolved, if it is there and ours.
    pub(super) fn own_drop_in(&self) -> Option<String> {
        std::fs::read_to_string(&self.drop_in)
            .ok()
            .filter(|text| text.starts_with(HEADER))
    }
}

/// The servers that `dns` is to name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Servers {
    /// systemd-resolved, once it listens on this address of the bridge.
    Resolved(IpAddr),
    /// The host's own.
    Named(Vec<IpAddr>),
}
