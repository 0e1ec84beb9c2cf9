//! Rules: matches, statements and verdicts, one method each, in the words of nft(8).
//!
//! Every expression of ours works in one register, `NFT_REG_1`, of 16 bytes. The key of a set begins
//! there, too, and goes on in the 4-byte registers behind it.

use super::flow_set::{Family, FlowSet, Remote};
use super::uapi::{
    IP_CT_DIR_REPLY, IPPROTO_FRAGMENT, NF_ACCEPT, NF_DROP, NFT_CMP_EQ, NFT_CMP_NEQ,
    NFT_CONNLIMIT_F_INV, NFT_CT_DIRECTION, NFT_CT_MARK, NFT_CT_STATE, NFT_DYNSET_OP_UPDATE,
    NFT_EXTHDR_F_PRESENT, NFT_FIB_RESULT_ADDRTYPE, NFT_FIB_RESULT_OIF, NFT_JUMP, NFT_LIMIT_PKTS,
    NFT_LOOKUP_F_INV, NFT_META_IIFNAME, NFT_META_L4PROTO, NFT_META_MARK, NFT_META_NFPROTO,
    NFT_META_OIFNAME, NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_RANGE_EQ,
    NFT_RANGE_NEQ, NFT_REG_1, NFT_REG_VERDICT, NFT_REG32_00, NFT_REJECT_ICMPX_ADMIN_PROHIBITED,
    NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_TCP_RST, NFT_SOCKET_MARK, NFT_SOCKET_TRANSPARENT,
    NFT_SOCKET_WILDCARD, NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_SREG,
    NFTA_BITWISE_XOR, NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_CMP_SREG, NFTA_CONNLIMIT_COUNT,
    NFTA_CONNLIMIT_FLAGS, NFTA_CT_DREG, NFTA_CT_KEY, NFTA_CT_SREG, NFTA_DATA_VALUE,
    NFTA_DATA_VERDICT, NFTA_DYNSET_OP, NFTA_DYNSET_SET_NAME, NFTA_DYNSET_SREG_KEY, NFTA_EXPR_DATA,
    NFTA_EXPR_NAME, NFTA_EXTHDR_DREG, NFTA_EXTHDR_FLAGS, NFTA_EXTHDR_LEN, NFTA_EXTHDR_OFFSET,
    NFTA_EXTHDR_TYPE, NFTA_FIB_DREG, NFTA_FIB_F_DADDR, NFTA_FIB_F_IIF, NFTA_FIB_F_SADDR,
    NFTA_FIB_FLAGS, NFTA_FIB_RESULT, NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG, NFTA_LIMIT_BURST,
    NFTA_LIMIT_RATE, NFTA_LIMIT_TYPE, NFTA_LIMIT_UNIT, NFTA_LIST_ELEM, NFTA_LOG_GROUP,
    NFTA_LOG_PREFIX, NFTA_LOG_QTHRESHOLD, NFTA_LOG_SNAPLEN, NFTA_LOOKUP_FLAGS, NFTA_LOOKUP_SET,
    NFTA_LOOKUP_SREG, NFTA_META_DREG, NFTA_META_KEY, NFTA_META_SREG, NFTA_PAYLOAD_BASE,
    NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_LEN, NFTA_PAYLOAD_OFFSET, NFTA_RANGE_FROM_DATA, NFTA_RANGE_OP,
    NFTA_RANGE_SREG, NFTA_RANGE_TO_DATA, NFTA_REJECT_ICMP_CODE, NFTA_REJECT_TYPE, NFTA_SOCKET_DREG,
    NFTA_SOCKET_KEY, NFTA_TPROXY_FAMILY, NFTA_TPROXY_REG_PORT, NFTA_VERDICT_CHAIN,
    NFTA_VERDICT_CODE, RTN_LOCAL,
};
use crate::packets::nfnetlink::{Attributes, NFPROTO_UNSPEC, length};

/// The bits of `ct state` (`NF_CT_STATE_BIT`, `NF_CT_STATE_INVALID_BIT`,
/// linux/netfilter/nf_conntrack_common.h).
const STATE_INVALID: u32 = 0x1;
const STATE_ESTABLISHED: u32 = 0x2;
const STATE_RELATED: u32 = 0x4;
const STATE_NEW: u32 = 0x8;

