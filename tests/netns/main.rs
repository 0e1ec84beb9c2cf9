//! The gateway on real links in namespaces made for the test: what is adopted looks the same,
//! nothing passes, nothing stays.
//!
//! Needs root, or a user namespace with it.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start `ip` and write files"
)]
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

mod held;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use boundary_shim::gateway::adopt::{self, Adopted};
use boundary_shim::gateway::links::Link;
use boundary_shim::gateway::routes::MAIN;
use boundary_shim::gateway::{Gateway, NamespaceHandle, park};
use boundary_shim::packets::agreed::{CAPTURED, HELD_BYTES, HELD_GROUP, LEAVING, ProxyPorts};
use boundary_shim::packets::arp_ndp::{StandsFor, answer_arp, answer_ndp};
use boundary_shim::packets::nflog;
use boundary_shim::packets::syn::HeldSyn;
use boundary_shim::policy::CapturedPorts;
use boundary_shim::sys::netlink::Netfilter;
use boundary_shim::sys::netns::Namespace;
use boundary_shim::sys::socket::{self, NeighbourProtocol, Queues, Source};
use libtest_mimic::{Arguments, Failed};
use test_support::needs::Needs;

fn main() {
    let arguments = Arguments::from_args();
    let needs = Needs::tried("root", &Namespace::create());
    let trials = vec![
        needs.trial("an_adopted_interface_looks_the_same", looks_the_same),
        needs.trial(
            "an_interface_that_is_given_back_passes_nothing_until_it_is_adopted_again",
            parked,
        ),
        needs.trial("a_refused_port_fails_at_once", refused_at_once),
        needs.trial(
            "a_captured_connection_reaches_the_proxy_and_goes_out_in_the_containers_name",
            captured_and_dialled,
        ),
        needs.trial(
            "connections_beyond_what_is_kept_back_are_accepted_whoever_reads_of_them",
            held::beyond_what_is_kept_back,
        ),
        needs.trial(
            "who_speaks_to_the_proxy_in_a_servers_name_is_not_heard",
            in_a_servers_name,
        ),
        needs.trial("a_connection_from_outside_reaches_the_container", inbound),
        needs.trial("when_the_gateway_is_dropped_no_link_is_left", nothing_left),
        needs.trial(
            "the_kernel_reads_the_ruleset_as_it_is_meant",
            ruleset_as_meant,
        ),
        needs.trial(
            "while_the_gateway_goes_nothing_gets_through",
            nothing_through_while_it_goes,
        ),
        needs.trial("what_the_proxy_sends_late_opens_no_way_out", late_answers),
        needs.trial(
            "an_answer_that_comes_late_is_no_connection_from_outside",
            answers_that_come_late,
        ),
        needs.trial(
            "what_comes_for_a_closed_socket_is_refused_outside",
            closed_sockets_are_answered_outside,
        ),
        needs.trial(
            "what_meets_no_connection_is_reset_when_it_comes_again",
            reset_when_it_comes_again,
        ),
        needs.trial(
            "the_proxy_is_told_at_once_of_a_neighbour_that_is_not_there",
            absent_neighbour,
        ),
        needs.trial(
            "only_the_first_segment_of_a_connection_opens_it",
            stray_segments,
        ),
        needs.trial("a_connection_from_outside_reaches_any_port", inbound_ports),
        needs.trial("who_sends_too_large_a_packet_in_is_told", too_large),
        needs.trial(
            "an_ipv6_connection_that_was_idle_for_a_minute_loses_no_packet",
            idle_ipv6,
        ),
        needs.trial("the_gateways_settings_are_its_own", settings_are_its_own),
        needs.trial("the_loopback_alone_leads_nowhere", loopback_alone),
        needs.trial("a_link_is_seen_whatever_it_is_called", strange_names),
        needs.trial(
            "the_kernel_counts_no_neighbour_of_the_gateways",
            uncounted_neighbours,
        ),
        needs.trial(
            "a_container_can_change_its_hardware_address",
            changed_address,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// What the sockets of these tests hold: more than anything that is sent to them.
const RECEIVE: usize = 64 * 1024;
const QUEUES: Queues = Queues {
    received: 128 * 1024,
    sent: 128 * 1024,
};

/// A container on a wire to an outside, as an engine would have made it.
struct Wire {
    container: String,
    outside: String,
}

impl Wire {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let wire = Self {
            container: format!("bt-c{}-{number}", std::process::id()),
            outside: format!("bt-o{}-{number}", std::process::id()),
        };
        let (c, o) = (&wire.container, &wire.outside);
        for line in [
            format!("netns add {c}"),
            format!("netns add {o}"),
            format!("-n {o} link add br0 type bridge"),
            format!("-n {o} link add host0 type veth peer name eth0 netns {c}"),
            format!("-n {o} link set host0 master br0"),
            format!("-n {o} addr add 172.30.0.1/24 dev br0"),
            format!("-n {o} addr add fd30::1/64 dev br0 nodad"),
            format!("-n {o} addr add 198.51.100.7/32 dev lo"),
            format!("-n {o} link set lo up"),
            format!("-n {o} link set host0 up"),
            format!("-n {o} link set br0 up"),
            format!("-n {c} link set lo up"),
            format!("-n {c} link set eth0 mtu 1420 address 02:42:ac:1e:00:02 txqueuelen 77"),
            format!("-n {c} addr add 172.30.0.2/24 brd 172.30.0.255 dev eth0"),
            format!("-n {c} addr add fd30::2/64 dev eth0 nodad"),
            format!("-n {c} link set eth0 up"),
            format!("-n {c} route add default via 172.30.0.1 metric 100"),
            format!("-n {c} route add 203.0.113.0/24 via 172.30.0.9 src 172.30.0.2"),
            format!("-n {c} -6 route add default via fd30::1"),
        ] {
            ip(&line);
        }
        wire
    }

    fn side(&self) -> NamespaceHandle {
        NamespaceHandle::open(
            Namespace::open(&PathBuf::from(format!("/run/netns/{}", self.container))).unwrap(),
        )
        .unwrap()
    }

    /// Waits until packets pass from the container to the outside and back.
    fn await_passing(&self) -> Result<(), Failed> {
        for (namespace, names) in [
            (&self.outside, &["host0", "br0"][..]),
            (&self.container, &["eth0"]),
        ] {
            let path = PathBuf::from(format!("/run/netns/{namespace}"));
            let mut side = NamespaceHandle::open(Namespace::open(&path)?)?;
            for name in names {
                let link = side.links.by_name(name)?;
                side.links.wait_passing(link.index)?;
            }
        }
        Ok(())
    }

    /// Waits until the engine's interface is gone, with its end outside.
    fn await_no_uplink(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while ip(&format!("-n {} -oneline link", self.outside)).contains("host0") {
            assert!(Instant::now() < end, "the uplink is still there");
        }
    }

    /// What a program in the container can see of its network, without the numbers of links
    /// elsewhere.
    fn appearance(&self) -> String {
        let c = &self.container;
        let all = [
            ip(&format!("-n {c} -oneline link show eth0")),
            ip(&format!("-n {c} -oneline addr show dev eth0")),
            ip(&format!("-n {c} route")),
            ip(&format!("-n {c} -6 route")),
        ]
        .join("\n");
        all.lines().map(without_peer).collect::<Vec<_>>().join("\n")
    }
}

/// A line of `ip` without what can't be the same: which namespace the far end is in, its number
/// there, and whether the link-local address is still being tried out, which is a matter of a
/// second.
fn without_peer(line: &str) -> String {
    let line = line.split(" link-netns").next().unwrap_or(line);
    let words = line
        .split_whitespace()
        .filter(|word| !["tentative", "nodad"].contains(word));
    words
        .map(|word| word.split("@if").next().unwrap_or(word))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Drop for Wire {
    fn drop(&mut self) {
        for namespace in [&self.container, &self.outside] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
        }
    }
}

fn ip(line: &str) -> String {
    let output = Command::new("ip")
        .args(line.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `nft` with these words in the namespace of this thread.
fn nft(words: &str) -> std::io::Result<String> {
    let output = Command::new("nft").arg(words).output()?;
    assert!(
        output.status.success(),
        "nft {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout).unwrap())
}

/// Answers neighbours on an adopted interface's two links, as the proxy does, until dropped.
struct Answering(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Answering {
    fn start(gateway: &Gateway, adopted: &Adopted) -> Self {
        let sides = [
            (
                adopted.inside.clone(),
                StandsFor::AllBut(adopted.addresses.clone()),
            ),
            (
                adopted.outside.clone(),
                StandsFor::Only(adopted.addresses.clone()),
            ),
        ];
        let sockets = gateway.side.namespace.inside(|| {
            let open = |(link, stands_for): &(Link, StandsFor)| {
                let station: [u8; 6] = link.mac.as_slice().try_into().unwrap();
                let sockets = (
                    socket::questions(link.index, NeighbourProtocol::Arp)?,
                    socket::questions(link.index, NeighbourProtocol::Ndp)?,
                );
                Ok((sockets, stands_for.clone(), station))
            };
            sides.iter().map(open).collect::<std::io::Result<Vec<_>>>()
        });
        let (sockets, over) = (sockets.unwrap(), Arc::new(AtomicBool::new(false)));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 128];
            while !until.load(Ordering::Relaxed) {
                for ((arp, ndp), stands_for, station) in &sockets {
                    for (socket, answer) in [
                        (arp, answer_arp as fn(&[u8], &StandsFor, [u8; 6]) -> _),
                        (ndp, answer_ndp),
                    ] {
                        let Ok((length, asker)) = socket::receive_question(socket, &mut buffer)
                        else {
                            continue;
                        };
                        if let Some(answer) = answer(&buffer[..length], stands_for, *station) {
                            let _ = socket::answer_question(socket, &answer, &asker);
                        }
                    }
                }
                std::thread::yield_now();
            }
        });
        Self(over, Some(thread))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(JoinHandle::join);
    }
}

/// Sends in again, at once, what the ruleset keeps back, as the proxy does; until dropped.
struct SendingIn(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl SendingIn {
    /// What is of the version of IP that `any` is of.
    fn start(gateway: &Gateway, any: &str) -> Self {
        let any = any.parse().unwrap();
        let (reports, sender) = gateway
            .side
            .namespace
            .inside(|| {
                let reports = Netfilter::open()?;
                let (subscription, acknowledged) = nflog::subscription(HELD_GROUP, HELD_BYTES);
                reports.transact(&subscription, acknowledged)?;
                reports.listen(65_536)?;
                Ok((reports, socket::whole_packets(any, Some(CAPTURED))?))
            })
            .unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let datagram = reports.take().unwrap_or_default();
                let held = nflog::reports(&datagram).map(|report| HeldSyn::read(report.logged));
                for syn in held.flatten() {
                    // A raw socket takes no port (ipv6(7)).
                    let to = SocketAddr::new(syn.destination.ip(), 0);
                    sender.send_to(&syn.again(), &to.into()).unwrap();
                }
                std::thread::yield_now();
            }
        });
        Self(over, Some(thread))
    }
}

impl Drop for SendingIn {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(JoinHandle::join);
    }
}

