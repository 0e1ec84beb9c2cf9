//! Far ends of every kind, in namespaces behind the bed's host: who accepts, who refuses and how,
//! who says nothing. One at a time, since their addresses are the same each time.
//!
//! Every far end has an address in each family with the same last byte, and a name (`hosts::far`).
//! It knows no filter: what a client meets here is what it meets with plain runc, too.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use boundary_shim::sys::netns::Namespace;
use test_support::bed::{Bed, Capture, unique};
use test_support::command::wait_for;
use test_support::docker::Container;
use test_support::hosts::far;

/// Accepts, and sends back what comes.
pub(crate) const ACCEPTS: u8 = 193;
/// Accepts, and speaks first.
pub(crate) const GREETS: u8 = 194;
/// Its ports are closed: the kernel answers with a reset.
pub(crate) const CLOSED: u8 = 195;
/// A host whose ports differ.
pub(crate) const MIXED: u8 = 196;
/// Nobody has it, on the containers' own link.
pub(crate) const ABSENT: u8 = 100;
/// The router's firewall is silent about it.
pub(crate) const SILENT: u8 = 216;
/// Of these it says so.
const RESET_BY_FIREWALL: u8 = 209;
const HOST_UNREACHABLE: u8 = 210;
const NET_UNREACHABLE: u8 = 211;
const PORT_UNREACHABLE: u8 = 212;
const ADMIN_PROHIBITED: u8 = 213;
const HOST_PROHIBITED: u8 = 214;
const NET_PROHIBITED: u8 = 215;
/// The containers' own host has no route to it.
pub(crate) const NO_ROUTE: u8 = 224;
/// It has one that prohibits it.
pub(crate) const ROUTE_PROHIBITS: u8 = 225;

/// One of each kind.
pub(crate) const KINDS: [u8; 14] = [
    ACCEPTS,
    GREETS,
    CLOSED,
    ABSENT,
    SILENT,
    RESET_BY_FIREWALL,
    HOST_UNREACHABLE,
    NET_UNREACHABLE,
    PORT_UNREACHABLE,
    ADMIN_PROHIBITED,
    HOST_PROHIBITED,
    NET_PROHIBITED,
    NO_ROUTE,
    ROUTE_PROHIBITS,
];

/// Of `MIXED`: where somebody listens, where nobody does, what a firewall is silent about, and one
/// on which somebody listens whose packets `lose` loses.
pub(crate) const OPEN_PORT: u16 = 5432;
pub(crate) const CLOSED_PORT: u16 = 5433;
pub(crate) const SILENT_PORT: u16 = 5434;
pub(crate) const LOSSY_PORT: u16 = 5435;

/// Where `ACCEPTS` and `GREETS` listen.
const PORTS: [u16; 3] = [80, 443, 5432];

/// What `GREETS` says.
const GREETING: &[u8] = b"220 far end\r\n";

/// A router with hosts of its own, and a network behind it. ICMP isn't rationed here: each client is
/// to get its answer. (For IPv4 by the mask of what is rationed: a limit of 0 also uses up what
/// `ip_error` has for an address.)
const UP: &str = r#"set -e
ip netns add far
ip link add far type veth peer name near netns far
ip address add 192.0.2.5/30 dev far
ip address add 2001:db8:fffe::1/64 dev far nodad
ip link set far up
ip -n far link set lo up
ip -n far address add 192.0.2.6/30 dev near
ip -n far address add 2001:db8:fffe::2/64 dev near nodad
ip -n far link set near up
ip -n far route add default via 192.0.2.5
ip -n far -6 route add default via 2001:db8:fffe::1
ip -n far link add beyond type veth peer name nowhere
ip -n far link set nowhere up
ip -n far link set beyond up
ip -n far route add 203.0.113.208/28 dev beyond
ip -n far -6 route add 2001:db8:3::d0/124 dev beyond
for last in 193 194 195 196; do
  ip -n far address add 203.0.113.$last/32 dev lo
  ip -n far address add 2001:db8:3::$(printf %x $last)/128 dev lo nodad
done
ip route add 203.0.113.192/26 via 192.0.2.6
ip -6 route add 2001:db8:3::c0/122 via 2001:db8:fffe::2
ip route add throw 203.0.113.224
ip -6 route add throw 2001:db8:3::e0
ip route add prohibit 203.0.113.225
ip -6 route add prohibit 2001:db8:3::e1
for namespace in far ''; do
  ${namespace:+ip netns exec "$namespace"} sh -c 'echo 0 >/proc/sys/net/ipv4/icmp_ratemask; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit
    echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
