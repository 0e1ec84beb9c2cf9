//! The numbers of nf_tables, under the kernel's own names.
//!
//! From `linux/netfilter/nf_tables.h`, where a group doesn't say otherwise. Only those that our
//! ruleset needs.

/// `enum nf_tables_msg_types`.
pub(super) const NFT_MSG_NEWTABLE: u8 = 0;
pub(super) const NFT_MSG_NEWCHAIN: u8 = 3;
pub(super) const NFT_MSG_NEWRULE: u8 = 6;
pub(super) const NFT_MSG_DELRULE: u8 = 8;
pub(super) const NFT_MSG_NEWSET: u8 = 9;

/// `linux/netfilter/nfnetlink.h`: the subsystem, and the messages around a batch.
pub(super) const NFNL_SUBSYS_NONE: u8 = 0;
pub(super) const NFNL_SUBSYS_NFTABLES: u8 = 10;
pub(super) const NFNL_MSG_BATCH_BEGIN: u8 = 0x10;
pub(super) const NFNL_MSG_BATCH_END: u8 = 0x11;

/// `enum nft_table_attributes`.
pub(super) const NFTA_TABLE_NAME: u16 = 1;

/// `enum nft_set_attributes`, `enum nft_set_desc_attributes`, `enum nft_set_flags`.
pub(super) const NFTA_SET_TABLE: u16 = 1;
pub(super) const NFTA_SET_NAME: u16 = 2;
pub(super) const NFTA_SET_FLAGS: u16 = 3;
pub(super) const NFTA_SET_KEY_TYPE: u16 = 4;
pub(super) const NFTA_SET_KEY_LEN: u16 = 5;
pub(super) const NFTA_SET_DESC: u16 = 9;
pub(super) const NFTA_SET_ID: u16 = 10;
pub(super) const NFTA_SET_TIMEOUT: u16 = 11;
pub(super) const NFTA_SET_DESC_SIZE: u16 = 1;
pub(super) const NFT_SET_TIMEOUT: u32 = 0x10;
/// Rules may add to it: `dynamic` in nft(8).
pub(super) const NFT_SET_EVAL: u32 = 0x20;

/// Types of a set's key, which the kernel only hands back to who lists it (nftables,
/// `include/datatype.h`).
pub(super) const TYPE_IPADDR: u32 = 7;
pub(super) const TYPE_IP6ADDR: u32 = 8;
pub(super) const TYPE_INET_SERVICE: u32 = 13;
pub(super) const TYPE_BITS: u32 = 6;

/// `enum nft_chain_attributes`, `enum nft_hook_attributes`.
pub(super) const NFTA_CHAIN_TABLE: u16 = 1;
pub(super) const NFTA_CHAIN_NAME: u16 = 3;
pub(super) const NFTA_CHAIN_HOOK: u16 = 4;
pub(super) const NFTA_CHAIN_POLICY: u16 = 5;
pub(super) const NFTA_CHAIN_TYPE: u16 = 7;
pub(super) const NFTA_HOOK_HOOKNUM: u16 = 1;
pub(super) const NFTA_HOOK_PRIORITY: u16 = 2;

/// `enum nf_inet_hooks` and verdicts, `linux/netfilter.h`.
pub(super) const NF_INET_PRE_ROUTING: u32 = 0;
pub(super) const NF_INET_LOCAL_IN: u32 = 1;
pub(super) const NF_INET_FORWARD: u32 = 2;
pub(super) const NF_INET_LOCAL_OUT: u32 = 3;
pub(super) const NF_DROP: u32 = 0;
pub(super) const NF_ACCEPT: u32 = 1;
/// `enum nft_verdicts`.
pub(super) const NFT_JUMP: i32 = -3;

/// `enum nft_rule_attributes`, `enum nft_list_attributes`, `enum nft_expr_attributes`.
pub(super) const NFTA_RULE_TABLE: u16 = 1;
pub(super) const NFTA_RULE_CHAIN: u16 = 2;
pub(super) const NFTA_RULE_EXPRESSIONS: u16 = 4;
pub(super) const NFTA_LIST_ELEM: u16 = 1;
pub(super) const NFTA_EXPR_NAME: u16 = 1;
pub(super) const NFTA_EXPR_DATA: u16 = 2;

