//! Writes nf_tables batches: the bytes that `nft -f` would send, for the few expressions that our
//! ruleset needs. (The crates that do this are GPL, link C libraries, or run the `nft` program.)
//!
//! Owns batches and the tables, sets and chains in them; what a rule says is `rule`'s. Pure: bytes
//! only, sent by `sys::netlink`.

mod flow_set;
mod rule;
mod uapi;

use crate::packets::nfnetlink::{
    Attributes, NFPROTO_INET, NFPROTO_UNSPEC, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST,
    NfMessage,
};
pub use flow_set::{Family, FlowSet, Remote};
pub use rule::{NftVerdict, Reject, Rule};
use uapi::{
    NF_INET_FORWARD, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_PRE_ROUTING,
    NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES, NFNL_SUBSYS_NONE,
    NFT_MSG_DELRULE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWTABLE,
    NFT_SET_EVAL, NFT_SET_TIMEOUT, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY,
    NFTA_CHAIN_TABLE, NFTA_CHAIN_TYPE, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_RULE_CHAIN,
    NFTA_RULE_EXPRESSIONS, NFTA_RULE_TABLE, NFTA_SET_DESC, NFTA_SET_DESC_SIZE, NFTA_SET_FLAGS,
    NFTA_SET_ID, NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE, NFTA_SET_NAME, NFTA_SET_TABLE,
    NFTA_SET_TIMEOUT, NFTA_TABLE_NAME, TYPE_BITS, TYPE_INET_SERVICE, TYPE_IP6ADDR, TYPE_IPADDR,
};

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

/// A batch that makes one table, or changes it: all of it comes into force, or nothing.
#[derive(Debug)]
pub struct Batch {
    table: &'static str,
    bytes: Vec<u8>,
    messages: u32,
}

impl Batch {
    /// Begins with a table of family `inet`, which is made where there is none.
    #[must_use]
    pub fn new(table: &'static str) -> Self {
        let mut batch = Self {
            table,
            bytes: Vec::with_capacity(8 * 1024),
            messages: 0,
        };
        batch.control(NFNL_MSG_BATCH_BEGIN);
        batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, |attributes| {
            attributes.text(NFTA_TABLE_NAME, table);
        });
        batch
    }

    /// Adds a set of flows.
    pub fn set(&mut self, set: &FlowSet) {
        let address = match set.family {
            Family::V4 => TYPE_IPADDR,
            Family::V6 => TYPE_IP6ADDR,
        };
        let key = [address, TYPE_INET_SERVICE, TYPE_INET_SERVICE];
        let key_type = key.iter().fold(0, |all, kind| all << TYPE_BITS | kind);
        let table = self.table;
        self.message(NFT_MSG_NEWSET, NLM_F_CREATE, |attributes| {
            attributes.text(NFTA_SET_TABLE, table);
            attributes.text(NFTA_SET_NAME, set.name);
            attributes.number(NFTA_SET_FLAGS, NFT_SET_TIMEOUT | NFT_SET_EVAL);
            attributes.number(NFTA_SET_KEY_TYPE, key_type);
            // Each port takes a register of 4 bytes.
            attributes.number(NFTA_SET_KEY_LEN, set.family.address_length() + 4 + 4);
            attributes.nested(NFTA_SET_DESC, |description| {
                description.number(NFTA_SET_DESC_SIZE, set.size);
            });
            // Asked for by the kernel; only sets without a name need different ones.
            attributes.number(NFTA_SET_ID, 1);
            let milliseconds = set.timeout_seconds * 1000;
            attributes.raw(NFTA_SET_TIMEOUT, &milliseconds.to_be_bytes());
        });
    }

    /// Adds a chain that rules jump to.
    pub fn jump_target(&mut self, name: &str) {
        let table = self.table;
        self.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, |attributes| {
            attributes.text(NFTA_CHAIN_TABLE, table);
            attributes.text(NFTA_CHAIN_NAME, name);
        });
    }

    /// Adds a base chain of type `filter`.
    pub fn chain(&mut self, name: &str, hook: Hook, priority: i32, policy: NftVerdict) {
        let table = self.table;
        let number = match hook {
            Hook::Prerouting => NF_INET_PRE_ROUTING,
            Hook::Input => NF_INET_LOCAL_IN,
            Hook::Forward => NF_INET_FORWARD,
            Hook::Output => NF_INET_LOCAL_OUT,
        };
        self.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, |attributes| {
            attributes.text(NFTA_CHAIN_TABLE, table);
            attributes.text(NFTA_CHAIN_NAME, name);
            attributes.nested(NFTA_CHAIN_HOOK, |hook| {
                hook.number(NFTA_HOOK_HOOKNUM, number);
                hook.number(NFTA_HOOK_PRIORITY, priority.cast_unsigned());
            });
            attributes.number(NFTA_CHAIN_POLICY, policy.code());
            attributes.text(NFTA_CHAIN_TYPE, "filter");
        });
    }

    /// Appends a rule to a chain.
    pub fn rule(&mut self, chain: &str, rule: &Rule) {
        let table = self.table;
        self.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |attributes| {
            attributes.text(NFTA_RULE_TABLE, table);
            attributes.text(NFTA_RULE_CHAIN, chain);
            attributes.nested(NFTA_RULE_EXPRESSIONS, |expressions| {
                expressions.append(rule.expressions());
            });
        });
    }

    /// Takes all rules out of a chain that is there.
    pub fn empty(&mut self, chain: &str) {
        let table = self.table;
        self.message(NFT_MSG_DELRULE, 0, |attributes| {
            attributes.text(NFTA_RULE_TABLE, table);
            attributes.text(NFTA_RULE_CHAIN, chain);
        });
    }

    /// Ends the batch: its bytes, and how many acknowledgements will come.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, usize) {
        self.control(NFNL_MSG_BATCH_END);
        (self.bytes, self.messages as usize)
    }

    /// `NFNL_MSG_BATCH_BEGIN` or `_END`, which belong to no subsystem and name the batch's.
    fn control(&mut self, kind: u8) {
        let message = NfMessage {
            subsystem: NFNL_SUBSYS_NONE,
            kind,
            flags: NLM_F_REQUEST,
            sequence: 0,
            family: NFPROTO_UNSPEC,
            resource: NFNL_SUBSYS_NFTABLES.into(),
        };
        self.bytes.extend(message.bytes(&Attributes::default()));
    }

    fn message(&mut self, kind: u8, flags: u16, build: impl FnOnce(&mut Attributes)) {
        let mut attributes = Attributes::default();
        build(&mut attributes);
        self.messages += 1;
        let message = NfMessage {
            subsystem: NFNL_SUBSYS_NFTABLES,
            kind,
            flags: NLM_F_REQUEST | NLM_F_ACK | flags,
            sequence: self.messages,
            family: NFPROTO_INET,
            resource: 0,
        };
        self.bytes.extend(message.bytes(&attributes));
    }
}
