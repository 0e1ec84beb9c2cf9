//! The packets that the gateway's kernel and the filter exchange: reports of refused packets, ARP
//! and NDP requests, ICMP errors, fragments, SYNs that are kept back, datagrams in a stranger's name.
//!
//! Pure: bytes in, plain values out, and the other way round. The filter reads these packets of the
//! container, so they are separate from `gateway`, which needs privileges and which the filter must
//! not know.

pub mod agreed;
pub mod arp_ndp;
pub mod datagram;
pub mod fragment;
pub mod icmp;
pub mod ip;
pub mod nflog;
pub(crate) mod nfnetlink;
pub mod syn;