/// `enum nft_data_attributes`, `enum nft_verdict_attributes`.
pub(super) const NFTA_DATA_VALUE: u16 = 1;
pub(super) const NFTA_DATA_VERDICT: u16 = 2;
pub(super) const NFTA_VERDICT_CODE: u16 = 1;
pub(super) const NFTA_VERDICT_CHAIN: u16 = 2;

/// `enum nft_registers`: the verdict, 16 bytes, and the first 4 of them.
pub(super) const NFT_REG_VERDICT: u32 = 0;
pub(super) const NFT_REG_1: u32 = 1;
pub(super) const NFT_REG32_00: u32 = 8;

/// `immediate`: `enum nft_immediate_attributes`.
pub(super) const NFTA_IMMEDIATE_DREG: u16 = 1;
pub(super) const NFTA_IMMEDIATE_DATA: u16 = 2;

/// `bitwise`: `enum nft_bitwise_attributes`.
pub(super) const NFTA_BITWISE_SREG: u16 = 1;
pub(super) const NFTA_BITWISE_DREG: u16 = 2;
pub(super) const NFTA_BITWISE_LEN: u16 = 3;
pub(super) const NFTA_BITWISE_MASK: u16 = 4;
pub(super) const NFTA_BITWISE_XOR: u16 = 5;

/// `cmp`: `enum nft_cmp_attributes`, `enum nft_cmp_ops`.
pub(super) const NFTA_CMP_SREG: u16 = 1;
pub(super) const NFTA_CMP_OP: u16 = 2;
pub(super) const NFTA_CMP_DATA: u16 = 3;
pub(super) const NFT_CMP_EQ: u32 = 0;
pub(super) const NFT_CMP_NEQ: u32 = 1;

/// `range`: `enum nft_range_attributes`, `enum nft_range_ops`.
pub(super) const NFTA_RANGE_SREG: u16 = 1;
pub(super) const NFTA_RANGE_OP: u16 = 2;
pub(super) const NFTA_RANGE_FROM_DATA: u16 = 3;
pub(super) const NFTA_RANGE_TO_DATA: u16 = 4;
pub(super) const NFT_RANGE_EQ: u32 = 0;
pub(super) const NFT_RANGE_NEQ: u32 = 1;

/// `lookup`: `enum nft_lookup_attributes`, `enum nft_lookup_flags`.
pub(super) const NFTA_LOOKUP_SET: u16 = 1;
pub(super) const NFTA_LOOKUP_SREG: u16 = 2;
pub(super) const NFTA_LOOKUP_FLAGS: u16 = 5;
pub(super) const NFT_LOOKUP_F_INV: u32 = 1;

/// `dynset`: `enum nft_dynset_attributes`, `enum nft_dynset_ops`.
pub(super) const NFTA_DYNSET_SET_NAME: u16 = 1;
pub(super) const NFTA_DYNSET_OP: u16 = 3;
pub(super) const NFTA_DYNSET_SREG_KEY: u16 = 4;
pub(super) const NFT_DYNSET_OP_UPDATE: u32 = 1;

/// `payload`: `enum nft_payload_attributes`, `enum nft_payload_bases`.
pub(super) const NFTA_PAYLOAD_DREG: u16 = 1;
pub(super) const NFTA_PAYLOAD_BASE: u16 = 2;
pub(super) const NFTA_PAYLOAD_OFFSET: u16 = 3;
pub(super) const NFTA_PAYLOAD_LEN: u16 = 4;
pub(super) const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
pub(super) const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;

/// `exthdr`: `enum nft_exthdr_attributes`, `enum nft_exthdr_flags`.
pub(super) const NFTA_EXTHDR_DREG: u16 = 1;
pub(super) const NFTA_EXTHDR_TYPE: u16 = 2;
pub(super) const NFTA_EXTHDR_OFFSET: u16 = 3;
pub(super) const NFTA_EXTHDR_LEN: u16 = 4;
pub(super) const NFTA_EXTHDR_FLAGS: u16 = 5;
pub(super) const NFT_EXTHDR_F_PRESENT: u32 = 1;
/// `linux/in6.h`.
pub(super) const IPPROTO_FRAGMENT: u8 = 44;

