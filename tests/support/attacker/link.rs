//! A link seen from a container, and whole Ethernet frames on it through AF_PACKET: they pass no
//! netfilter hook of the namespace they are sent from. Needs CAP_NET_RAW, which Docker grants root
//! by default.

#![expect(
    unsafe_code,
    reason = "neither nix nor socket2 can make a sockaddr_ll or set PACKET_QDISC_BYPASS"
)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::packets;

/// How long the gateway may take to be found.
const NEIGHBOUR_DEADLINE: Duration = Duration::from_secs(3);

/// Who we are on a link, and who leads away from it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) mac: [u8; 6],
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Option<Ipv6Addr>,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) gateway_mac: [u8; 6],
}

impl Link {
    pub(crate) fn look(name: &str) -> anyhow::Result<Self> {
        let gateway = gateway(name)?;
        let IpAddr::V4(v4) = own_address(gateway.into())? else {
            bail!("no IPv4 address on {name}")
        };
        let v6 = match own_address(IpAddr::from([0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x66])) {
            Ok(IpAddr::V6(address)) => Some(address),
            _ => None,
        };
        Ok(Self {
            name: name.to_owned(),
            mac: mac(name)?,
            v4,
            v6,
            gateway,
            gateway_mac: gateway_mac(name, gateway)?,
        })
    }

    /// Our own address in the family of another.
    pub(crate) fn own(&self, like: IpAddr) -> anyhow::Result<IpAddr> {
        match like {
            IpAddr::V4(_) => Ok(self.v4.into()),
            IpAddr::V6(_) => Ok(self
                .v6
                .with_context(|| format!("no IPv6 address on {}", self.name))?
                .into()),
        }
    }

    pub(crate) fn open(&self) -> anyhow::Result<Frames> {
        Ok(Frames {
            socket: open(&self.name, false)?,
            from: self.mac,
            to: self.gateway_mac,
        })
    }
}

/// Sends packets to the gateway's hardware address.
#[derive(Debug)]
pub(crate) struct Frames {
    pub(crate) socket: OwnedFd,
    from: [u8; 6],
    to: [u8; 6],
}

impl Frames {
    pub(crate) fn send(&self, packet: &[u8]) -> anyhow::Result<()> {
        self.send_frame(&packets::frame(self.from, self.to, packet))
    }

    /// A full queue is waited for.
    pub(crate) fn send_frame(&self, frame: &[u8]) -> anyhow::Result<()> {
        loop {
            match nix::unistd::write(&self.socket, frame) {
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::ENOBUFS) => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A socket for whole frames; `bypass` goes past queueing disciplines, too (packet(7)).
pub(crate) fn open(interface: &str, bypass: bool) -> anyhow::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .context("a packet socket")?;
    if bypass {
        bypass_queue(&socket)?;
    }
    bind(&socket, index(interface)?)?;
    Ok(socket)
}

fn bypass_queue(socket: &OwnedFd) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("an int is small");
    // SAFETY: the descriptor is open, and the option's value is an int of the length given, read
    // during the call only.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

fn bind(socket: &OwnedFd, index: i32) -> anyhow::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET)?,
        sll_protocol: u16::try_from(libc::ETH_P_ALL)?.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address))?;
    // SAFETY: the descriptor is open, and the address is a sockaddr_ll of the length given, read
    // during the call only.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error().into())
    }
}

/// The address that the kernel would send from.
pub(crate) fn own_address(target: IpAddr) -> anyhow::Result<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((target, 53))?;
    Ok(socket.local_addr()?.ip())
}

fn index(interface: &str) -> anyhow::Result<i32> {
    Ok(
        fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?
            .trim()
            .parse()?,
    )
}

pub(crate) fn mac(interface: &str) -> anyhow::Result<[u8; 6]> {
    parse_mac(fs::read_to_string(format!("/sys/class/net/{interface}/address"))?.trim())
}

/// The next hop of the default route: the third field, in the byte order of the machine.
fn gateway(interface: &str) -> anyhow::Result<Ipv4Addr> {
    let table = fs::read_to_string("/proc/net/route")?;
    let fields = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut gateways = fields
        .filter(|fields| fields.first() == Some(&interface) && fields.get(1) == Some(&"00000000"));
    let fields = gateways.next().context("no default route")?;
    Ok(
        u32::from_str_radix(fields.get(2).context("no gateway")?, 16)?
            .to_ne_bytes()
            .into(),
    )
}

/// Asks for the gateway's hardware address by sending it something, and waits for the answer.
fn gateway_mac(interface: &str, gateway: Ipv4Addr) -> anyhow::Result<[u8; 6]> {
    let end = Instant::now() + NEIGHBOUR_DEADLINE;
    let poke = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    loop {
        poke.send_to(b"", (gateway, 9)).ok();
        let table = fs::read_to_string("/proc/net/arp")?;
        let words = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut known = words.filter(|words| words.first() == Some(&gateway.to_string().as_str()));
        match known.next().and_then(|words| parse_mac(words.get(3)?).ok()) {
            Some(mac) if mac != [0; 6] => return Ok(mac),
            _ if Instant::now() > end => bail!("{gateway} does not answer on {interface}"),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

pub(crate) fn parse_mac(text: &str) -> anyhow::Result<[u8; 6]> {
    let bytes = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<Vec<u8>, _>>()?;
    bytes.try_into().ok().context("not six bytes")
}
