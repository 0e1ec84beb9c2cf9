//! Writes nfnetlink messages, those of nf_tables and of nfnetlink_log: a header, and attributes in
//! which numbers are big-endian. Pure; reading is `sys::netlink`'s.

/// Flags of a message (linux/netlink.h).
pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
pub(crate) const NLM_F_APPEND: u16 = 0x800;

/// Protocol families (linux/netfilter.h).
pub(crate) const NFPROTO_UNSPEC: u8 = 0;
pub(crate) const NFPROTO_INET: u8 = 1;
pub(crate) const NFPROTO_IPV4: u8 = 2;
pub(crate) const NFPROTO_IPV6: u8 = 10;

/// Bytes of `struct nfgenmsg`, which comes before the attributes.
pub(crate) const HEADER: usize = 4;

/// The header of a message: `struct nlmsghdr` and `struct nfgenmsg`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NfMessage {
    pub(crate) subsystem: u8,
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) family: u8,
    /// `res_id`: a log group, a batch's subsystem.
    pub(crate) resource: u16,
}

/// The type of a message of one of nfnetlink's subsystems.
pub(crate) const fn kind(subsystem: u8, kind: u8) -> u16 {
    u16::from_be_bytes([subsystem, kind])
}

impl NfMessage {
    /// The whole message.
    pub(crate) fn bytes(&self, attributes: &Attributes) -> Vec<u8> {
        /// `NFNETLINK_V0`.
        const VERSION: u8 = 0;
        const LENGTH: usize = 16 + HEADER;
        let mut bytes = length(LENGTH + attributes.0.len()).to_ne_bytes().to_vec();
        bytes.extend(kind(self.subsystem, self.kind).to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        // The port, which the kernel fills in.
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend([self.family, VERSION]);
        bytes.extend(self.resource.to_be_bytes());
        bytes.extend(&attributes.0);
        bytes
    }
}

/// On the type of an attribute that holds others (linux/netlink.h).
const NLA_F_NESTED: u16 = 0x8000;

/// Netlink attributes: length, type, value, padding to four bytes (netlink(7)).
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// What stands in another list, behind what is here.
    pub(crate) fn append(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    pub(crate) fn raw(&mut self, kind: u16, value: &[u8]) {
        let length =
            u16::try_from(4 + value.len()).expect("our attributes are a few hundred bytes");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.raw(kind, &value.to_be_bytes());
    }

    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut terminated = value.as_bytes().to_vec();
        terminated.push(0);
        self.raw(kind, &terminated);
    }

    pub(crate) fn nested(&mut self, kind: u16, build: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        build(&mut inner);
        self.raw(kind | NLA_F_NESTED, &inner.0);
    }
}

/// A length as messages and registers have it.
pub(crate) fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a message of ours is a few kilobytes")
}