done
ip netns exec far nft -f - <<'END'
table inet far {
  set lost { type inet_service; }
  chain input {
    type filter hook input priority 0;
    tcp dport 5434 drop
    tcp dport @lost drop
  }
  chain forward {
    type filter hook forward priority 0;
    ip daddr 203.0.113.209 reject with tcp reset
    ip daddr 203.0.113.210 reject with icmp type host-unreachable
    ip daddr 203.0.113.211 reject with icmp type net-unreachable
    ip daddr 203.0.113.212 reject with icmp type port-unreachable
    ip daddr 203.0.113.213 reject with icmp type admin-prohibited
    ip daddr 203.0.113.214 reject with icmp type host-prohibited
    ip daddr 203.0.113.215 reject with icmp type net-prohibited
    ip6 daddr 2001:db8:3::d1 reject with tcp reset
    ip6 daddr 2001:db8:3::d2 reject with icmpv6 type addr-unreachable
    ip6 daddr 2001:db8:3::d3 reject with icmpv6 type no-route
    ip6 daddr 2001:db8:3::d4 reject with icmpv6 type port-unreachable
    ip6 daddr 2001:db8:3::d5 reject with icmpv6 type admin-prohibited
    ip6 daddr 2001:db8:3::d6 reject with icmpv6 type policy-fail
    ip6 daddr 2001:db8:3::d7 reject with icmpv6 type reject-route
    drop
  }
}
END
"#;

/// The other end of the link goes with the namespace.
const DOWN: &str = "ip netns del far; ip link del far
ip route del throw 203.0.113.224; ip -6 route del throw 2001:db8:3::e0
ip route del prohibit 203.0.113.225; ip -6 route del prohibit 2001:db8:3::e1";

/// Each has another address: a host without a route answers each address only so often
/// (`ip_error` in net/ipv4/route.c), and nobody may have been there before.
static VISITORS: AtomicU8 = AtomicU8::new(0);
/// Of the network's own addresses, behind `ABSENT`.
const FIRST_VISITOR: u8 = 101;
const VISITORS_ADDRESSES: u8 = 24;

static ALONE: Mutex<()> = Mutex::new(());

/// The far ends, and a Docker network for those who visit them. All of it goes when dropped.
pub(crate) struct FarWorld<'bed> {
    bed: &'bed Bed,
    network: String,
    visits: Visits,
    over: Arc<AtomicBool>,
    serving: Vec<JoinHandle<()>>,
    _alone: MutexGuard<'static, ()>,
}

/// Who came, by the address that was called.
type Visits = Arc<Mutex<BTreeMap<SocketAddr, usize>>>;

