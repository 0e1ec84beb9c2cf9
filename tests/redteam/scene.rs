//! The place where attacks happen: a private host with a neighbour and an attacker's machine that
//! hears everything, and a container to attack from; and the judge, who looks from outside only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use test_support::bed::{Bed, Capture};
use test_support::command::{Answer, comes_about, shell};
use test_support::docker::{Container, IMAGE, engine_version};
use test_support::hosts::ATTACKER;
use test_support::programs::REPOSITORY;

use crate::old_tls::OldTls;
use crate::pairing::{Circumstances, Engine, Family, Nesting, Runtime, User};
use crate::row::{APPROVED, Control, Counts, Meanwhile, Need, Row, Trace};
use crate::wire::{Uplink, length, packets, tells};

/// From this version on networks are attached after the container was made.
const NEWER_DOCKER: u32 = 26;
/// How long the network of a container may take to recover from what it did to itself.
const AWAKE_WITHIN: Duration = Duration::from_secs(45);
/// How long the little internet may still answer one whose container is gone: what [`World::up`] sets
/// takes three seconds.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(30);
/// How long an attack may take to get ready for what the host does.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a packet takes into its capture's file on a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// A user without privileges, and what takes every privilege away.
const SOMEBODY: &str = "1000:1000";
const BARE: [&str; 4] = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

/// The private host, with everyone who listens.
pub(crate) struct World {
    pub(crate) bed: Bed,
    neighbour: (Ipv4Addr, Ipv6Addr),
    internet: Capture,
    _old_tls: OldTls,
}

/// Which of the two ways of attaching networks this run's Docker has.
pub(crate) fn engine() -> Engine {
    // An unknown version is taken for a new one.
    if engine_version().is_some_and(|version| version < NEWER_DOCKER) {
        Engine::Older
    } else {
        Engine::Newer
    }
}

impl World {
    pub(crate) fn up() -> Self {
        let bed = Bed::up("docker", "tests/redteam/etc", |bin| {
            // What a user without root's capabilities finds in many images: a program with a file
            // capability.
            shell(
                "cp \"$1/attacker\" \"$1/attacker-raw\" && setcap cap_net_raw+ep \"$1/attacker-raw\"",
                &[bin.into()],
            );
            symlink("boundary-shim", bin.join("boundary-none")).expect("a link");
        });
        let script =
            "\"$1\" \"$2\" curl ip nft \"$3\" \"$4\" | docker --host \"unix://$5\" import - \"$6\"";
        let [authority, attacker, raw, socket] = [
            "ca/ca.pem",
            "bin/attacker",
            "bin/attacker-raw",
            "docker.sock",
        ]
        .map(|name| bed.path(name));
        let image = Path::new(REPOSITORY).join("scripts/bed-image");
        shell(
            script,
            &[image, authority, attacker, raw, socket, IMAGE.into()],
        );
        let run = [
            "run",
            "--detach",
            "--runtime",
            "runc",
            "--name",
            "neighbour",
            IMAGE,
            "sleep",
            "3600",
        ];
        bed.docker(&run).must_succeed();
        let inspect = |field: &str| {
            let format = format!("{{{{.NetworkSettings.Networks.bridge.{field}}}}}");
            bed.docker(&["inspect", "--format", &format, "neighbour"])
                .must_succeed()
                .stdout
                .trim()
                .to_owned()
        };
        let neighbour = (
            inspect("IPAddress").parse().unwrap(),
            inspect("GlobalIPv6Address").parse().unwrap(),
        );
        let old_tls = OldTls::start(&bed);
        let internet = Capture::begin(&bed, &bed.inside("/run/netns/internet"), "outside", "in");
        let world = Self {
            bed,
            neighbour,
            internet,
            _old_tls: old_tls,
        };
        // Once, not five times in a minute: see `nobody_is_answered_who_is_gone`.
        world.in_the_internet("echo 1 > /proc/sys/net/ipv4/tcp_synack_retries");
        world
    }

