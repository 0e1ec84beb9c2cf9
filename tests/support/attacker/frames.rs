//! Whole Ethernet frames through AF_PACKET: they pass no netfilter hook of the namespace they are sent from, and with
//! `PACKET_QDISC_BYPASS` no queueing discipline either (packet(7)). Needs CAP_NET_RAW, which Docker grants by default.

#![expect(unsafe_code, reason = "neither nix nor socket2 can make a sockaddr_ll or set PACKET_QDISC_BYPASS")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// What the payload says, to be found in a capture.
const PAYLOAD: &[u8] = b"a frame that should not be here";

pub(crate) fn send_all(interface: &str, target: IpAddr) -> anyhow::Result<()> {
    let IpAddr::V4(target) = target else { bail!("an IPv4 address, please") };
    let own = mac(interface)?;
    for (name, destination) in [("broadcast", [0xff; 6]), ("gateway", gateway_mac(interface).unwrap_or([0xff; 6]))] {
        for bypass in [false, true] {
            let frame = frame(own, destination, target);
            match send(interface, &frame, bypass) {
                Ok(()) => println!("frame to {name}, bypass {bypass}: sent"),
                Err(error) => println!("frame to {name}, bypass {bypass}: {error}"),
            }
        }
    }
    Ok(())
}

fn send(interface: &str, frame: &[u8], bypass: bool) -> anyhow::Result<()> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    if bypass {
        bypass_queue(&socket)?;
    }
    bind(&socket, index(interface)?)?;
    nix::unistd::write(&socket, frame)?;
    Ok(())
}

fn bypass_queue(socket: &OwnedFd) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("an int is small");
    // SAFETY: the descriptor is open, and the option's value is an int of the length given, read during the call only.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
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
    // SAFETY: the descriptor is open, and the address is a sockaddr_ll of the length given, read during the call only.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

/// Ethernet, IPv4 and UDP headers by hand: to port 53, where a filter might look away.
fn frame(source: [u8; 6], destination: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    let from = own_address(target).unwrap_or(Ipv4Addr::new(192, 0, 2, 200));
    let length = |headers: usize| u16::try_from(PAYLOAD.len() + headers).expect("a short payload").to_be_bytes();
    let mut ip = vec![0x45, 0];
    ip.extend(length(28));
    ip.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.octets());
    ip.extend(target.octets());
    let sum = checksum(&ip).to_be_bytes();
    ip.splice(10..12, sum);
    let mut frame = Vec::from(destination);
    frame.extend(source);
    frame.extend([0x08, 0x00]);
    frame.extend(ip);
    frame.extend([0xc0, 0x00, 0, 53]);
    frame.extend(length(8));
    frame.extend([0, 0]); // no UDP checksum
    frame.extend(PAYLOAD);
    frame
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}

fn own_address(target: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((target, 53)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn index(interface: &str) -> anyhow::Result<i32> {
    Ok(fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?.trim().parse()?)
}

fn mac(interface: &str) -> anyhow::Result<[u8; 6]> {
    parse_mac(fs::read_to_string(format!("/sys/class/net/{interface}/address"))?.trim())
}

/// The first neighbour's address on the interface, mostly the gateway's.
fn gateway_mac(interface: &str) -> anyhow::Result<[u8; 6]> {
    let table = fs::read_to_string("/proc/net/arp")?;
    let line = table.lines().find(|line| line.ends_with(interface)).context("no neighbour")?;
    parse_mac(line.split_whitespace().nth(3).context("no address")?)
}

fn parse_mac(text: &str) -> anyhow::Result<[u8; 6]> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<u8>, _>>()?;
    bytes.try_into().ok().context("not six bytes")
}
