//! Which DNS servers `dns` is to name: ones that answer, and that follow the host's when these
//! change.
//!
//! Where systemd-resolved serves the host by its stub on loopback, it alone knows the servers of
//! the moment (a laptop's change with every network): it is told to listen on the bridge's address
//! too, and that address is named. Else the host's resolv.conf names servers that others can ask as
//! well. Plans only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::config_file::ConfigFile;
use crate::dockerd::Daemon;
use crate::integrate::step::Step;
use crate::resolv_conf;
use crate::sys::socket;

/// systemd's name for it.
pub(super) const RESOLVED: &str = "systemd-resolved.service";
/// The address of Docker's bridge where nobody said another (`bip`).
const BRIDGE: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
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
            answers,
        }
    }

    /// The servers to name; else why there is none.
    pub(super) fn choose(&self, file: &ConfigFile, daemons: &[Daemon]) -> Result<Servers, String> {
        let named = self
            .resolv_confs
            .first()
            .map(|path| resolv_conf::nameservers(&resolv_conf::text(path)));
        let only_loopback =
            named.is_some_and(|named| !named.is_empty() && named.iter().all(IpAddr::is_loopback));
        if only_loopback && self.resolved.exists() {
            return self
                .bridge(file, daemons)
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

    fn bridge(&self, file: &ConfigFile, daemons: &[Daemon]) -> Option<IpAddr> {
        let flag = |name: &str| {
            daemons
                .iter()
                .find_map(|daemon| Some((*daemon.flag(name).last()?).to_owned()))
        };
        if flag("--bridge")
            .or_else(|| file.json.text_of("bridge"))
            .is_some_and(|bridge| bridge != "docker0")
        {
            return None;
        }
        match flag("--bip").or_else(|| file.json.text_of("bip")) {
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

/// Asks for the root's name servers, as every resolver is asked all day. Any answer but a refusal
/// will do: what the server can reach at the moment is not our business.
pub(crate) fn answers(server: IpAddr) -> bool {
    serves(SocketAddr::new(server, 53))
}

fn serves(server: SocketAddr) -> bool {
    // RFC 1035: id, recursion desired, one question: `.`, NS, IN.
    const QUESTION: [u8; 17] = [0xb0, 0xda, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    const REFUSED: u8 = 5;
    match socket::ask(server, &QUESTION, PATIENCE) {
        Ok(answer) => {
            matches!(*answer, [0xb0, 0xda, flags, code, ..] if flags & 0x80 != 0 && code & 0xf != REFUSED)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a server counts that sends this back for the question, its flags changed.
    fn counts(reply: impl FnOnce(&mut Vec<u8>) + Send + 'static) -> bool {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = server.local_addr().expect("its address");
        let serving = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, client) = server.recv_from(&mut buffer).expect("a question");
            let mut answer = buffer[..length].to_vec();
            reply(&mut answer);
            server.send_to(&answer, client).expect("sent");
        });
        let counted = serves(address);
        serving.join().expect("it ends");
        counted
    }

    #[test]
    fn a_server_counts_that_answers_and_does_not_refuse() {
        assert!(counts(|answer| answer[2] |= 0x80));
        assert!(
            counts(|answer| (answer[2], answer[3]) = (0x81, 2)),
            "what it can reach is not our business"
        );
        assert!(
            !counts(|answer| (answer[2], answer[3]) = (0x81, 5)),
            "refused"
        );
        assert!(!counts(|_| ()), "a question is no answer");
        assert!(
            !counts(|answer| (answer[0], answer[2]) = (0, 0x81)),
            "to another question"
        );
        assert!(!counts(|answer| answer.truncate(3)));
    }

    #[test]
    fn where_nobody_serves_nobody_answers() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("an address");
        assert!(!serves(free));
    }
}