    /// What a shell says in the little internet.
    fn in_the_internet(&self, script: &str) -> String {
        let enter = ["nsenter", "--net=/run/netns/internet", "sh", "-c", script];
        self.bed.exec(&enter).must_succeed().stdout.clone()
    }

    /// Waits until the little internet has given up every connection that was only half opened. What it
    /// still says to a container that is gone reaches the next one with its address, and is answered
    /// with a reset from there, as what comes from outside is.
    pub(crate) fn nobody_is_answered_who_is_gone(&self) -> Result<(), String> {
        let half_open = "ss --no-header --tcp --numeric state syn-recv";
        let given_up = comes_about(GIVEN_UP_WITHIN, || {
            self.in_the_internet(half_open).is_empty()
        });
        if given_up {
            Ok(())
        } else {
            Err(format!(
                "connections are half open after {GIVEN_UP_WITHIN:?}"
            ))
        }
    }
}

/// One attempt: a container, a secret that nobody else knows, and those who would be glad to hear
/// it.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    container: Container<'a>,
    pub(crate) circumstances: Circumstances,
    /// Whether the filter is in the way.
    pub(crate) filtered: bool,
    pub(crate) secret: String,
    uplink: (Capture, Uplink),
    /// Where in the attacker's machine's capture this attempt begins.
    before: usize,
}

impl<'a> Scene<'a> {
    /// Starts a container for an attempt, and listens on its uplink.
    pub(crate) fn set(
        world: &'a World,
        row: &Row,
        circumstances: Circumstances,
        filtered: bool,
    ) -> Self {
        let runtime = match (filtered, row.control) {
            (true, _) => shim(row.settings, circumstances),
            (false, Control::Filtered(settings, _)) => shim(settings, circumstances),
            (false, Control::NoFilter) => "runc".to_owned(),
        };
        let mut flags = Vec::new();
        if row.needs.contains(&Need::Unprivileged) {
            flags.extend(BARE);
        }
        // Who attacks without the filter gets by a flag what nesting gives with it.
        let lent = !filtered && row.needs.contains(&Need::NetAdmin);
        if lent {
            flags.extend(["--cap-add", "NET_ADMIN"]);
        }
        if circumstances.user == User::Somebody && !lent {
            flags.extend(["--user", SOMEBODY]);
        }
        let container = world.bed.start_with(&runtime, &flags, &["sleep", "600"]);
        let inspect = |field: &str| {
            container.inspect(&format!("{{{{.NetworkSettings.Networks.bridge.{field}}}}}"))
        };
        let v4: Ipv4Addr = inspect("IPAddress").parse().unwrap();
        let port = world
            .bed
            .port_of("docker0", &v4.to_string(), &inspect("MacAddress"));
        let routers = ["Gateway", "IPv6Gateway"].map(|field| inspect(field).parse().ok());
        let uplink = Uplink {
            v4,
            v6: inspect("GlobalIPv6Address").parse().ok(),
            routers: routers.into_iter().flatten().collect(),
        };
        let listener = Capture::start(&world.bed, &port, "in");
        let secret: String = (0..4)
            .map(|_| format!("{:08x}", rand::random::<u32>()))
            .collect();
        // No digit leads: it must do as a name's label and as anything else.
        let secret = format!("s{}", &secret[1..]);
        let before = length(&world.internet.file);
        Self {
            world,
            container,
            circumstances,
            filtered,
            secret,
            uplink: (listener, uplink),
            before,
        }
    }

    /// The attacker's machine, in the attempt's family.
    pub(crate) fn target(&self) -> IpAddr {
        match self.circumstances.family {
            Family::V4 => ATTACKER.v4.into(),
            Family::V6 => ATTACKER.v6.into(),
        }
    }

    /// The same as URLs have it.
    pub(crate) fn target_in_urls(&self) -> String {
        match self.target() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    }

    /// The attacker's IPv6 address, whatever the family.
    pub(crate) fn target_v6(&self) -> String {
        ATTACKER.v6.to_string()
    }

    /// Another container on the same bridge.
    pub(crate) fn neighbour(&self) -> IpAddr {
        match self.circumstances.family {
            Family::V4 => self.world.neighbour.0.into(),
            Family::V6 => self.world.neighbour.1.into(),
        }
    }