/// A gateway that hands ports 80 and 443 to sockets nobody reads from, unless given.
fn adopt(wire: &Wire, ports: ProxyPorts) -> (Gateway, NamespaceHandle, Answering) {
    let mut gateway = Gateway::create().unwrap();
    gateway
        .enforce(
            &CapturedPorts {
                tcp: vec![(80, 80), (443, 443)],
                udp: vec![],
            },
            ports,
        )
        .unwrap();
    let mut container = wire.side();
    let link = container.links.by_name("eth0").unwrap();
    let adopted = adopt::adopt(&mut gateway, &mut container, link).unwrap();
    assert_eq!(
        adopted.addresses,
        [
            "172.30.0.2".parse::<IpAddr>().unwrap(),
            "fd30::2".parse().unwrap()
        ]
    );
    let answering = Answering::start(&gateway, &adopted);
    (gateway, container, answering)
}

const NO_PORTS: ProxyPorts = ProxyPorts { tcp: 1, udp: 1 };

/// What `read` gives, once it isn't broken off: a read with a time limit ends with EINTR when its
/// process was stopped and goes on, with no handler of a signal at all (signal(7)).
fn uninterrupted<T>(mut read: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn looks_the_same() -> Result<(), Failed> {
    let wire = Wire::new();
    let before = wire.appearance();
    let _adopted = adopt(&wire, NO_PORTS);
    assert_eq!(before, wire.appearance());
    Ok(())
}

/// Whoever has a socket of that namespace, wherever it is by then, has a way out once the interface
/// is back and its end on the host is up.
fn parked() -> Result<(), Failed> {
    let wire = Wire::new();
    let open = |side: &str| Namespace::open(&PathBuf::from(format!("/run/netns/{side}")));
    let mut outside = NamespaceHandle::open(open(&wire.outside)?)?;
    let listener = outside
        .namespace
        .inside(|| UdpSocket::bind("198.51.100.7:9999"))?;
    listener.set_read_timeout(Some(Duration::from_millis(300)))?;
    let held = open(&wire.container)?.inside(|| UdpSocket::bind("172.30.0.2:0"))?;
    let passes = || {
        // Where there is no carrier, the kernel says so.
        let _ = held.send_to(b"secret", "198.51.100.7:9999");
        uninterrupted(|| listener.recv(&mut [0; 16])).is_ok()
    };
    wire.await_passing()?;
    assert!(passes(), "before it was adopted");

    let nothing = CapturedPorts {
        tcp: vec![],
        udp: vec![],
    };
    let mut container = wire.side();
    let mut gateway = Gateway::create().unwrap();
    gateway.enforce(&nothing, NO_PORTS).unwrap();
    let link = container.links.by_name("eth0")?;
    let before = container.links.routes(link.index, MAIN)?;
    let adopted = adopt::adopt(&mut gateway, &mut container, link.clone()).unwrap();
    assert!(!passes());
    park::park(&mut gateway, &mut container, &mut outside, &adopted)?;
    drop(gateway);
    let back = container.links.by_name("eth0")?;
    assert_eq!((&back.mac, back.mtu), (&link.mac, link.mtu));
    let routes = container.links.routes(back.index, MAIN)?;
    assert_eq!(routes.len(), before.len(), "{routes:?}");
    assert!(!passes(), "when it was given back");

    let mut next = Gateway::create().unwrap();
    next.enforce(&nothing, NO_PORTS).unwrap();
    let adopted = adopt::adopt(&mut next, &mut container, back).unwrap();
    park::unpark(&mut next, &mut outside, &adopted)?;
    assert!(!outside.links.by_name("host0")?.parked);
    assert!(!passes(), "when it was adopted again");
    // What has kept it back is that its end outside was down.
    park::park(&mut next, &mut container, &mut outside, &adopted)?;
    ip(&format!("-n {} link set host0 up", wire.outside));
    wire.await_passing()?;
    assert!(passes());
    Ok(())
}

fn refused_at_once() -> Result<(), Failed> {
    let wire = Wire::new();
    let (_gateway, container, _answering) = adopt(&wire, NO_PORTS);
    for target in [
        "198.51.100.7:22",
        "172.30.0.1:22",
        "172.30.0.77:22",
        "192.0.0.8:22",
        "[2001:db8::7]:22",
        "[fd30::77]:22",
    ] {
        let target: SocketAddr = target.parse()?;
        let begun = Instant::now();
        let tcp = container
            .namespace
            .inside(|| TcpStream::connect_timeout(&target, Duration::from_secs(2)));
        assert_eq!(
            tcp.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused,
            "{target}"
        );
        let udp = container.namespace.inside(|| {
            let socket = UdpSocket::bind(if target.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            })?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            socket.connect(target)?;
            socket.send(b"x")?;
            uninterrupted(|| socket.recv(&mut [0]))
        });
        // How the kernel words «administratively prohibited» for either family.
        let prohibited = if target.is_ipv4() {
            libc::EHOSTUNREACH
        } else {
            libc::EACCES
        };
        assert_eq!(
            udp.unwrap_err().raw_os_error(),
            Some(prohibited),
            "{target}"
        );
        assert!(
            begun.elapsed() < Duration::from_millis(500),
            "{target}: {:?}",
            begun.elapsed()
        );
    }
    Ok(())
}

