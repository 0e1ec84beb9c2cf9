//! The packets that the gateway's kernel and the filter exchange: what the kernel logs of refused
//! ones, who asks for a neighbour, ICMP errors, fragments.
//!
//! Pure: bytes in, plain values out, and the other way round. The filter reads these
//! of a container's, so they stand apart from `gateway`, which has rights and which the filter must
//! not know.

pub mod agreed;
pub mod arp_ndp;
pub mod fragment;
pub mod icmp;
pub mod ip;
pub mod nflog;
pub(crate) mod nfnetlink;
