//! Sets of flows, which rules add to and look up.

use crate::packets::nfnetlink::{NFPROTO_IPV4, NFPROTO_IPV6};

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// As nf_tables has it.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::V4 => NFPROTO_IPV4,
            Self::V6 => NFPROTO_IPV6,
        }
    }

    /// Length of an address in bytes.
    pub(super) fn address_length(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Where the source address stands in the header; the destination address follows it.
    pub(super) fn source_offset(self) -> u32 {
        match self {
            Self::V4 => 12,
            Self::V6 => 8,
        }
    }
}

/// A set of flows: the remote end's address and port, and the near end's port. An entry is
/// forgotten when nobody has noted it again for `timeout_seconds`; a full set takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowSet {
    /// Its name in the table.
    pub name: &'static str,
    /// Whose addresses it holds.
    pub family: Family,
    /// How long an entry lasts, in seconds.
    pub timeout_seconds: u64,
    /// Entries, at most. One takes 84 (IPv4) or 132 bytes (IPv6) of kernel memory.
    pub size: u32,
}

/// Which end of a packet is the remote one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// The packet's source.
    Source,
    /// The packet's destination.
    Destination,
}