/// Accepts one connection in the gateway as the proxy does, checks who it was for, and dials it.
fn captured_and_dialled() -> Result<(), Failed> {
    let wire = Wire::new();
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    let server = outside.inside(|| std::net::TcpListener::bind("198.51.100.7:443"))?;
    let served = std::thread::spawn(move || {
        let (mut stream, from) = server.accept().unwrap();
        stream.write_all(from.ip().to_string().as_bytes()).unwrap();
    });
    let mut gateway = Gateway::create().unwrap();
    let listener = gateway
        .side
        .namespace
        .inside(|| socket::listen_captured("0.0.0.0".parse().unwrap(), 0))?;
    listener.set_nonblocking(false)?;
    let ports = ProxyPorts {
        tcp: listener.local_addr()?.port(),
        udp: 1,
    };
    gateway
        .enforce(
            &CapturedPorts {
                tcp: vec![(443, 443)],
                udp: vec![],
            },
            ports,
        )
        .unwrap();
    let mut container = wire.side();
    let link = container.links.by_name("eth0").unwrap();
    let adopted = adopt::adopt(&mut gateway, &mut container, link).unwrap();
    let _answering = Answering::start(&gateway, &adopted);
    let _sending_in = SendingIn::start(&gateway, "0.0.0.0");
    let mut client = container.namespace.inside(|| {
        TcpStream::connect_timeout(&"198.51.100.7:443".parse().unwrap(), Duration::from_secs(2))
    })?;
    let (mut inside, source) = listener.accept()?;
    assert_eq!(source.ip(), "172.30.0.2".parse::<IpAddr>()?);
    let destination = inside.local_addr()?;
    assert_eq!(destination, "198.51.100.7:443".parse()?);
    // As the listener was made: nobody sets them for each connection.
    let options = socket2::SockRef::from(&inside);
    assert!(options.tcp_nodelay()? && options.keepalive()?);
    assert_eq!(options.tcp_keepalive_time()?, socket::KEEPALIVE);
    assert_eq!(options.tcp_keepalive_interval()?, socket::KEEPALIVE);
    let mut upstream = gateway.side.namespace.inside(|| {
        socket::tcp_from(
            Some(Source {
                address: source.ip(),
                mark: LEAVING,
            }),
            destination,
            RECEIVE,
        )
    })?;
    upstream.set_nonblocking(false)?;
    let mut seen = String::new();
    upstream.read_to_string(&mut seen)?;
    assert_eq!(
        seen, "172.30.0.2",
        "the server saw the container's own address"
    );
    inside.write_all(seen.as_bytes())?;
    drop(inside);
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    assert_eq!(answer, "172.30.0.2");
    served.join().unwrap();
    Ok(())
}