/// Flags of TCP (RFC 9293 3.1).
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NftVerdict {
    /// The packet goes on.
    Accept,
    /// The packet ends here, silently.
    Drop,
}

impl NftVerdict {
    /// As nf_tables has it.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Accept => NF_ACCEPT,
            Self::Drop => NF_DROP,
        }
    }
}

/// How a refused packet's sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// A TCP reset.
    Reset,
    /// ICMP or ICMPv6 "administratively prohibited".
    Prohibited,
}

/// One rule: expressions from left to right; the first that doesn't hold ends it.
#[derive(Debug, Default)]
pub struct Rule(Attributes);

impl Rule {
    /// The list of its expressions.
    pub(super) fn expressions(&self) -> &Attributes {
        &self.0
    }

    /// A rule that matches everything so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The packet came in by an interface whose name begins so.
    #[must_use]
    pub fn from_interface(self, prefix: &str) -> Self {
        self.meta(NFT_META_IIFNAME)
            .compare(NFT_CMP_EQ, prefix.as_bytes())
    }

    /// The packet came in by an interface whose name does not begin so.
    #[must_use]
    pub fn not_from_interface(self, prefix: &str) -> Self {
        self.meta(NFT_META_IIFNAME)
            .compare(NFT_CMP_NEQ, prefix.as_bytes())
    }

    /// The packet goes out by an interface whose name begins so.
    #[must_use]
    pub fn to_interface(self, prefix: &str) -> Self {
        self.meta(NFT_META_OIFNAME)
            .compare(NFT_CMP_EQ, prefix.as_bytes())
    }

    /// The transport protocol is this (`IPPROTO_…`).
    #[must_use]
    pub fn transport(self, protocol: u8) -> Self {
        self.meta(NFT_META_L4PROTO).compare(NFT_CMP_EQ, &[protocol])
    }

    /// The packet is of this version of IP.
    #[must_use]
    pub fn of_family(self, family: Family) -> Self {
        self.meta(NFT_META_NFPROTO)
            .compare(NFT_CMP_EQ, &[family.number()])
    }

