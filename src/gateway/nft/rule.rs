//! Rules: matches, statements and verdicts, one method each, in the words of nft(8).
//!
//! Constants are those of `linux/netfilter/nf_tables.h` unless they say otherwise.

use super::attributes::{Attributes, length};
use super::{Family, FlowSet, Reject, Remote, Verdict};

/// The register that every expression of ours works in (`NFT_REG_1`, 16 bytes). The key of a set
/// begins there, too, and goes on in the 4-byte registers behind it.
const REGISTER: u32 = 1;
/// `NFT_REG32_00`: the first 4 bytes of [`REGISTER`].
const FIRST_WORD: u32 = 8;

/// Keys of `meta` (`enum nft_meta_keys`).
const META_MARK: u32 = 3;
const META_INPUT_NAME: u32 = 6;
const META_OUTPUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;

/// Keys of `ct` (`enum nft_ct_keys`).
const CT_STATE: u32 = 0;
const CT_DIRECTION: u32 = 1;
const CT_MARK: u32 = 3;

/// Bits of `ct state` (`NF_CT_STATE_BIT`, nf_conntrack_common.h).
const STATE_INVALID: u32 = 0x1;
const STATE_ESTABLISHED: u32 = 0x2;
const STATE_RELATED: u32 = 0x4;
const STATE_NEW: u32 = 0x8;