/// The proxy's connections to servers and resolvers have the container's address: what the
/// container sends to them with the other end's address is not theirs.
fn in_a_servers_name() -> Result<(), Failed> {
    let wire = Wire::new();
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    let _server = outside.inside(|| std::net::TcpListener::bind("198.51.100.7:443"))?;
    let mut gateway = Gateway::create().unwrap();
    let listener = gateway
        .side
        .namespace
        .inside(|| socket::listen_captured("0.0.0.0".parse().unwrap(), 0))?;
    listener.set_nonblocking(false)?;
    let (captured, ports) = (
        CapturedPorts {
            tcp: vec![(443, 443)],
            udp: vec![],
        },
        ProxyPorts {
            tcp: listener.local_addr()?.port(),
            udp: 1,
        },
    );
    gateway.enforce(&captured, ports).unwrap();
    let mut container = wire.side();
    let link = container.links.by_name("eth0").unwrap();
    let adopted = adopt::adopt(&mut gateway, &mut container, link).unwrap();
    let _answering = Answering::start(&gateway, &adopted);
    let _sending_in = SendingIn::start(&gateway, "0.0.0.0");
    let server: SocketAddr = "198.51.100.7:443".parse()?;
    let _client = container
        .namespace
        .inside(|| TcpStream::connect_timeout(&server, Duration::from_secs(2)))?;
    let (accepted, client) = listener.accept()?;
    let dialled = gateway
        .side
        .namespace
        .inside(|| socket::tcp_from(leaving("172.30.0.2"), server, RECEIVE))?;
    while dialled.peer_addr().is_err() {
        std::thread::yield_now();
    }
    // A container may give its address away, and then send to it.
    let (c, mac) = (&wire.container, &adopted.inside.mac);
    let mac: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    ip(&format!("-n {c} addr del 172.30.0.2/24 dev eth0"));
    for to in ["172.30.0.2", "198.51.100.7"] {
        ip(&format!("-n {c} route add {to}/32 dev eth0"));
        ip(&format!(
            "-n {c} neigh replace {to} lladdr {} dev eth0",
            mac.join(":")
        ));
    }
    // Of an open connection, the kernel answers it with a «challenge» and counts that (RFC 5961).
    let raw = container.namespace.inside(|| {
        let protocol = socket2::Protocol::from(libc::IPPROTO_RAW);
        let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(protocol))?;
        raw.set_ip_transparent_v4(true)?;
        Ok(raw)
    })?;
    let opens = |from: SocketAddr, to: SocketAddr, mark: u32| {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.ip(), to.ip()) else {
            unreachable!("IPv4 alone")
        };
        let mut tcp = etherparse::TcpHeader::new(from.port(), to.port(), 1, 1000);
        tcp.syn = true;
        let checksum = tcp.calc_checksum_ipv4_raw(source.octets(), destination.octets(), &[]);
        tcp.checksum = checksum.unwrap();
        let (source, destination) = (source.octets(), destination.octets());
        let protocol = etherparse::IpNumber::TCP;
        let mut ip = etherparse::Ipv4Header::new(20, 64, protocol, source, destination).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        let bytes = [&ip.to_bytes()[..], &tcp.to_bytes()].concat();
        raw.set_mark(mark).unwrap();
        raw.send_to(&bytes, &to.into()).unwrap();
    };
    // Marks stay in the namespace.
    for mark in [0, 0xb0, 0xb1, LEAVING] {
        opens(server, dialled.local_addr()?, mark);
    }
    // The same of its own connection: heard.
    assert_eq!(accepted.local_addr()?, server);
    opens(client, server, 0);
    let challenges = || challenges(&gateway);
    let end = Instant::now() + Duration::from_secs(5);
    while challenges() == 0 {
        assert!(Instant::now() < end, "its own was not heard");
    }
    assert_eq!(challenges(), 1, "it was heard in the server's name");
    Ok(())
}