/// `meta`: `enum nft_meta_attributes`, `enum nft_meta_keys`.
pub(super) const NFTA_META_DREG: u16 = 1;
pub(super) const NFTA_META_KEY: u16 = 2;
pub(super) const NFTA_META_SREG: u16 = 3;
pub(super) const NFT_META_MARK: u32 = 3;
pub(super) const NFT_META_IIFNAME: u32 = 6;
pub(super) const NFT_META_OIFNAME: u32 = 7;
pub(super) const NFT_META_NFPROTO: u32 = 15;
pub(super) const NFT_META_L4PROTO: u32 = 16;

/// `socket`: `enum nft_socket_attributes`, `enum nft_socket_keys`.
pub(super) const NFTA_SOCKET_KEY: u16 = 1;
pub(super) const NFTA_SOCKET_DREG: u16 = 2;
pub(super) const NFT_SOCKET_TRANSPARENT: u32 = 0;
pub(super) const NFT_SOCKET_MARK: u32 = 1;
pub(super) const NFT_SOCKET_WILDCARD: u32 = 2;

/// `fib`: `enum nft_fib_attributes`, `enum nft_fib_result`, `enum nft_fib_flags`.
pub(super) const NFTA_FIB_DREG: u16 = 1;
pub(super) const NFTA_FIB_RESULT: u16 = 2;
pub(super) const NFTA_FIB_FLAGS: u16 = 3;
pub(super) const NFT_FIB_RESULT_OIF: u32 = 1;
pub(super) const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
pub(super) const NFTA_FIB_F_SADDR: u32 = 0x1;
pub(super) const NFTA_FIB_F_DADDR: u32 = 0x2;
pub(super) const NFTA_FIB_F_IIF: u32 = 0x8;
/// `linux/rtnetlink.h`.
pub(super) const RTN_LOCAL: u32 = 2;

/// `ct`: `enum nft_ct_attributes`, `enum nft_ct_keys`.
pub(super) const NFTA_CT_DREG: u16 = 1;
pub(super) const NFTA_CT_KEY: u16 = 2;
pub(super) const NFTA_CT_SREG: u16 = 4;
pub(super) const NFT_CT_STATE: u32 = 0;
pub(super) const NFT_CT_DIRECTION: u32 = 1;
pub(super) const NFT_CT_MARK: u32 = 3;
/// `linux/netfilter/nf_conntrack_tuple_common.h`.
pub(super) const IP_CT_DIR_REPLY: u8 = 1;

/// `limit`: `enum nft_limit_attributes`, `enum nft_limit_type`.
pub(super) const NFTA_LIMIT_RATE: u16 = 1;
pub(super) const NFTA_LIMIT_UNIT: u16 = 2;
pub(super) const NFTA_LIMIT_BURST: u16 = 3;
pub(super) const NFTA_LIMIT_TYPE: u16 = 4;
pub(super) const NFT_LIMIT_PKTS: u32 = 0;

/// `connlimit`: `enum nft_connlimit_attributes`, `enum nft_connlimit_flags`.
pub(super) const NFTA_CONNLIMIT_COUNT: u16 = 1;
pub(super) const NFTA_CONNLIMIT_FLAGS: u16 = 2;
pub(super) const NFT_CONNLIMIT_F_INV: u32 = 1;

/// `tproxy`: `enum nft_tproxy_attributes`.
pub(super) const NFTA_TPROXY_FAMILY: u16 = 1;
pub(super) const NFTA_TPROXY_REG_PORT: u16 = 3;

/// `log`: `enum nft_log_attributes`.
pub(super) const NFTA_LOG_GROUP: u16 = 1;
pub(super) const NFTA_LOG_PREFIX: u16 = 2;
pub(super) const NFTA_LOG_SNAPLEN: u16 = 3;
pub(super) const NFTA_LOG_QTHRESHOLD: u16 = 4;

/// `reject`: `enum nft_reject_attributes`, `enum nft_reject_types`, `enum nft_reject_inet_code`.
pub(super) const NFTA_REJECT_TYPE: u16 = 1;
pub(super) const NFTA_REJECT_ICMP_CODE: u16 = 2;
pub(super) const NFT_REJECT_TCP_RST: u32 = 1;
pub(super) const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
pub(super) const NFT_REJECT_ICMPX_ADMIN_PROHIBITED: u8 = 3;