    /// The authority that another container trusts.
    pub(crate) fn authority_of_another(&self) -> String {
        let runtime = if self.filtered { "boundary" } else { "runc" };
        let another = self.world.bed.start_with(runtime, &[], &["sleep", "600"]);
        let file = if self.filtered {
            "/dev/boundary/authority.pem"
        } else {
            "/etc/ssl/certs/ca-certificates.crt"
        };
        let said = another.exec(&format!("cat {file}"));
        said.must_succeed().stdout.clone()
    }

    /// Lets the attack happen.
    pub(crate) fn play(&self, row: &Row) -> Answer {
        let script = (row.script)(self);
        let meanwhile = match (self.filtered, row.control) {
            (false, Control::Filtered(_, meanwhile)) => meanwhile,
            _ => row.meanwhile,
        };
        match meanwhile {
            Meanwhile::Nothing => self.world.bed.docker_within(
                row.seconds,
                &["exec", &self.container.name, "sh", "-c", &script],
            ),
            Meanwhile::SomebodyApproves => self.play_while_somebody_approves(row, &script),
            Meanwhile::ProxyIsKilled => self.play_while_the_proxy_dies(row, &script),
            Meanwhile::TheHost(acts) => self.play_while_the_host(acts, row, &script),
        }
    }

    /// Waits for as long as something may come out.
    pub(crate) fn linger(&self, row: &Row) {
        let end = Instant::now() + row.linger;
        // Without the filter there is something to find, and nothing to wait for once it was found.
        while Instant::now() < end && (self.filtered || !self.secret_is_out()) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn play_while_somebody_approves(&self, row: &Row, script: &str) -> Answer {
        let bed = &self.world.bed;
        let name = &self.container.name;
        std::thread::scope(|scope| {
            let attack =
                scope.spawn(|| bed.docker_within(row.seconds, &["exec", name, "sh", "-c", script]));
            while self.filtered && !attack.is_finished() {
                let shown = bed.exec(&["boundary-shim", "policy", "pending", name]);
                let shown = &shown.must_succeed().stdout;
                let is_plain = |letter: char| letter == '\n' || (' '..='~').contains(&letter);
                assert!(shown.chars().all(is_plain), "{shown:?}");
                let looks_right = |line: &&str| line.ends_with(&format!("={APPROVED}"));
                for line in shown.lines().filter(looks_right) {
                    let id = line.split(' ').next().unwrap_or_default();
                    // It may be allowed by now.
                    bed.exec(&["boundary-shim", "policy", "approve", id]);
                }
            }
            attack.join().unwrap()
        })
    }

    fn play_while_the_host(&self, acts: &str, row: &Row, script: &str) -> Answer {
        let bed = &self.world.bed;
        let name = &self.container.name;
        let is_ready = || self.container.exec("test -e /tmp/ready").code == 0;
        std::thread::scope(|scope| {
            let attack =
                scope.spawn(|| bed.docker_within(row.seconds, &["exec", name, "sh", "-c", script]));
            let ready = comes_about(READY_WITHIN, || attack.is_finished() || is_ready());
            if ready && !attack.is_finished() {
                bed.exec_within(row.seconds, &["bash", "-ec", acts, "host", name])
                    .must_succeed();
                self.container.exec("touch /tmp/done").must_succeed();
            }
            attack.join().unwrap()
        })
    }

    fn play_while_the_proxy_dies(&self, row: &Row, script: &str) -> Answer {
        let footprint = self.filtered.then(|| self.container.footprint());
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| {
                self.world.bed.docker_within(
                    row.seconds,
                    &["exec", &self.container.name, "sh", "-c", script],
                )
            });
            // The flood has to be under way: its first packets are refused, and the record tells
            // so.
            std::thread::sleep(Duration::from_secs(2));
            if let Some(footprint) = footprint {
                // Which would end the attacker.
                footprint.lose_guard(&self.world.bed);
                self.world
                    .bed
                    .exec(&["bash", "-c", "kill -KILL $1", "kill", &footprint.proxy])
                    .must_succeed();
            }
            attack.join().unwrap()
        })
    }

    fn secret_is_out(&self) -> bool {
        packets(&self.uplink.0.file, 0)
            .iter()
            .any(|packet| tells(packet, &self.secret))
    }

    /// What got out, as each of those who listen tells it.
    pub(crate) fn leaks(&self, counts: Counts) -> Vec<String> {
        let (listener, uplink) = &self.uplink;
        let mut leaks = Vec::new();
        let sent = packets(&listener.file, 0);
        let matters = |packet: &[u8]| counts == Counts::Anywhere || is_for(packet, self.target());
        let told = |packets: &[Vec<u8>], where_: &str| {
            let told: Vec<_> = packets
                .iter()
                .filter(|one| matters(one) && tells(one, &self.secret))
                .collect();
            told.first().map(|first| {
                format!(
                    "the secret is in {} packets {where_}, first {}",
                    told.len(),
                    hex(first)
                )
            })
        };
        leaks.extend(told(&sent, "on the uplink"));
        leaks.extend(told(
            &packets(&self.world.internet.file, self.before),
            "at the attacker's machine",
        ));
        let log = self.world.bed.internet_log().to_ascii_lowercase();
        let logged: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(&self.secret))
            .filter(|line| {
                counts == Counts::Anywhere || line.contains(&format!("-> {}", self.target()))
            })
            .collect();
        leaks.extend(
            logged
                .first()
                .map(|first| format!("{} lines are logged outside, first «{first}»", logged.len())),
        );
        if self.filtered {
            let strange: Vec<_> = sent
                .iter()
                .filter(|packet| !uplink.permits(packet))
                .collect();
            leaks.extend(strange.first().map(|first| {
                format!(
                    "{} packets that nothing allows are on the uplink, first {}",
                    strange.len(),
                    hex(first)
                )
            }));
        }
        leaks
    }

    /// Fails unless allowed traffic passes still, and is seen: a judge that sees nothing would
    /// acquit everybody. What the attack sent stands before it in the capture, so that all of that
    /// is there to be judged once this has returned. An attack may have told the gateway's kernel
    /// another link-layer address of the container's, which it doubts after some seconds.
    pub(crate) fn wake_the_judge(&self) -> Result<(), String> {
        let asked = comes_about(AWAKE_WITHIN, || {
            self.container
                .exec("curl -4 -sS -m 5 http://allowed.test/")
                .code
                == 0
        });
        if !asked {
            return Err(format!(
                "allowed traffic doesn't pass within {AWAKE_WITHIN:?}"
            ));
        }
        let web =
            |packet: &Vec<u8>| packet.get(23) == Some(&6) && packet.get(36..38) == Some(&[0, 80]);
        // tcpdump writes when it is given the machine.
        let seen = comes_about(SEEN_WITHIN, || {
            packets(&self.uplink.0.file, 0).iter().any(web)
        });
        if seen {
            Ok(())
        } else {
            Err("allowed traffic isn't seen on the uplink: the judge sees nothing".into())
        }
    }

    /// Whether the container's record tells of the attempt.
    pub(crate) fn is_recorded(&self, trace: Trace) -> bool {
        let sign = match trace {
            Trace::Secret => self.secret.clone(),
            Trace::Target => self.target().to_string(),
            Trace::Denied => "\"verdict\":\"deny\"".to_owned(),
        };
        self.container
            .records()
            .iter()
            .any(|record| record.to_string().contains(&sign))
    }
}

/// The runtime of a filtered container.
fn shim(settings: &str, circumstances: Circumstances) -> String {
    let real = match circumstances.runtime {
        Runtime::Runc => "",
        Runtime::Crun => "-crun",
    };
    let nesting = match circumstances.nesting {
        Nesting::Nsjail => "",
        Nesting::None => "-none",
    };
    format!("boundary{settings}{real}{nesting}")
}

/// Whether a frame's destination is an address.
fn is_for(frame: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => frame.get(30..34) == Some(&address.octets()),
        IpAddr::V6(address) => frame.get(38..54) == Some(&address.octets()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(160)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