/// How many segments asked for a connection that was open (`TCPSYNChallenge`).
fn challenges(gateway: &Gateway) -> u64 {
    let text = gateway
        .side
        .namespace
        .inside(|| std::fs::read_to_string("/proc/thread-self/net/netstat"))
        .unwrap();
    let mut lines = text.lines().map(str::split_whitespace);
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut counters = names.zip(values);
    let (_, count) = counters
        .find(|(name, _)| *name == "TCPSYNChallenge")
        .unwrap();
    count.parse().unwrap()
}

fn inbound() -> Result<(), Failed> {
    let wire = Wire::new();
    let (_gateway, container, _answering) = adopt(&wire, NO_PORTS);
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    let pairs = [
        ("0.0.0.0:8080", "172.30.0.2:8080", "172.30.0.1"),
        ("[::]:8081", "[fd30::2]:8081", "fd30::1"),
    ];
    for (listen, connect, from) in pairs {
        let server = container
            .namespace
            .inside(|| std::net::TcpListener::bind(listen))?;
        let served = std::thread::spawn(move || {
            let (mut stream, from) = server.accept().unwrap();
            stream.write_all(from.ip().to_string().as_bytes()).unwrap();
        });
        let to = connect.parse()?;
        let mut client =
            outside.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(3)))?;
        let mut seen = String::new();
        client.read_to_string(&mut seen)?;
        assert_eq!(seen, from, "the container saw who it was");
        served.join().unwrap();
    }
    Ok(())
}

/// A container can call an interface that is plugged in what it likes, at once.
fn strange_names() -> Result<(), Failed> {
    let wire = Wire::new();
    let mut side = wire.side();
    let mut interface = side.links.by_name("eth0")?;
    for (what, seen) in [("alias", "eth0"), ("name", "e\u{fffd}")] {
        let set = ["-n", &wire.container, "link", "set", &interface.name, what];
        let status = Command::new("ip")
            .args(set)
            .arg(OsStr::from_bytes(b"e\xff"))
            .status()?;
        assert!(status.success(), "{what}");
        interface.name = seen.to_owned();
        assert!(side.links.list()?.contains(&interface), "{what}");
        assert_eq!(
            side.links.by_number(interface.index)?.as_ref(),
            Some(&interface)
        );
    }
    assert_eq!(side.links.by_number(4711)?, None);
    Ok(())
}

/// One count is all namespaces', and at its end nobody learns a neighbour. `extern_learn`: not
/// counted (`neigh_alloc`). What the kernel keeps of groups goes at once where there is need.
fn uncounted_neighbours() -> Result<(), Failed> {
    let wire = Wire::new();
    let (gateway, container, _answering) = adopt(&wire, NO_PORTS);
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    for (inside, server) in [
        ("172.30.0.2:8080", "172.30.0.1:0"),
        ("[fd30::2]:8080", "[fd30::1]:0"),
    ] {
        let listening = container
            .namespace
            .inside(|| std::net::TcpListener::bind(inside))?;
        let client = outside.inside(|| UdpSocket::bind(server))?;
        client.send_to(b"in", inside)?;
        let to = inside.parse()?;
        outside.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(3)))?;
        drop(listening);
    }
    let list = || {
        let show = ["neighbour", "show", "nud", "all"];
        let output = Command::new("ip").args(show).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let all = gateway.side.namespace.inside(list)?;
    let of_links = all
        .lines()
        .filter(|line| !line.contains(" dev lo ") && !line.starts_with("ff02:"));
    let (uncounted, counted): (Vec<&str>, Vec<&str>) =
        of_links.partition(|line| line.contains("extern_learn"));
    assert_eq!(counted, Vec::<&str>::new());
    for (address, link) in [
        ("172.30.0.2", "in0"),
        ("fd30::2", "in0"),
        ("172.30.0.1", "up0"),
        ("fd30::1", "up0"),
    ] {
        let entry = format!("{address} dev {link} lladdr");
        assert!(
            uncounted.iter().any(|line| line.starts_with(&entry)),
            "{entry}: {all}"
        );
    }
    Ok(())
}

/// As it can without a gateway: what is known of it is learned anew.
fn changed_address() -> Result<(), Failed> {
    let wire = Wire::new();
    let (_gateway, container, _answering) = adopt(&wire, NO_PORTS);
    let refused = |target: &str| {
        let target = target.parse().unwrap();
        let tcp = container
            .namespace
            .inside(|| TcpStream::connect_timeout(&target, Duration::from_secs(2)));
        tcp.unwrap_err().kind() == std::io::ErrorKind::ConnectionRefused
    };
    for mac in ["02:42:ac:1e:00:02", "02:42:ac:1e:00:77"] {
        ip(&format!(
            "-n {} link set eth0 address {mac}",
            wire.container
        ));
        for target in ["198.51.100.7:22", "[2001:db8::7]:22"] {
            // The kernel probes the old address for some eight seconds first.
            let end = Instant::now() + Duration::from_secs(20);
            while !refused(target) {
                assert!(Instant::now() < end, "{target} from {mac}");
            }
        }
    }
    Ok(())
}

fn nothing_left() -> Result<(), Failed> {
    let wire = Wire::new();
    let (gateway, container, answering) = adopt(&wire, NO_PORTS);
    drop(answering);
    drop(gateway);
    wire.await_no_uplink();
    let links = wire.side().links.list()?;
    assert!(links.iter().all(|link| link.turns_back), "{links:?}");
    drop(container);
    Ok(())
}

