//! Writes nf_tables batches: the bytes that `nft -f` would send, for the few expressions that our
//! ruleset needs.
//!
//! Owns batches and the objects in them; rules are `rule`'s. Pure: bytes only, sent by
//! `sys::netlink`. Constants are those of `linux/netfilter/nf_tables.h`; every integer in an
//! attribute is big-endian. (The crates that do this are GPL, link C libraries, or run the `nft`
//! program.)

mod attributes;
mod rule;

use attributes::{Attributes, length};
pub use rule::Rule;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFPROTO_INET: u8 = 1;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

/// Where a chain hooks in, and what it does with packets that no rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before routing (`NF_INET_PRE_ROUTING`).
    Prerouting,
    /// To this namespace's own sockets (`NF_INET_LOCAL_IN`).
    Input,
    /// Through this namespace (`NF_INET_FORWARD`).
    Forward,
    /// From this namespace itself (`NF_INET_LOCAL_OUT`).
    Output,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The packet goes on.
    Accept,
    /// The packet ends here, silently.
    Drop,
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
    fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    /// Length of an address in bytes.
    fn address_length(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Where the source address stands in the header; the destination address follows it.
    fn source_offset(self) -> u32 {
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

/// How a refused packet's sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// A TCP reset.
    Reset,
    /// ICMP or ICMPv6 «administratively prohibited».
    Prohibited,
}

/// A batch that makes one table: all of it comes into force, or nothing.
#[derive(Debug)]
pub struct Batch {
    table: &'static str,
    bytes: Vec<u8>,
    messages: u32,
}

impl Batch {
    /// Begins with a new table of family `inet`.
    #[must_use]
    pub fn new(table: &'static str) -> Self {
        let mut batch = Self {
            table,
            bytes: Vec::with_capacity(8 * 1024),
            messages: 0,
        };
        batch.control(0x10);
        batch.message(0, NLM_F_CREATE, |attributes| attributes.text(1, table));
        batch
    }

    /// Adds a set of flows.
    pub fn set(&mut self, set: &FlowSet) {
        const TIMEOUT_AND_DYNAMIC: u32 = 0x10 | 0x20;
        // The types' numbers in libnftables, for people who list the set: address . port . port.
        const PORT: u32 = 13;
        let address = match set.family {
            Family::V4 => 7,
            Family::V6 => 8,
        };
        let table = self.table;
        self.message(9, NLM_F_CREATE, |attributes| {
            attributes.text(1, table);
            attributes.text(2, set.name);
            attributes.number(3, TIMEOUT_AND_DYNAMIC);
            attributes.number(4, (address << 12) | (PORT << 6) | PORT);
            attributes.number(5, set.family.address_length() + 8);
            attributes.nested(9, |description| description.number(1, set.size));
            attributes.number(10, 1);
            attributes.raw(11, &(set.timeout_seconds * 1000).to_be_bytes());
        });
    }

    /// Adds a chain that rules jump to.
    pub fn jump_target(&mut self, name: &str) {
        let table = self.table;
        self.message(3, NLM_F_CREATE, |attributes| {
            attributes.text(1, table);
            attributes.text(3, name);
        });
    }

    /// Adds a base chain of type `filter`.
    pub fn chain(&mut self, name: &str, hook: Hook, priority: i32, policy: Verdict) {
        let table = self.table;
        let number = match hook {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Output => 3,
        };
        self.message(3, NLM_F_CREATE, |attributes| {
            attributes.text(1, table);
            attributes.text(3, name);
            attributes.nested(4, |hook| {
                hook.number(1, number);
                hook.number(2, priority.cast_unsigned());
            });
            attributes.number(5, u32::from(policy == Verdict::Accept));
            attributes.text(7, "filter");
        });
    }

    /// Appends a rule to a chain.
    pub fn rule(&mut self, chain: &str, rule: &Rule) {
        let table = self.table;
        self.message(6, NLM_F_CREATE | NLM_F_APPEND, |attributes| {
            attributes.text(1, table);
            attributes.text(2, chain);
            attributes.nested(4, |expressions| expressions.append(rule.expressions()));
        });
    }

    /// Ends the batch: its bytes, and how many acknowledgements will come.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, usize) {
        self.control(0x11);
        (self.bytes, self.messages as usize)
    }

    /// `NFNL_MSG_BATCH_BEGIN` or `_END`.
    fn control(&mut self, kind: u16) {
        self.put(kind, 0, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES, &[]);
    }

    fn message(&mut self, kind: u16, flags: u16, build: impl FnOnce(&mut Attributes)) {
        let mut attributes = Attributes::default();
        build(&mut attributes);
        self.messages += 1;
        let kind = (NFNL_SUBSYS_NFTABLES << 8) | kind;
        self.put(
            kind,
            self.messages,
            NLM_F_REQUEST | NLM_F_ACK | flags,
            NFPROTO_INET,
            0,
            attributes.bytes(),
        );
    }

    /// `nlmsghdr`, `nfgenmsg`, attributes.
    fn put(
        &mut self,
        kind: u16,
        sequence: u32,
        flags: u16,
        family: u8,
        resource: u16,
        attributes: &[u8],
    ) {
        self.bytes
            .extend(length(20 + attributes.len()).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
    }
}
