//! Writes nf_tables batches: the bytes that `nft -f` would send, for the few expressions that our ruleset needs.
//!
//! Pure: bytes only, sent by `sys::netlink`. Constants are those of `linux/netfilter/nf_tables.h`; every integer in an
//! attribute is big-endian. (The crates that do this are GPL, link C libraries, or run the `nft` program.)

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFPROTO_INET: u8 = 1;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;

/// The register that every expression of ours works in (`NFT_REG_1`, 16 bytes).
const REGISTER: u32 = 1;

/// `NFT_CT_MARK`.
const CONNECTION_MARK: u32 = 3;

/// Where a chain hooks in, and what it does with packets that no rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before routing (`NF_INET_PRE_ROUTING`).
    Prerouting,
    /// To this namespace's own sockets (`NF_INET_LOCAL_IN`).
    Input,
    /// Through this namespace (`NF_INET_FORWARD`).
    Forward,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The packet goes on.
    Accept,
    /// The packet ends here, silently.
    Drop,
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
        let mut batch = Self { table, bytes: Vec::with_capacity(8 * 1024), messages: 0 };
        batch.control(0x10);
        batch.message(0, NLM_F_CREATE, |attributes| attributes.text(1, table));
        batch
    }

    /// Adds a base chain of type `filter`.
    pub fn chain(&mut self, name: &str, hook: Hook, priority: i32, policy: Verdict) {
        let table = self.table;
        let number = match hook {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
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
            attributes.raw(4 | NLA_F_NESTED, &rule.0.0);
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
        self.put(kind, self.messages, NLM_F_REQUEST | NLM_F_ACK | flags, NFPROTO_INET, 0, &attributes.0);
    }

    /// `nlmsghdr`, `nfgenmsg`, attributes.
    fn put(&mut self, kind: u16, sequence: u32, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        self.bytes.extend(length(20 + attributes.len()).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
    }
}

/// One rule: expressions from left to right; the first that doesn't hold ends it.
#[derive(Debug, Default)]
pub struct Rule(Attributes);

impl Rule {
    /// A rule that matches everything so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The packet came in by an interface whose name begins so.
    #[must_use]
    pub fn from_interface(self, prefix: &str) -> Self {
        self.meta(6).compare(0, prefix.as_bytes())
    }

    /// The packet came in by an interface whose name does not begin so.
    #[must_use]
    pub fn not_from_interface(self, prefix: &str) -> Self {
        self.meta(6).compare(1, prefix.as_bytes())
    }

    /// The packet goes out by an interface whose name begins so.
    #[must_use]
    pub fn to_interface(self, prefix: &str) -> Self {
        self.meta(7).compare(0, prefix.as_bytes())
    }

    /// The transport protocol is this (`IPPROTO_…`).
    #[must_use]
    pub fn transport(self, protocol: u8) -> Self {
        self.meta(16).compare(0, &[protocol])
    }

    /// The packet is marked so.
    #[must_use]
    pub fn marked(self, mark: u32) -> Self {
        self.meta(3).compare(0, &mark.to_ne_bytes())
    }

    /// The destination port lies in the range (TCP and UDP alike: bytes 2 and 3).
    #[must_use]
    pub fn destination_port(self, (from, to): (u16, u16)) -> Self {
        self.transport_bytes(2, 2).range(&from.to_be_bytes(), &to.to_be_bytes())
    }

    /// The first byte of the transport header lies in the range (ICMP's type).
    #[must_use]
    pub fn icmp_type(self, from: u8, to: u8) -> Self {
        self.transport_bytes(0, 1).range(&[from], &[to])
    }

    /// It belongs to a socket in this namespace that has `IP_TRANSPARENT` and is bound to one address
    /// (`socket wildcard 0 socket transparent 1`): a listener on every address is not meant, or whoever is outside could
    /// connect to it.
    #[must_use]
    pub fn of_transparent_socket(self) -> Self {
        const TRANSPARENT: u32 = 0;
        const WILDCARD: u32 = 2;
        self.socket(WILDCARD).compare(0, &[0]).socket(TRANSPARENT).compare(0, &[1])
    }

    /// No route leads back to its source by the interface it came in by (`fib saddr . iif oif missing`).
    #[must_use]
    pub fn source_is_foreign(self) -> Self {
        const SADDR_AND_IIF: u32 = 0x1 | 0x8;
        self.expression("fib", |data| {
            data.number(1, REGISTER);
            data.number(2, 1);
            data.number(3, SADDR_AND_IIF);
        })
        .compare(0, &0_u32.to_ne_bytes())
    }

    /// It answers a connection that the other side opened (`ct direction reply`).
    #[must_use]
    pub fn is_reply(self) -> Self {
        self.conntrack(1).compare(0, &[1])
    }

    /// It belongs to a connection that was remembered so.
    #[must_use]
    pub fn of_remembered(self, mark: u32) -> Self {
        self.conntrack(CONNECTION_MARK).compare(0, &mark.to_ne_bytes())
    }

    /// Remembers the packet's connection by a mark of its own (`ct mark set`).
    #[must_use]
    pub fn remember(self, mark: u32) -> Self {
        self.immediate(&mark.to_ne_bytes()).expression("ct", |data| {
            data.number(2, CONNECTION_MARK);
            data.number(4, REGISTER);
        })
    }

    /// It opens a connection (`ct state new`).
    #[must_use]
    pub fn opens_connection(self) -> Self {
        self.in_state(0x8)
    }

    /// It belongs to a connection, or is an error about one (`ct state established,related`).
    #[must_use]
    pub fn of_connection(self) -> Self {
        self.in_state(0x2 | 0x4)
    }

    /// Marks the packet.
    #[must_use]
    pub fn mark(self, mark: u32) -> Self {
        self.immediate(&mark.to_ne_bytes()).expression("meta", |data| {
            data.number(2, 3);
            data.number(3, REGISTER);
        })
    }

    /// Hands the packet to the transparent socket on this port.
    #[must_use]
    pub fn to_proxy(self, port: u16) -> Self {
        self.immediate(&port.to_be_bytes()).expression("tproxy", |data| {
            data.number(1, 0);
            data.number(3, REGISTER);
        })
    }

    /// Copies the packet's first `bytes` to the listeners of a log group, with a word that says why.
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

    /// Ends with a verdict.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.expression("immediate", |data| {
            data.number(1, 0);
            data.nested(2, |value| value.nested(2, |code| code.number(1, u32::from(verdict == Verdict::Accept))));
        })
    }

    fn in_state(self, bits: u32) -> Self {
        self.conntrack(0)
            .expression("bitwise", |data| {
                data.number(1, REGISTER);
                data.number(2, REGISTER);
                data.number(3, 4);
                data.value(4, &bits.to_ne_bytes());
                data.value(5, &0_u32.to_ne_bytes());
            })
            .compare(1, &0_u32.to_ne_bytes())
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
        self.expression("payload", |data| {
            data.number(1, REGISTER);
            data.number(2, 2);
            data.number(3, offset);
            data.number(4, length);
        })
    }

    /// `cmp`: operator 0 is «equal», 1 «not equal». Shorter values compare a prefix.
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

/// Netlink attributes: length, type, value, padding to four bytes (netlink(7)).
#[derive(Debug, Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn raw(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).expect("our attributes are a few hundred bytes");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn number(&mut self, kind: u16, value: u32) {
        self.raw(kind, &value.to_be_bytes());
    }

    fn text(&mut self, kind: u16, value: &str) {
        let mut terminated = value.as_bytes().to_vec();
        terminated.push(0);
        self.raw(kind, &terminated);
    }

    /// `NFTA_DATA_VALUE` within.
    fn value(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |data| data.raw(1, value));
    }

    fn nested(&mut self, kind: u16, build: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        build(&mut inner);
        self.raw(kind | NLA_F_NESTED, &inner.0);
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a message of ours is a few kilobytes")
}