/// A namespace that ends loses its rules before its links (`cleanup_net`): in between, only routing
/// stands in the way.
fn nothing_through_while_it_goes() -> Result<(), Failed> {
    for _ in 0..20 {
        let wire = Wire::new();
        let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
        let server = outside.inside(|| UdpSocket::bind("198.51.100.7:9999"))?;
        let (gateway, container, answering) = adopt(&wire, NO_PORTS);
        let client = container
            .namespace
            .inside(|| UdpSocket::bind("0.0.0.0:0"))?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Refused by the gateway, later by the container's own routing: all that counts
                    // is what arrives.
                    let _ = client.send_to(b"out", "198.51.100.7:9999");
                }
            });
            drop(answering);
            drop(gateway);
            wire.await_no_uplink();
            over.store(true, Ordering::Relaxed);
        });
        server.set_nonblocking(true)?;
        let arrived = server.recv_from(&mut [0; 8]);
        assert_eq!(
            arrived.map_err(|error| error.kind()),
            Err(std::io::ErrorKind::WouldBlock),
            "a datagram got out"
        );
    }
    Ok(())
}

/// The proxy answers in the name of whoever was addressed. When conntrack has forgotten the
/// question meanwhile, the answer must not pass for a connection from outside, or what the
/// container sends next would be let through as its reply.
fn late_answers() -> Result<(), Failed> {
    let wire = Wire::new();
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    let target: SocketAddr = "198.51.100.7:53".parse()?;
    let server = outside.inside(|| UdpSocket::bind(target))?;
    let (gateway, container, _answering) = adopt(&wire, NO_PORTS);
    let client = container
        .namespace
        .inside(|| UdpSocket::bind("172.30.0.2:40000"))?;
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    // The question is long forgotten: it was never asked.
    let answering = gateway
        .side
        .namespace
        .inside(|| socket::udp_answering(target))?;
    answering.send_to(b"late", client.local_addr()?)?;
    uninterrupted(|| client.recv(&mut [0; 8]))?;
    client.send_to(b"out", target)?;
    // When the second is refused, the first has been dealt with, too.
    client.connect("198.51.100.7:9999")?;
    client.send(b"refused")?;
    uninterrupted(|| client.recv(&mut [0; 8])).unwrap_err();
    server.set_nonblocking(true)?;
    let arrived = server.recv_from(&mut [0; 8]);
    assert_eq!(
        arrived.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::WouldBlock),
        "a datagram got out"
    );
    Ok(())
}

/// What leaves by the proxy's sockets.
fn leaving(address: &str) -> Option<Source> {
    Some(Source {
        address: address.parse().unwrap(),
        mark: LEAVING,
    })
}

/// A resolver may answer when the proxy has closed its socket. That must not pass for a connection
/// from outside, to which the container could then reply.
fn answers_that_come_late() -> Result<(), Failed> {
    for (server, own) in [
        ("172.30.0.1:9000", "172.30.0.2"),
        ("[fd30::1]:9000", "fd30::2"),
    ] {
        let wire = Wire::new();
        let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
        let server: SocketAddr = server.parse()?;
        let resolver = outside.inside(|| UdpSocket::bind(server))?;
        resolver.set_read_timeout(Some(Duration::from_secs(3)))?;
        let (gateway, container, _answering) = adopt(&wire, NO_PORTS);
        let asking = gateway
            .side
            .namespace
            .inside(|| socket::udp_from(leaving(own), server, QUEUES))?;
        asking.send(b"question")?;
        let (_, from) = uninterrupted(|| resolver.recv_from(&mut [0; 8]))?;
        drop(asking);
        let client = container.namespace.inside(|| UdpSocket::bind(from))?;
        client.set_read_timeout(Some(Duration::from_secs(1)))?;
        resolver.send_to(b"late", from)?;
        // The gateway's kernel says that nobody listens there, as the container's would without a
        // gateway.
        let told = resolver
            .connect(from)
            .and_then(|()| resolver.send(b"later"))
            .and_then(|_| uninterrupted(|| resolver.recv(&mut [0; 8])));
        assert_eq!(
            told.map_err(|error| error.kind()),
            Err(std::io::ErrorKind::ConnectionRefused),
            "{server}"
        );
        let inside = uninterrupted(|| client.recv(&mut [0; 8])).map_err(|error| error.kind());
        assert_eq!(
            inside,
            Err(std::io::ErrorKind::WouldBlock),
            "{server}: the container got the answer"
        );
        client.send_to(b"out", server)?;
        let out = uninterrupted(|| resolver.recv(&mut [0; 8])).map_err(|error| error.kind());
        assert_eq!(
            out,
            Err(std::io::ErrorKind::WouldBlock),
            "{server}: a way out was open"
        );
    }
    Ok(())
}

/// A reset for a connection that the proxy has closed goes to who sent something for it.
fn closed_sockets_are_answered_outside() -> Result<(), Failed> {
    for (server, own) in [
        ("172.30.0.1:9000", "172.30.0.2"),
        ("[fd30::1]:9000", "fd30::2"),
    ] {
        let wire = Wire::new();
        let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
        let listener = outside.inside(|| std::net::TcpListener::bind(server))?;
        let (gateway, _container, _answering) = adopt(&wire, NO_PORTS);
        let dialled = gateway
            .side
            .namespace
            .inside(|| socket::tcp_from(leaving(own), server.parse().unwrap(), RECEIVE))?;
        let (mut accepted, _) = listener.accept()?;
        accepted.set_read_timeout(Some(Duration::from_secs(3)))?;
        // Away, and its own reset is lost: what comes next meets no socket.
        let lost = "table inet lost { chain resets { type filter hook prerouting priority 0; tcp flags rst drop; }; }";
        outside.inside(|| nft(lost))?;
        socket::reset_on_close(&dialled)?;
        drop(dialled);
        outside.inside(|| nft("delete table inet lost"))?;
        let _ = accepted.write_all(b"anyone?");
        let told = uninterrupted(|| accepted.read(&mut [0; 8])).map_err(|error| error.kind());
        assert_eq!(told, Err(std::io::ErrorKind::ConnectionReset), "{server}");
    }
    Ok(())
}