/// Headers that `payload` counts from (`enum nft_payload_bases`).
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// Flags of TCP (RFC 9293 3.1).
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Operators of `cmp` (`enum nft_cmp_ops`).
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

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
        self.meta(META_INPUT_NAME).compare(EQUAL, prefix.as_bytes())
    }

    /// The packet came in by an interface whose name does not begin so.
    #[must_use]
    pub fn not_from_interface(self, prefix: &str) -> Self {
        self.meta(META_INPUT_NAME)
            .compare(NOT_EQUAL, prefix.as_bytes())
    }

    /// The packet goes out by an interface whose name begins so.
    #[must_use]
    pub fn to_interface(self, prefix: &str) -> Self {
        self.meta(META_OUTPUT_NAME)
            .compare(EQUAL, prefix.as_bytes())
    }

    /// The transport protocol is this (`IPPROTO_…`).
    #[must_use]
    pub fn transport(self, protocol: u8) -> Self {
        self.meta(META_TRANSPORT).compare(EQUAL, &[protocol])
    }

    /// The packet is of this version of IP.
    #[must_use]
    pub fn of_family(self, family: Family) -> Self {
        self.meta(META_FAMILY).compare(EQUAL, &[family.number()])
    }

    /// The packet is a part of a larger one.
    #[must_use]
    pub fn is_fragment(self, family: Family) -> Self {
        /// Offset and «more fragments».
        const PLACE: [u8; 2] = [0x3f, 0xff];
        /// `IPPROTO_FRAGMENT`; `NFT_EXTHDR_F_PRESENT`.
        const HEADER: u8 = 44;
        const PRESENT: u32 = 1;
        let rule = self.of_family(family);
        match family {
            Family::V4 => rule
                .network_bytes(6, 2)
                .masked(&PLACE)
                .compare(NOT_EQUAL, &[0; 2]),
            Family::V6 => {
                let header = rule.expression("exthdr", |data| {
                    data.number(1, REGISTER);
                    data.raw(2, &[HEADER]);
                    data.number(3, 0);
                    data.number(4, 1);
                    data.number(5, PRESENT);
                });
                header.compare(EQUAL, &[1])
            }
        }
    }

    /// IPv6: the hop limit is this.
    #[must_use]
    pub fn hop_limit(self, limit: u8) -> Self {
        self.network_bytes(7, 1).compare(EQUAL, &[limit])
    }

    /// IPv6: the destination, masked, is this.
    #[must_use]
    pub fn destination_in(self, address: [u8; 2], mask: [u8; 2]) -> Self {
        self.network_bytes(24, 2)
            .masked(&mask)
            .compare(EQUAL, &address)
    }

    /// IPv6: the source is `::`.
    #[must_use]
    pub fn from_nowhere(self) -> Self {
        self.network_bytes(8, 16).compare(EQUAL, &[0; 16])
    }

    /// The packet is marked so.
    #[must_use]
    pub fn marked(self, mark: u32) -> Self {
        self.meta(META_MARK).compare(EQUAL, &mark.to_ne_bytes())
    }

    /// The destination port lies in the range (TCP and UDP alike: bytes 2 and 3).
    #[must_use]
    pub fn destination_port(self, (from, to): (u16, u16)) -> Self {
        self.transport_bytes(2, 2)
            .range(&from.to_be_bytes(), &to.to_be_bytes())
    }

    /// The first byte of the transport header lies in the range (ICMP's type).
    #[must_use]
    pub fn icmp_type(self, from: u8, to: u8) -> Self {
        self.transport_bytes(0, 1).range(&[from], &[to])
    }

    /// It belongs to a socket in this namespace that has `IP_TRANSPARENT` and is bound to one
    /// address (`socket wildcard 0 socket transparent 1`): a listener on every address is not
    /// meant, or whoever is outside could connect to it.
    #[must_use]
    pub fn of_transparent_socket(self) -> Self {
        const TRANSPARENT: u32 = 0;
        const WILDCARD: u32 = 2;
        self.socket(WILDCARD)
            .compare(EQUAL, &[0])
            .socket(TRANSPARENT)
            .compare(EQUAL, &[1])
    }

    /// It belongs to a socket in this namespace that has `IP_TRANSPARENT`, also to one that isn't
    /// open yet or any more: half a handshake, or what waits after a close. A listener is meant,
    /// too, where the packet is for its own port.
    #[must_use]
    pub fn of_transparent_socket_in_any_state(self) -> Self {
        const TRANSPARENT: u32 = 0;
        self.socket(TRANSPARENT).compare(EQUAL, &[1])
    }

    /// No route leads back to its source by the interface it came in by (`fib saddr . iif oif
    /// missing`).
    #[must_use]
    pub fn source_is_foreign(self) -> Self {
        const OUTPUT_INTERFACE: u32 = 1;
        const SADDR_AND_IIF: u32 = 0x1 | 0x8;
        self.fib(OUTPUT_INTERFACE, SADDR_AND_IIF)
            .compare(EQUAL, &[0; 4])
    }

    /// Its destination is an address of this namespace's own (`fib daddr type local`).
    #[must_use]
    pub fn to_own_address(self) -> Self {
        const ADDRESS_TYPE: u32 = 3;
        const DADDR: u32 = 0x2;
        /// `RTN_LOCAL`, rtnetlink.h.
        const LOCAL: u32 = 2;
        self.fib(ADDRESS_TYPE, DADDR)
            .compare(EQUAL, &LOCAL.to_ne_bytes())
    }

    /// TCP: it asks for a connection (SYN without ACK).
    #[must_use]
    pub fn opens_tcp(self) -> Self {
        self.transport_bytes(13, 1)
            .masked(&[SYN | ACK])
            .compare(EQUAL, &[SYN])
    }

    /// TCP: it is not the segment that begins a connection (other flags than SYN among FIN, SYN,
    /// RST and ACK).
    #[must_use]
    pub fn not_opening_tcp(self) -> Self {
        const FIN_SYN_RST_ACK: u8 = FIN | SYN | RST | ACK;
        self.transport_bytes(13, 1)
            .masked(&[FIN_SYN_RST_ACK])
            .compare(NOT_EQUAL, &[SYN])
    }

    /// TCP: it asks for a connection, grants one or ends one (SYN, FIN or RST).
    #[must_use]
    pub fn opens_or_ends_tcp(self) -> Self {
        self.transport_bytes(13, 1)
            .masked(&[FIN | SYN | RST])
            .compare(NOT_EQUAL, &[0])
    }

    /// Its flow is in the set.
    #[must_use]
    pub fn of_noted(self, set: &FlowSet, remote: Remote) -> Self {
        self.of_family(set.family)
            .flow_key(set.family, remote)
            .lookup(set, false)
    }

    /// Its flow is not in the set; packets of the other version of IP aren't meant.
    #[must_use]
    pub fn not_of_noted(self, set: &FlowSet, remote: Remote) -> Self {
        self.of_family(set.family)
            .flow_key(set.family, remote)
            .lookup(set, true)
    }

    /// Notes its flow in the set, or that it is still in use. Where the set is full, the rule ends
    /// here.
    #[must_use]
    pub fn note(self, set: &FlowSet, remote: Remote) -> Self {
        const UPDATE: u32 = 1;
        self.of_family(set.family)
            .flow_key(set.family, remote)
            .expression("dynset", |data| {
                data.text(1, set.name);
                data.number(3, UPDATE);
                data.number(4, REGISTER);
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
        const OVER: u32 = 1;
        self.expression("connlimit", |data| {
            data.number(1, limit);
            data.number(2, OVER);
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
        self.conntrack(CT_DIRECTION).compare(EQUAL, &[1])
    }

    /// It belongs to a connection that was remembered so.
    #[must_use]
    pub fn of_remembered(self, mark: u32) -> Self {
        self.conntrack(CT_MARK).compare(EQUAL, &mark.to_ne_bytes())
    }

    /// Remembers the packet's connection by a mark of its own (`ct mark set`).
    #[must_use]
    pub fn remember(self, mark: u32) -> Self {
        self.immediate(&mark.to_ne_bytes())
            .expression("ct", |data| {
                data.number(2, CT_MARK);
                data.number(4, REGISTER);
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
                data.number(2, META_MARK);
                data.number(3, REGISTER);
            })
    }

    /// Hands the packet to the transparent socket on this port.
    #[must_use]
    pub fn to_proxy(self, port: u16) -> Self {
        self.immediate(&port.to_be_bytes())
            .expression("tproxy", |data| {
                data.number(1, 0);
                data.number(3, REGISTER);
            })
    }

    /// Copies the packet's first `bytes` to the listeners of a log group, with a word that says
    /// why.
    #[must_use]
    pub fn log(self, group: u16, why: &str, bytes: u32) -> Self {
        self.expression("log", |data| {
            data.raw(1, &group.to_be_bytes());
            data.text(2, why);
            data.number(3, bytes);
            // Told at once, one by one.
            data.raw(4, &1_u16.to_be_bytes());
        })
    }

    /// Refuses it and tells its sender.
    #[must_use]
    pub fn reject(self, how: Reject) -> Self {
        self.expression("reject", |data| match how {
            Reject::Reset => {
                data.number(1, 1);
                data.raw(2, &[0]);
            }
            Reject::Prohibited => {
                data.number(1, 2);
                data.raw(2, &[3]);
            }
        })
    }

    /// Goes on with the rules of another chain, and comes back.
    #[must_use]
    pub fn jump(self, chain: &str) -> Self {
        /// `NFT_JUMP`.
        const JUMP: i32 = -3;
        self.expression("immediate", |data| {
            data.number(1, 0);
            data.nested(2, |value| {
                value.nested(2, |code| {
                    code.number(1, JUMP.cast_unsigned());
                    code.text(2, chain);
                });
            });
        })
    }

    /// Ends with a verdict.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.expression("immediate", |data| {
            data.number(1, 0);
            data.nested(2, |value| {
                value.nested(2, |code| {
                    code.number(1, u32::from(verdict == Verdict::Accept))
                })
            });
        })
    }

    fn in_state(self, bits: u32) -> Self {
        self.conntrack(CT_STATE)
            .masked(&bits.to_ne_bytes())
            .compare(NOT_EQUAL, &[0; 4])
    }

    /// `bitwise`: keeps the bits of a mask.
    fn masked(self, mask: &[u8]) -> Self {
        self.expression("bitwise", |data| {
            data.number(1, REGISTER);
            data.number(2, REGISTER);
            data.number(3, length(mask.len()));
            data.value(4, mask);
            data.value(5, &vec![0; mask.len()]);
        })
    }

    /// Loads a flow's key: the remote address into the first register, the remote and the near port
    /// behind it.
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
        let behind = FIRST_WORD + length / 4;
        self.payload(REGISTER, NETWORK_HEADER, address, length)
            .payload(behind, TRANSPORT_HEADER, remote_port, 2)
            .payload(behind + 1, TRANSPORT_HEADER, near_port, 2)
    }

    fn fib(self, result: u32, flags: u32) -> Self {
        self.expression("fib", |data| {
            data.number(1, REGISTER);
            data.number(2, result);
            data.number(3, flags);
        })
    }

    fn lookup(self, set: &FlowSet, inverted: bool) -> Self {
        self.expression("lookup", |data| {
            data.text(1, set.name);
            data.number(2, REGISTER);
            data.number(5, u32::from(inverted));
        })
    }

    fn socket(self, key: u32) -> Self {
        self.expression("socket", |data| {
            data.number(1, key);
            data.number(2, REGISTER);
        })
    }

    fn meta(self, key: u32) -> Self {
        self.expression("meta", |data| {
            data.number(1, REGISTER);
            data.number(2, key);
        })
    }

    fn conntrack(self, key: u32) -> Self {
        self.expression("ct", |data| {
            data.number(1, REGISTER);
            data.number(2, key);
        })
    }

    fn transport_bytes(self, offset: u32, length: u32) -> Self {
        self.payload(REGISTER, TRANSPORT_HEADER, offset, length)
    }

    fn network_bytes(self, offset: u32, length: u32) -> Self {
        self.payload(REGISTER, NETWORK_HEADER, offset, length)
    }

    fn payload(self, register: u32, header: u32, offset: u32, length: u32) -> Self {
        self.expression("payload", |data| {
            data.number(1, register);
            data.number(2, header);
            data.number(3, offset);
            data.number(4, length);
        })
    }

    /// `cmp`. Shorter values compare a prefix.
    fn compare(self, operator: u32, value: &[u8]) -> Self {
        self.expression("cmp", |data| {
            data.number(1, REGISTER);
            data.number(2, operator);
            data.value(3, value);
        })
    }

    fn range(self, from: &[u8], to: &[u8]) -> Self {
        self.expression("range", |data| {
            data.number(1, REGISTER);
            data.number(2, 0);
            data.value(3, from);
            data.value(4, to);
        })
    }

    fn immediate(self, value: &[u8]) -> Self {
        self.expression("immediate", |data| {
            data.number(1, REGISTER);
            data.value(2, value);
        })
    }

    fn expression(mut self, name: &str, build: impl FnOnce(&mut Attributes)) -> Self {
        self.0.nested(1, |element| {
            element.text(1, name);
            element.nested(2, build);
        });
        self
    }
}