impl<'bed> FarWorld<'bed> {
    pub(crate) fn up(bed: &'bed Bed) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut world = Self {
            bed,
            network: unique("far"),
            visits: Visits::default(),
            over: Arc::default(),
            serving: Vec::new(),
            _alone: alone,
        };
        bed.exec(&["bash", "-c", UP]).must_succeed();
        let create = ["network", "create", "--ipv6"];
        let subnets = [
            "--subnet",
            "203.0.113.96/27",
            "--subnet",
            "2001:db8:3::60/123",
        ];
        bed.docker(&[&create[..], &subnets, &[&world.network]].concat())
            .must_succeed();
        world.serve_all();
        // The network's own address is tried out, too, once somebody is there.
        let first = world.visitor("runc");
        let target = SocketAddr::new(addresses_of(ACCEPTS)[1], OPEN_PORT);
        wait_for("IPv6 to reach the far ends", || {
            let said = first.exec(&format!("attacker knock 1 {target}")).stdout;
            said.contains("connected")
        });
        drop(first);
        world.visits();
        world
    }

    fn serve_all(&mut self) {
        self.listen(ACCEPTS, &PORTS, b"");
        self.listen(GREETS, &PORTS, GREETING);
        self.listen(MIXED, &[OPEN_PORT, LOSSY_PORT], b"");
    }

    /// Docker's flags for whoever visits.
    pub(crate) fn flags(&self) -> [&str; 2] {
        ["--network", &self.network]
    }

    /// A container that sleeps, once both of its addresses are its own: IPv6 tries one out first.
    pub(crate) fn visitor(&self, runtime: &str) -> Container<'bed> {
        let number = VISITORS.fetch_add(1, Ordering::Relaxed);
        let address = format!("203.0.113.{}", FIRST_VISITOR + number % VISITORS_ADDRESSES);
        let flags = [&self.flags()[..], &["--ip", &address]].concat();
        let container = self.bed.start_with(runtime, &flags, &["sleep", "600"]);
        wait_for("the container's addresses", || {
            let tentative = container.exec("ip -o address show tentative").stdout;
            !tentative.contains("2001:db8:3:")
        });
        container
    }

    /// From now on somebody accepts there, in both families, says this first, and sends back what
    /// comes.
    pub(crate) fn listen(&mut self, last: u8, ports: &[u16], greeting: &'static [u8]) {
        let far = Namespace::open(&self.namespace()).unwrap();
        let addresses = addresses_of(last);
        let listeners: Vec<TcpListener> = far
            .inside(|| {
                let ends = ports
                    .iter()
                    .flat_map(|port| addresses.map(|address| SocketAddr::new(address, *port)));
                ends.map(TcpListener::bind).collect::<Result<_, _>>()
            })
            .unwrap();
        let (visits, over) = (Arc::clone(&self.visits), Arc::clone(&self.over));
        let serve = move || serve(&listeners, greeting, &visits, &over);
        self.serving.push(std::thread::spawn(serve));
    }

    /// From now on what comes for a port of the far ends' own is lost, or no longer is.
    pub(crate) fn lose(&self, port: u16, lost: bool) {
        let verb = if lost { "add" } else { "delete" };
        let words = format!("{verb} element inet far lost {{ {port} }}");
        self.bed
            .exec(&["ip", "netns", "exec", "far", "nft", &words])
            .must_succeed();
    }

    /// Packets that come for the far ends.
    pub(crate) fn capture(&self) -> Capture {
        Capture::begin(self.bed, &self.namespace(), "near", "in")
    }

    /// How often each server was called since this was last asked.
    pub(crate) fn visits(&self) -> BTreeMap<SocketAddr, usize> {
        std::mem::take(&mut *self.visits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn namespace(&self) -> PathBuf {
        self.bed.inside("/run/netns/far")
    }
}

impl Drop for FarWorld<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.serving.drain(..) {
            thread.join().ok();
        }
        self.bed.docker(&["network", "rm", &self.network]);
        self.bed.exec(&["sh", "-c", DOWN]);
    }
}

/// Both addresses of a far end.
pub(crate) fn addresses_of(last: u8) -> [IpAddr; 2] {
    let host = far(last);
    [host.v4.into(), host.v6.into()]
}

/// Takes whoever comes, and keeps each until it has nothing more to say. It never waits.
fn serve(listeners: &[TcpListener], greeting: &[u8], visits: &Visits, over: &AtomicBool) {
    let mut guests: Vec<TcpStream> = Vec::new();
    for listener in listeners {
        listener.set_nonblocking(true).expect("a listener");
    }
    while !over.load(Ordering::Relaxed) {
        for listener in listeners {
            // Its errors are those of whoever was there and is gone.
            while let Ok((mut guest, _)) = listener.accept() {
                let called = guest.local_addr().expect("a connection");
                guest.set_nonblocking(true).expect("a connection");
                guest.write_all(greeting).ok();
                let mut visits = visits.lock().unwrap_or_else(PoisonError::into_inner);
                *visits.entry(called).or_default() += 1;
                guests.push(guest);
            }
        }
        guests.retain_mut(sends_back);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a guest may still have something to say.
fn sends_back(guest: &mut TcpStream) -> bool {
    let mut said = [0; 4096];
    match guest.read(&mut said) {
        Ok(0) => false,
        Ok(length) => guest.write_all(&said[..length]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Of captured packets: how many connections were begun to each address and port. A SYN that comes
/// again begins none.
pub(crate) fn begun(packets: &[String]) -> BTreeMap<String, usize> {
    let mut flows: Vec<(&str, &str)> = packets
        .iter()
        .filter(|packet| packet.contains("Flags [S]"))
        .filter_map(|packet| {
            packet
                .split_once(": ")?
                .0
                .split_once(' ')?
                .1
                .split_once(" > ")
        })
        .collect();
    flows.sort_unstable();
    flows.dedup();
    let mut begun = BTreeMap::new();
    for (_, to) in flows {
        *begun.entry(to.to_owned()).or_default() += 1;
    }
    begun
}