/// The kernel may have looked just when there was neither half nor whole of a connection.
fn reset_when_it_comes_again() -> Result<(), Failed> {
    for (any, server) in [("0.0.0.0", "198.51.100.7:443"), ("::", "[2001:db8::7]:443")] {
        let wire = Wire::new();
        let mut gateway = Gateway::create().unwrap();
        let inside = &gateway.side.namespace;
        let listener = inside.inside(|| socket::listen_captured(any.parse().unwrap(), 0))?;
        listener.set_nonblocking(false)?;
        let tcp = listener.local_addr()?.port();
        let captured = CapturedPorts {
            tcp: vec![(443, 443)],
            udp: vec![],
        };
        gateway
            .enforce(&captured, ProxyPorts { tcp, udp: 1 })
            .unwrap();
        let mut container = wire.side();
        let link = container.links.by_name("eth0").unwrap();
        let adopted = adopt::adopt(&mut gateway, &mut container, link).unwrap();
        let _answering = Answering::start(&gateway, &adopted);
        let _sending_in = SendingIn::start(&gateway, any);
        let connect =
            || TcpStream::connect_timeout(&server.parse().unwrap(), Duration::from_secs(2));
        let mut client = container.namespace.inside(connect)?;
        client.set_read_timeout(Some(Duration::from_secs(3)))?;
        let (accepted, _) = listener.accept()?;
        // Away, and its own reset is lost: what comes next meets no socket.
        let watched = |rule: &str| {
            let table = format!(
                "table inet watched {{ chain in {{ type filter hook input priority 0; {rule} }}; \
                 chain out {{ type filter hook output priority 0; tcp flags psh counter; }}; }}"
            );
            container.namespace.inside(|| nft(&table))
        };
        watched("tcp flags rst drop;")?;
        socket::reset_on_close(&accepted)?;
        drop(accepted);
        container
            .namespace
            .inside(|| nft("delete table inet watched"))?;
        watched("tcp flags rst counter;")?;
        client.write_all(b"anyone?")?;
        let told = uninterrupted(|| client.read(&mut [0; 8])).map_err(|error| error.kind());
        assert_eq!(told, Err(std::io::ErrorKind::ConnectionReset), "{server}");
        let counted = container
            .namespace
            .inside(|| nft("list table inet watched"))?;
        let packets = counted.split("counter packets ").skip(1);
        let packets: Vec<&str> = packets.filter_map(|rest| rest.split(' ').next()).collect();
        assert_eq!(
            packets,
            ["1", "2"],
            "resets and segments, {server}: {counted}"
        );
    }
    Ok(())
}

/// The kernel's «no route to host» is for the proxy's socket, though its address is the
/// container's.
fn absent_neighbour() -> Result<(), Failed> {
    for (absent, own) in [
        ("172.30.0.77:443", "172.30.0.2"),
        ("[fd30::77]:443", "fd30::2"),
    ] {
        let wire = Wire::new();
        let (gateway, _container, _answering) = adopt(&wire, NO_PORTS);
        let mut dialled = gateway
            .side
            .namespace
            .inside(|| socket::tcp_from(leaving(own), absent.parse().unwrap(), RECEIVE))?;
        dialled.set_nonblocking(false)?;
        dialled.set_read_timeout(Some(Duration::from_secs(6)))?;
        let told =
            uninterrupted(|| dialled.read(&mut [0; 1])).map_err(|error| error.raw_os_error());
        assert_eq!(told, Err(Some(libc::EHOSTUNREACH)), "{absent}");
    }
    Ok(())
}

/// Conntrack takes over no connection whose beginning it has not seen; the container hears nothing
/// of it.
fn stray_segments() -> Result<(), Failed> {
    let wire = Wire::new();
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    let listening = wire
        .side()
        .namespace
        .inside(|| std::net::TcpListener::bind("0.0.0.0:8080"))?;
    // Open before there is a gateway to see it.
    let mut client = outside.inside(|| {
        TcpStream::connect_timeout(&"172.30.0.2:8080".parse().unwrap(), Duration::from_secs(3))
    })?;
    let (mut served, _) = listening.accept()?;
    let _adopted = adopt(&wire, NO_PORTS);
    client.set_read_timeout(Some(Duration::from_secs(3)))?;
    client.write_all(b"forgotten")?;
    let told = uninterrupted(|| client.read(&mut [0; 8])).map_err(|error| error.kind());
    assert_eq!(told, Err(std::io::ErrorKind::ConnectionReset));
    served.set_read_timeout(Some(Duration::from_millis(300)))?;
    assert_eq!(
        uninterrupted(|| served.read(&mut [0; 8])).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::WouldBlock)
    );
    Ok(())
}