    /// The packet is a part of a larger one.
    #[must_use]
    pub fn is_fragment(self, family: Family) -> Self {
        /// Offset and "more fragments" flag.
        const PLACE: [u8; 2] = [0x3f, 0xff];
        let rule = self.of_family(family);
        match family {
            Family::V4 => rule
                .network_bytes(6, 2)
                .masked(&PLACE)
                .compare(NFT_CMP_NEQ, &[0; 2]),
            Family::V6 => {
                let header = rule.expression("exthdr", |data| {
                    data.number(NFTA_EXTHDR_DREG, NFT_REG_1);
                    data.raw(NFTA_EXTHDR_TYPE, &[IPPROTO_FRAGMENT]);
                    data.number(NFTA_EXTHDR_OFFSET, 0);
                    data.number(NFTA_EXTHDR_LEN, 1);
                    data.number(NFTA_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
                });
                header.compare(NFT_CMP_EQ, &[1])
            }
        }
    }

    /// The destination is of this version of IP, and begins with these bytes.
    #[must_use]
    pub fn destination_begins(self, family: Family, bytes: &[u8]) -> Self {
        let offset = match family {
            Family::V4 => 16,
            Family::V6 => 24,
        };
        let length = u32::try_from(bytes.len()).unwrap_or_default();
        let of_family = self.of_family(family).network_bytes(offset, length);
        of_family.compare(NFT_CMP_EQ, bytes)
    }

    /// IPv6: the hop limit is this.
    #[must_use]
    pub fn hop_limit(self, limit: u8) -> Self {
        self.network_bytes(7, 1).compare(NFT_CMP_EQ, &[limit])
    }

    /// IPv6: the destination, masked, is this.
    #[must_use]
    pub fn destination_in(self, address: [u8; 2], mask: [u8; 2]) -> Self {
        self.network_bytes(24, 2)
            .masked(&mask)
            .compare(NFT_CMP_EQ, &address)
    }

    /// IPv6: the source, masked, is this.
    #[must_use]
    pub fn source_in(self, address: [u8; 2], mask: [u8; 2]) -> Self {
        self.network_bytes(8, 2)
            .masked(&mask)
            .compare(NFT_CMP_EQ, &address)
    }

    /// IPv6: the source is `::`.
    #[must_use]
    pub fn from_nowhere(self) -> Self {
        self.network_bytes(8, 16).compare(NFT_CMP_EQ, &[0; 16])
    }

    /// The packet is marked so.
    #[must_use]
    pub fn marked(self, mark: u32) -> Self {
        self.meta(NFT_META_MARK)
            .compare(NFT_CMP_EQ, &mark.to_ne_bytes())
    }

    /// The destination port lies in the range (TCP and UDP alike: bytes 2 and 3).
    #[must_use]
    pub fn destination_port(self, (from, to): (u16, u16)) -> Self {
        self.transport_bytes(2, 2)
            .range(NFT_RANGE_EQ, &from.to_be_bytes(), &to.to_be_bytes())
    }

    /// The destination port does not lie in the range.
    #[must_use]
    pub fn not_destination_port(self, (from, to): (u16, u16)) -> Self {
        self.transport_bytes(2, 2)
            .range(NFT_RANGE_NEQ, &from.to_be_bytes(), &to.to_be_bytes())
    }

    /// The first byte of the transport header lies in the range (ICMP's type).
    #[must_use]
    pub fn icmp_type(self, from: u8, to: u8) -> Self {
        self.transport_bytes(0, 1)
            .range(NFT_RANGE_EQ, &[from], &[to])
    }

    /// It belongs to a socket in this namespace that has `IP_TRANSPARENT` and is bound to one
    /// address (`socket wildcard 0 socket transparent 1`): a listener on every address is not
    /// meant, or whoever is outside could connect to it.
    #[must_use]
    pub fn of_transparent_socket(self) -> Self {
        self.socket(NFT_SOCKET_WILDCARD)
            .compare(NFT_CMP_EQ, &[0])
            .socket(NFT_SOCKET_TRANSPARENT)
            .compare(NFT_CMP_EQ, &[1])
    }

    /// The socket that it belongs to marks what it sends so; 0: not at all (`socket mark`).
    #[must_use]
    pub fn of_marking_socket(self, mark: u32) -> Self {
        self.socket(NFT_SOCKET_MARK)
            .compare(NFT_CMP_EQ, &mark.to_ne_bytes())
    }

    /// It belongs to a socket in this namespace that has `IP_TRANSPARENT`, also to one that isn't
    /// open yet or any more: half a handshake, or what waits after a close. A listener is meant,
    /// too, where the packet is for its own port.
    #[must_use]
    pub fn of_transparent_socket_in_any_state(self) -> Self {
        self.socket(NFT_SOCKET_TRANSPARENT)
            .compare(NFT_CMP_EQ, &[1])
    }

    /// No route leads back to its source by the interface it came in by (`fib saddr . iif oif
    /// missing`).
    #[must_use]
    pub fn source_is_foreign(self) -> Self {
        self.fib(NFT_FIB_RESULT_OIF, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF)
            .compare(NFT_CMP_EQ, &[0; 4])
    }

    /// Its destination is an address of this namespace's own (`fib daddr type local`).
    #[must_use]
    pub fn to_own_address(self) -> Self {
        self.fib(NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR)
            .compare(NFT_CMP_EQ, &RTN_LOCAL.to_ne_bytes())
    }

    /// TCP: it asks for a connection (SYN without ACK).
    #[must_use]
    pub fn opens_tcp(self) -> Self {
        self.transport_bytes(13, 1)
            .masked(&[SYN | ACK])
            .compare(NFT_CMP_EQ, &[SYN])
    }

    /// TCP: it is the segment that begins a connection (SYN, and neither FIN nor RST nor ACK).
    #[must_use]
    pub fn only_opens_tcp(self) -> Self {
        self.opening_flags().compare(NFT_CMP_EQ, &[SYN])
    }

    /// TCP: it is any other segment.
    #[must_use]
    pub fn not_opening_tcp(self) -> Self {
        self.opening_flags().compare(NFT_CMP_NEQ, &[SYN])
    }

    /// TCP: it is a reset that acknowledges nothing: it answers a segment that belongs to no connection
    /// (RFC 9293 3.5.2, group 1).
    #[must_use]
    pub fn refuses_a_segment(self) -> Self {
        self.opening_flags().compare(NFT_CMP_EQ, &[RST])
    }

    fn opening_flags(self) -> Self {
        self.transport_bytes(13, 1).masked(&[FIN | SYN | RST | ACK])
    }

    /// TCP: it asks for a connection, grants one or ends one (SYN, FIN or RST).
    #[must_use]
    pub fn opens_or_ends_tcp(self) -> Self {
        self.transport_bytes(13, 1)
            .masked(&[FIN | SYN | RST])
            .compare(NFT_CMP_NEQ, &[0])
    }

    /// Its flow is in the set.
    #[must_use]
    pub fn of_noted(self, set: &FlowSet, remote: Remote) -> Self {
        self.of_family(set.family)
            .flow_key(set.family, remote)
            .lookup(set, 0)
    }

    /// Its flow is not in the set; packets of the other version of IP aren't meant.
    #[must_use]
    pub fn not_of_noted(self, set: &FlowSet, remote: Remote) -> Self {
        self.of_family(set.family)
            .flow_key(set.family, remote)
            .lookup(set, NFT_LOOKUP_F_INV)
    }

    /// Notes its flow in the set, or that it is still in use. Where the set is full, the rule ends
    /// here.
    #[must_use]
    pub fn note(self, set: &FlowSet, remote: Remote) -> Self {
        self.of_family(set.family)
            .flow_key(set.family, remote)
            .expression("dynset", |data| {
                data.text(NFTA_DYNSET_SET_NAME, set.name);
                data.number(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
                data.number(NFTA_DYNSET_SREG_KEY, NFT_REG_1);
            })
    }

    /// Conntrack doesn't see it. Only before conntrack's own hook (priority -200).
    #[must_use]
    pub fn untracked(self) -> Self {
        self.expression("notrack", |_| {})
    }

    /// More than so many connections that this rule has seen are open.
    #[must_use]
    pub fn beyond_connections(self, limit: u32) -> Self {
        self.expression("connlimit", |data| {
            data.number(NFTA_CONNLIMIT_COUNT, limit);
            data.number(NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
        })
    }

    /// No more than so many packets a second have come here, over a longer time, nor `burst` in one
    /// moment (`limit rate`): of those alone, the rule goes on.
    #[must_use]
    pub fn within_rate(self, packets_a_second: u64, burst: u32) -> Self {
        const A_SECOND: u64 = 1;
        self.expression("limit", |data| {
            data.raw(NFTA_LIMIT_RATE, &packets_a_second.to_be_bytes());
            data.raw(NFTA_LIMIT_UNIT, &A_SECOND.to_be_bytes());
            data.number(NFTA_LIMIT_BURST, burst);
            data.number(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
        })
    }

    /// Conntrack can't make sense of it (`ct state invalid`).
    #[must_use]
    pub fn of_no_connection(self) -> Self {
        self.in_state(STATE_INVALID)
    }

    /// It answers a connection that the other side opened (`ct direction reply`).
    #[must_use]
    pub fn is_reply(self) -> Self {
        self.conntrack(NFT_CT_DIRECTION)
            .compare(NFT_CMP_EQ, &[IP_CT_DIR_REPLY])
    }

    /// It belongs to a connection that was remembered so.
    #[must_use]
    pub fn of_remembered(self, mark: u32) -> Self {
        self.conntrack(NFT_CT_MARK)
            .compare(NFT_CMP_EQ, &mark.to_ne_bytes())
    }

    /// Remembers the packet's connection by a mark of its own (`ct mark set`).
    #[must_use]
    pub fn remember(self, mark: u32) -> Self {
        self.immediate(&mark.to_ne_bytes())
            .expression("ct", |data| {
                data.number(NFTA_CT_KEY, NFT_CT_MARK);
                data.number(NFTA_CT_SREG, NFT_REG_1);
            })
    }

    /// It opens a connection (`ct state new`).
    #[must_use]
    pub fn opens_connection(self) -> Self {
        self.in_state(STATE_NEW)
    }

    /// It belongs to a connection, or is an error about one (`ct state established,related`).
    #[must_use]
    pub fn of_connection(self) -> Self {
        self.in_state(STATE_ESTABLISHED | STATE_RELATED)
    }

    /// Marks the packet.
    #[must_use]
    pub fn mark(self, mark: u32) -> Self {
        self.immediate(&mark.to_ne_bytes())
            .expression("meta", |data| {
                data.number(NFTA_META_KEY, NFT_META_MARK);
                data.number(NFTA_META_SREG, NFT_REG_1);
            })
    }

    /// Hands the packet to the transparent socket on this port.
    #[must_use]
    pub fn to_proxy(self, port: u16) -> Self {
        self.immediate(&port.to_be_bytes())
            .expression("tproxy", |data| {
                data.number(NFTA_TPROXY_FAMILY, NFPROTO_UNSPEC.into());
                data.number(NFTA_TPROXY_REG_PORT, NFT_REG_1);
            })
    }

    /// Copies the packet's first `bytes` to the listeners of a log group, with a word that says
    /// why.
    #[must_use]
    pub fn log(self, group: u16, why: &str, bytes: u32) -> Self {
        self.expression("log", |data| {
            data.raw(NFTA_LOG_GROUP, &group.to_be_bytes());
            data.text(NFTA_LOG_PREFIX, why);
            data.number(NFTA_LOG_SNAPLEN, bytes);
            // Each is reported at once, none waits for others.
            data.raw(NFTA_LOG_QTHRESHOLD, &1_u16.to_be_bytes());
        })
    }

    /// Refuses it and tells its sender.
    #[must_use]
    pub fn reject(self, how: Reject) -> Self {
        self.expression("reject", |data| match how {
            Reject::Reset => {
                data.number(NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
                // Asked for by the kernel, and not used.
                data.raw(NFTA_REJECT_ICMP_CODE, &[0]);
            }
            Reject::Prohibited => {
                data.number(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
                data.raw(NFTA_REJECT_ICMP_CODE, &[NFT_REJECT_ICMPX_ADMIN_PROHIBITED]);
            }
        })
    }

    /// Goes on with the rules of another chain, and comes back.
    #[must_use]
    pub fn jump(self, chain: &str) -> Self {
        self.decide(NFT_JUMP.cast_unsigned(), Some(chain))
    }

    /// Ends with a verdict.
    #[must_use]
    pub fn verdict(self, verdict: NftVerdict) -> Self {
        self.decide(verdict.code(), None)
    }

    /// `immediate` into the verdict's register.
    fn decide(self, code: u32, chain: Option<&str>) -> Self {
        self.expression("immediate", |data| {
            data.number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            data.nested(NFTA_IMMEDIATE_DATA, |value| {
                value.nested(NFTA_DATA_VERDICT, |verdict| {
                    verdict.number(NFTA_VERDICT_CODE, code);
                    if let Some(chain) = chain {
                        verdict.text(NFTA_VERDICT_CHAIN, chain);
                    }
                });
            });
        })
    }

    fn in_state(self, bits: u32) -> Self {
        self.conntrack(NFT_CT_STATE)
            .masked(&bits.to_ne_bytes())
            .compare(NFT_CMP_NEQ, &[0; 4])
    }

    /// `bitwise`: keeps the bits of a mask.
    fn masked(self, mask: &[u8]) -> Self {
        self.expression("bitwise", |data| {
            data.number(NFTA_BITWISE_SREG, NFT_REG_1);
            data.number(NFTA_BITWISE_DREG, NFT_REG_1);
            data.number(NFTA_BITWISE_LEN, length(mask.len()));
            value(data, NFTA_BITWISE_MASK, mask);
            value(data, NFTA_BITWISE_XOR, &vec![0; mask.len()]);
        })
    }

    /// Loads a flow's key: the remote address into the first register, the remote and the near port
    /// into the words behind it.
    fn flow_key(self, family: Family, remote: Remote) -> Self {
        const SOURCE_PORT: u32 = 0;
        const DESTINATION_PORT: u32 = 2;
        let length = family.address_length();
        let (address, remote_port, near_port) = match remote {
            Remote::Source => (family.source_offset(), SOURCE_PORT, DESTINATION_PORT),
            Remote::Destination => (
                family.source_offset() + length,
                DESTINATION_PORT,
                SOURCE_PORT,
            ),
        };
        let behind = NFT_REG32_00 + length / 4;
        self.payload(NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, address, length)
            .payload(behind, NFT_PAYLOAD_TRANSPORT_HEADER, remote_port, 2)
            .payload(behind + 1, NFT_PAYLOAD_TRANSPORT_HEADER, near_port, 2)
    }

    fn fib(self, result: u32, flags: u32) -> Self {
        self.expression("fib", |data| {
            data.number(NFTA_FIB_DREG, NFT_REG_1);
            data.number(NFTA_FIB_RESULT, result);
            data.number(NFTA_FIB_FLAGS, flags);
        })
    }

    fn lookup(self, set: &FlowSet, flags: u32) -> Self {
        self.expression("lookup", |data| {
            data.text(NFTA_LOOKUP_SET, set.name);
            data.number(NFTA_LOOKUP_SREG, NFT_REG_1);
            data.number(NFTA_LOOKUP_FLAGS, flags);
        })
    }

    fn socket(self, key: u32) -> Self {
        self.expression("socket", |data| {
            data.number(NFTA_SOCKET_KEY, key);
            data.number(NFTA_SOCKET_DREG, NFT_REG_1);
        })
    }

    fn meta(self, key: u32) -> Self {
        self.expression("meta", |data| {
            data.number(NFTA_META_DREG, NFT_REG_1);
            data.number(NFTA_META_KEY, key);
        })
    }

    fn conntrack(self, key: u32) -> Self {
        self.expression("ct", |data| {
            data.number(NFTA_CT_DREG, NFT_REG_1);
            data.number(NFTA_CT_KEY, key);
        })
    }

    fn transport_bytes(self, offset: u32, length: u32) -> Self {
        self.payload(NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, offset, length)
    }

    fn network_bytes(self, offset: u32, length: u32) -> Self {
        self.payload(NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, offset, length)
    }

    fn payload(self, register: u32, header: u32, offset: u32, length: u32) -> Self {
        self.expression("payload", |data| {
            data.number(NFTA_PAYLOAD_DREG, register);
            data.number(NFTA_PAYLOAD_BASE, header);
            data.number(NFTA_PAYLOAD_OFFSET, offset);
            data.number(NFTA_PAYLOAD_LEN, length);
        })
    }

    /// `cmp`. Shorter values compare a prefix.
    fn compare(self, operator: u32, bytes: &[u8]) -> Self {
        self.expression("cmp", |data| {
            data.number(NFTA_CMP_SREG, NFT_REG_1);
            data.number(NFTA_CMP_OP, operator);
            value(data, NFTA_CMP_DATA, bytes);
        })
    }

    fn range(self, operator: u32, from: &[u8], to: &[u8]) -> Self {
        self.expression("range", |data| {
            data.number(NFTA_RANGE_SREG, NFT_REG_1);
            data.number(NFTA_RANGE_OP, operator);
            value(data, NFTA_RANGE_FROM_DATA, from);
            value(data, NFTA_RANGE_TO_DATA, to);
        })
    }

    fn immediate(self, bytes: &[u8]) -> Self {
        self.expression("immediate", |data| {
            data.number(NFTA_IMMEDIATE_DREG, NFT_REG_1);
            value(data, NFTA_IMMEDIATE_DATA, bytes);
        })
    }

    fn expression(mut self, name: &str, build: impl FnOnce(&mut Attributes)) -> Self {
        self.0.nested(NFTA_LIST_ELEM, |element| {
            element.text(NFTA_EXPR_NAME, name);
            element.nested(NFTA_EXPR_DATA, build);
        });
        self
    }
}

/// Bytes that an expression compares with or loads.
fn value(data: &mut Attributes, attribute: u16, bytes: &[u8]) {
    data.nested(attribute, |value| value.raw(NFTA_DATA_VALUE, bytes));
}