/// An ICMP error about what came from outside goes back there (RFC 1191, RFC 8201).
fn too_large() -> Result<(), Failed> {
    let wire = Wire::new();
    let (gateway, _container, _answering) = adopt(&wire, NO_PORTS);
    gateway.side.namespace.inside(|| {
        for link in ["in0", "up0"] {
            let mtu = if link == "in0" { "1280" } else { "1500" };
            assert!(
                Command::new("ip")
                    .args(["link", "set", link, "mtu", mtu])
                    .status()?
                    .success()
            );
        }
        Ok(())
    })?;
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    for (from, to) in [
        ("172.30.0.1:0", "172.30.0.2:8080"),
        ("[fd30::1]:0", "[fd30::2]:8080"),
    ] {
        let client = outside.inside(|| UdpSocket::bind(from))?;
        client.connect(to.parse::<SocketAddr>()?)?;
        client.set_read_timeout(Some(Duration::from_secs(3)))?;
        client.send(&[0; 1400])?;
        let told = uninterrupted(|| client.recv(&mut [0; 8])).map_err(|error| error.raw_os_error());
        assert_eq!(told, Err(Some(libc::EMSGSIZE)), "{to}");
    }
    Ok(())
}

/// No port is set aside for the proxy, at either end.
fn inbound_ports() -> Result<(), Failed> {
    let wire = Wire::new();
    let (_gateway, container, _answering) = adopt(&wire, NO_PORTS);
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    for port in [22, 80, 1024, 32767, 32768, 61001, 65535] {
        for (listen, connect) in [("0.0.0.0", "172.30.0.2"), ("[::]", "[fd30::2]")] {
            let (listen, connect) = (
                format!("{listen}:{port}"),
                format!("{connect}:{port}").parse()?,
            );
            let server = container
                .namespace
                .inside(|| std::net::TcpListener::bind(&listen))?;
            outside.inside(|| TcpStream::connect_timeout(&connect, Duration::from_secs(3)))?;
            drop(server);
            let server = container.namespace.inside(|| UdpSocket::bind(&listen))?;
            server.set_read_timeout(Some(Duration::from_secs(3)))?;
            let client = outside.inside(|| {
                UdpSocket::bind(if connect.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                })
            })?;
            client.set_read_timeout(Some(Duration::from_secs(3)))?;
            client.send_to(b"in", connect)?;
            let (_, from) = uninterrupted(|| server.recv_from(&mut [0; 8]))?;
            server.send_to(b"back", from)?;
            let told = uninterrupted(|| client.recv_from(&mut [0; 8]))?;
            assert_eq!(told, (4, connect));
        }
    }
    Ok(())
}

/// Neighbours are asked again at their own address when they weren't heard of for a while (RFC 4861
/// 7.3.3).
fn idle_ipv6() -> Result<(), Failed> {
    let wire = Wire::new();
    let (_gateway, container, _answering) = adopt(&wire, NO_PORTS);
    let outside = Namespace::open(&PathBuf::from(format!("/run/netns/{}", wire.outside)))?;
    let server = container
        .namespace
        .inside(|| UdpSocket::bind("[fd30::2]:8081"))?;
    let client = outside.inside(|| UdpSocket::bind("[fd30::1]:0"))?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    }
    let rounds = |count| -> std::io::Result<()> {
        for _ in 0..count {
            client.send_to(b"in", "[fd30::2]:8081")?;
            let (_, from) = uninterrupted(|| server.recv_from(&mut [0; 8]))?;
            server.send_to(b"back", from)?;
            uninterrupted(|| client.recv(&mut [0; 8]))?;
            // As long as the kernel waits before it asks (DELAY_FIRST_PROBE_TIME, 5 s), in pieces.
            std::thread::sleep(Duration::from_millis(400));
        }
        Ok(())
    };
    rounds(1)?;
    std::thread::sleep(Duration::from_secs(61));
    rounds(15)?;
    Ok(())
}

/// `nft` reads back what we wrote: `testdata/gateway.nft` is the ruleset as people read it.
fn ruleset_as_meant() -> Result<(), Failed> {
    let gateway = Gateway::create().unwrap();
    let captured = CapturedPorts {
        tcp: vec![(80, 80), (443, 443), (5000, 5010)],
        udp: vec![(4500, 4500)],
    };
    gateway
        .enforce(
            &captured,
            ProxyPorts {
                tcp: 40001,
                udp: 40002,
            },
        )
        .unwrap();
    let listing = gateway.side.namespace.inside(|| {
        Command::new("nft")
            .args(["--numeric", "list", "ruleset"])
            .output()
    })?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gateway.nft");
    let listing = String::from_utf8(listing.stdout)?;
    if std::env::var_os("UPDATE_TESTDATA").is_some() {
        std::fs::write(path, &listing)?;
    }
    assert_eq!(listing, std::fs::read_to_string(path)?);
    Ok(())
}

/// Written from outside, through directories opened inside: nothing of it may reach the namespace
/// we are in.
fn settings_are_its_own() -> Result<(), Failed> {
    let read = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let ours = read()?;
    let mut gateway = Gateway::create().unwrap();
    assert_eq!(
        gateway
            .side
            .namespace
            .inside(read)?
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["1024", "32767"]
    );
    assert_eq!(read()?, ours);
    let wire = Wire::new();
    let mut container = wire.side();
    container
        .sysctls
        .write("ipv4/conf/eth0/log_martians", "1")?;
    let inside = container
        .namespace
        .inside(|| std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/log_martians"))?;
    assert_eq!(inside.trim(), "1");
    let link = container.links.by_name("eth0")?;
    adopt::adopt(&mut gateway, &mut container, link).unwrap();
    assert_eq!(
        container.sysctls.read("ipv4/conf/eth0/log_martians")?,
        "1",
        "carried over"
    );
    Ok(())
}

fn loopback_alone() -> Result<(), Failed> {
    let mut side = NamespaceHandle::open(Namespace::create()?)?;
    let leading: Vec<_> = side
        .links
        .list()?
        .into_iter()
        .filter(|link| adopt::leads_out(link, &[]))
        .collect();
    assert!(leading.is_empty(), "{leading:?}");
    Ok(())
}
