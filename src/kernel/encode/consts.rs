//! Numbers of the kernel's interface, each under the header that defines it.

/// `linux/netlink.h`.
pub(in crate::kernel) mod netlink {
    pub(in crate::kernel) const HEADER_LENGTH: usize = 16;
    pub(in crate::kernel) const NLMSG_NOOP: u16 = 1;
    pub(in crate::kernel) const NLMSG_ERROR: u16 = 2;
    pub(in crate::kernel) const NLMSG_DONE: u16 = 3;
    pub(in crate::kernel) const NLM_F_REQUEST: u16 = 0x1;
    pub(in crate::kernel) const NLM_F_ACK: u16 = 0x4;
    pub(in crate::kernel) const NLM_F_DUMP_INTR: u16 = 0x10;
    pub(in crate::kernel) const NLM_F_DUMP: u16 = 0x300;
    pub(in crate::kernel) const NLM_F_CREATE: u16 = 0x400;
    pub(in crate::kernel) const NLM_F_APPEND: u16 = 0x800;
    /// In a reply: the failed request is not repeated after its header.
    pub(in crate::kernel) const NLM_F_CAPPED: u16 = 0x100;
    /// In a reply: attributes follow.
    pub(in crate::kernel) const NLM_F_ACK_TLVS: u16 = 0x200;
    pub(in crate::kernel) const NLA_F_NESTED: u16 = 0x8000;
    /// Clears `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    pub(in crate::kernel) const NLA_TYPE_MASK: u16 = 0x3fff;
    pub(in crate::kernel) const NLMSGERR_ATTR_MSG: u16 = 1;
    pub(in crate::kernel) const NLMSGERR_ATTR_OFFS: u16 = 2;
}

/// `linux/netfilter/nfnetlink.h` and `linux/netfilter.h`.
pub(in crate::kernel) mod nfnetlink {
    /// The length of `struct nfgenmsg`.
    pub(in crate::kernel) const NFGENMSG_LENGTH: usize = 4;
    pub(in crate::kernel) const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
    pub(in crate::kernel) const NFNL_MSG_BATCH_END: u16 = 0x11;
    pub(in crate::kernel) const NFNL_SUBSYS_NFTABLES: u16 = 10;
    /// The generation that a batch was made for; the kernel refuses it in any other.
    pub(in crate::kernel) const NFNL_BATCH_GENID: u16 = 1;
    pub(in crate::kernel) const NFPROTO_UNSPEC: u8 = 0;
    pub(in crate::kernel) const NFPROTO_INET: u8 = 1;
    pub(in crate::kernel) const NFPROTO_IPV4: u8 = 2;
    pub(in crate::kernel) const NFPROTO_ARP: u8 = 3;
    pub(in crate::kernel) const NFPROTO_IPV6: u8 = 10;
}

/// Message types of `enum nf_tables_msg_types`, with the subsystem in the upper byte.
pub(in crate::kernel) mod message {
    const fn of(kind: u16) -> u16 {
        (super::nfnetlink::NFNL_SUBSYS_NFTABLES << 8) | kind
    }

    pub(in crate::kernel) const NEWTABLE: u16 = of(0);
    pub(in crate::kernel) const GETTABLE: u16 = of(1);
    pub(in crate::kernel) const DELTABLE: u16 = of(2);
    pub(in crate::kernel) const NEWCHAIN: u16 = of(3);
    pub(in crate::kernel) const GETCHAIN: u16 = of(4);
    pub(in crate::kernel) const DELCHAIN: u16 = of(5);
    pub(in crate::kernel) const NEWRULE: u16 = of(6);
    pub(in crate::kernel) const GETRULE: u16 = of(7);
    pub(in crate::kernel) const DELRULE: u16 = of(8);
    pub(in crate::kernel) const NEWSET: u16 = of(9);
    pub(in crate::kernel) const GETSET: u16 = of(10);
    pub(in crate::kernel) const DELSET: u16 = of(11);
    pub(in crate::kernel) const NEWSETELEM: u16 = of(12);
    pub(in crate::kernel) const GETSETELEM: u16 = of(13);
    pub(in crate::kernel) const DELSETELEM: u16 = of(14);
    pub(in crate::kernel) const NEWGEN: u16 = of(15);
    pub(in crate::kernel) const GETGEN: u16 = of(16);
    pub(in crate::kernel) const NEWOBJ: u16 = of(18);
    pub(in crate::kernel) const GETOBJ: u16 = of(19);
    pub(in crate::kernel) const DELOBJ: u16 = of(20);
    pub(in crate::kernel) const NEWFLOWTABLE: u16 = of(22);
    pub(in crate::kernel) const GETFLOWTABLE: u16 = of(23);
    pub(in crate::kernel) const DELFLOWTABLE: u16 = of(24);
}

/// `linux/netfilter/ipset/ip_set.h`.
pub(in crate::kernel) mod ipset {
    /// `NFNL_SUBSYS_IPSET` and `IPSET_CMD_LIST`.
    pub(in crate::kernel) const LIST: u16 = (6 << 8) | 7;
    /// `IPSET_PROTOCOL_MIN`, which every kernel takes.
    pub(in crate::kernel) const PROTOCOL: u8 = 6;
    pub(in crate::kernel) const IPSET_ATTR_PROTOCOL: u16 = 1;
    pub(in crate::kernel) const IPSET_ATTR_SETNAME: u16 = 2;
    /// With `NLA_F_NET_BYTEORDER`.
    pub(in crate::kernel) const IPSET_ATTR_FLAGS: u16 = 0x4006;
    /// `IPSET_CMD_GET_BYNAME`, which takes the newest version of the protocol alone (`IPSET_PROTOCOL`).
    pub(in crate::kernel) const GET_BYNAME: u16 = (6 << 8) | 0xe;
    pub(in crate::kernel) const NEWEST_PROTOCOL: u8 = 7;
    pub(in crate::kernel) const IPSET_ATTR_INDEX: u16 = 11;
    /// Only the names.
    pub(in crate::kernel) const IPSET_FLAG_LIST_SETNAME: u32 = 2;
}

/// Table, chain, rule, set and element attributes of `linux/netfilter/nf_tables.h`.
pub(in crate::kernel) mod attribute {
    pub(in crate::kernel) const NFTA_LIST_ELEM: u16 = 1;

    pub(in crate::kernel) const NFTA_TABLE_NAME: u16 = 1;
    pub(in crate::kernel) const NFTA_TABLE_FLAGS: u16 = 2;
    pub(in crate::kernel) const NFTA_TABLE_USE: u16 = 3;
    pub(in crate::kernel) const NFTA_TABLE_OWNER: u16 = 7;

    pub(in crate::kernel) const NFTA_CHAIN_TABLE: u16 = 1;
    pub(in crate::kernel) const NFTA_CHAIN_NAME: u16 = 3;
    pub(in crate::kernel) const NFTA_CHAIN_HOOK: u16 = 4;
    pub(in crate::kernel) const NFTA_CHAIN_POLICY: u16 = 5;
    pub(in crate::kernel) const NFTA_CHAIN_TYPE: u16 = 7;
    pub(in crate::kernel) const NFTA_CHAIN_FLAGS: u16 = 10;
    pub(in crate::kernel) const NFTA_HOOK_HOOKNUM: u16 = 1;
    pub(in crate::kernel) const NFTA_HOOK_PRIORITY: u16 = 2;

    pub(in crate::kernel) const NFTA_RULE_TABLE: u16 = 1;
    pub(in crate::kernel) const NFTA_RULE_CHAIN: u16 = 2;
    pub(in crate::kernel) const NFTA_RULE_HANDLE: u16 = 3;
    pub(in crate::kernel) const NFTA_RULE_EXPRESSIONS: u16 = 4;
    pub(in crate::kernel) const NFTA_RULE_USERDATA: u16 = 7;

    pub(in crate::kernel) const NFTA_SET_TABLE: u16 = 1;
    pub(in crate::kernel) const NFTA_SET_NAME: u16 = 2;
    pub(in crate::kernel) const NFTA_SET_FLAGS: u16 = 3;
    pub(in crate::kernel) const NFTA_SET_KEY_TYPE: u16 = 4;
    pub(in crate::kernel) const NFTA_SET_KEY_LEN: u16 = 5;
    pub(in crate::kernel) const NFTA_SET_DATA_TYPE: u16 = 6;
    pub(in crate::kernel) const NFTA_SET_DATA_LEN: u16 = 7;
    pub(in crate::kernel) const NFTA_SET_DESC: u16 = 9;
    pub(in crate::kernel) const NFTA_SET_ID: u16 = 10;
    pub(in crate::kernel) const NFTA_SET_USERDATA: u16 = 13;
    pub(in crate::kernel) const NFTA_SET_DESC_SIZE: u16 = 1;

    pub(in crate::kernel) const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
    pub(in crate::kernel) const NFTA_SET_ELEM_LIST_SET: u16 = 2;
    pub(in crate::kernel) const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
    pub(in crate::kernel) const NFTA_SET_ELEM_KEY: u16 = 1;
    pub(in crate::kernel) const NFTA_SET_ELEM_DATA: u16 = 2;
    pub(in crate::kernel) const NFTA_SET_ELEM_FLAGS: u16 = 3;
    pub(in crate::kernel) const NFTA_SET_ELEM_USERDATA: u16 = 6;
    pub(in crate::kernel) const NFTA_SET_ELEM_PAD: u16 = 8;

    pub(in crate::kernel) const NFTA_DATA_VALUE: u16 = 1;
    pub(in crate::kernel) const NFTA_DATA_VERDICT: u16 = 2;
    pub(in crate::kernel) const NFTA_VERDICT_CODE: u16 = 1;
    pub(in crate::kernel) const NFTA_VERDICT_CHAIN: u16 = 2;

    pub(in crate::kernel) const NFTA_OBJ_TABLE: u16 = 1;
    pub(in crate::kernel) const NFTA_OBJ_NAME: u16 = 2;
    pub(in crate::kernel) const NFTA_OBJ_TYPE: u16 = 3;
    pub(in crate::kernel) const NFTA_OBJ_DATA: u16 = 4;
    pub(in crate::kernel) const NFTA_COUNTER_BYTES: u16 = 1;
    pub(in crate::kernel) const NFTA_COUNTER_PACKETS: u16 = 2;
    pub(in crate::kernel) const NFTA_FLOWTABLE_TABLE: u16 = 1;

    pub(in crate::kernel) const NFTA_GEN_ID: u16 = 1;
    pub(in crate::kernel) const NFTA_GEN_PROC_PID: u16 = 2;
    pub(in crate::kernel) const NFTA_GEN_PROC_NAME: u16 = 3;
}

/// Attributes of expressions, of `linux/netfilter/nf_tables.h`.
pub(in crate::kernel) mod expression {
    pub(in crate::kernel) const NFTA_EXPR_NAME: u16 = 1;
    pub(in crate::kernel) const NFTA_EXPR_DATA: u16 = 2;

    pub(in crate::kernel) const NFTA_IMMEDIATE_DREG: u16 = 1;
    pub(in crate::kernel) const NFTA_IMMEDIATE_DATA: u16 = 2;
    pub(in crate::kernel) const NFTA_BITWISE_SREG: u16 = 1;
    pub(in crate::kernel) const NFTA_BITWISE_DREG: u16 = 2;
    pub(in crate::kernel) const NFTA_BITWISE_LEN: u16 = 3;
    pub(in crate::kernel) const NFTA_BITWISE_MASK: u16 = 4;
    pub(in crate::kernel) const NFTA_BITWISE_XOR: u16 = 5;
    pub(in crate::kernel) const NFTA_CMP_SREG: u16 = 1;
    pub(in crate::kernel) const NFTA_CMP_OP: u16 = 2;
    pub(in crate::kernel) const NFTA_CMP_DATA: u16 = 3;
    pub(in crate::kernel) const NFTA_RANGE_SREG: u16 = 1;
    pub(in crate::kernel) const NFTA_RANGE_OP: u16 = 2;
    pub(in crate::kernel) const NFTA_RANGE_FROM_DATA: u16 = 3;
    pub(in crate::kernel) const NFTA_RANGE_TO_DATA: u16 = 4;
    pub(in crate::kernel) const NFTA_LOOKUP_SET: u16 = 1;
    pub(in crate::kernel) const NFTA_LOOKUP_SREG: u16 = 2;
    pub(in crate::kernel) const NFTA_LOOKUP_DREG: u16 = 3;
    pub(in crate::kernel) const NFTA_LOOKUP_FLAGS: u16 = 5;
    pub(in crate::kernel) const NFTA_PAYLOAD_DREG: u16 = 1;
    pub(in crate::kernel) const NFTA_PAYLOAD_BASE: u16 = 2;
    pub(in crate::kernel) const NFTA_PAYLOAD_OFFSET: u16 = 3;
    pub(in crate::kernel) const NFTA_PAYLOAD_LEN: u16 = 4;
    pub(in crate::kernel) const NFTA_META_DREG: u16 = 1;
    pub(in crate::kernel) const NFTA_META_KEY: u16 = 2;
    pub(in crate::kernel) const NFTA_META_SREG: u16 = 3;
    pub(in crate::kernel) const NFTA_CT_DREG: u16 = 1;
    pub(in crate::kernel) const NFTA_CT_KEY: u16 = 2;
    pub(in crate::kernel) const NFTA_OBJREF_IMM_TYPE: u16 = 1;
    pub(in crate::kernel) const NFTA_OBJREF_IMM_NAME: u16 = 2;
    pub(in crate::kernel) const NFTA_LIMIT_RATE: u16 = 1;
    pub(in crate::kernel) const NFTA_LIMIT_UNIT: u16 = 2;
    pub(in crate::kernel) const NFTA_LIMIT_BURST: u16 = 3;
    pub(in crate::kernel) const NFTA_LIMIT_TYPE: u16 = 4;
    pub(in crate::kernel) const NFTA_LIMIT_FLAGS: u16 = 5;
    pub(in crate::kernel) const NFTA_LOG_PREFIX: u16 = 2;
    pub(in crate::kernel) const NFTA_REJECT_TYPE: u16 = 1;
    pub(in crate::kernel) const NFTA_REJECT_ICMP_CODE: u16 = 2;
    pub(in crate::kernel) const NFTA_FIB_DREG: u16 = 1;
    pub(in crate::kernel) const NFTA_FIB_RESULT: u16 = 2;
    pub(in crate::kernel) const NFTA_FIB_FLAGS: u16 = 3;
    pub(in crate::kernel) const NFTA_NAT_TYPE: u16 = 1;
    pub(in crate::kernel) const NFTA_NAT_FAMILY: u16 = 2;
    pub(in crate::kernel) const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
    pub(in crate::kernel) const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
    pub(in crate::kernel) const NFTA_NAT_REG_PROTO_MAX: u16 = 6;
    pub(in crate::kernel) const NFTA_NAT_FLAGS: u16 = 7;
    pub(in crate::kernel) const NFTA_MASQ_FLAGS: u16 = 1;
    pub(in crate::kernel) const NFTA_MASQ_REG_PROTO_MIN: u16 = 2;
    pub(in crate::kernel) const NFTA_MASQ_REG_PROTO_MAX: u16 = 3;
    /// `linux/netfilter/nf_tables_compat.h`: a match of xtables.
    pub(in crate::kernel) const NFTA_MATCH_NAME: u16 = 1;
    pub(in crate::kernel) const NFTA_MATCH_REV: u16 = 2;
    pub(in crate::kernel) const NFTA_MATCH_INFO: u16 = 3;
    /// The same header: a target of xtables.
    pub(in crate::kernel) const NFTA_TARGET_NAME: u16 = 1;
    pub(in crate::kernel) const NFTA_TARGET_INFO: u16 = 3;
}

/// Values of `linux/netfilter/nf_tables.h`.
pub(in crate::kernel) mod value {
    /// `NFT_TABLE_F_OWNER`: the table belongs to a socket.
    pub(in crate::kernel) const TABLE_OWNER: u32 = 2;
    /// `NFT_TABLE_F_PERSIST`: the table outlives its owner.
    pub(in crate::kernel) const TABLE_PERSIST: u32 = 4;

    /// `NFT_CHAIN_BINDING`: the chain is part of a rule.
    pub(in crate::kernel) const CHAIN_BINDING: u32 = 4;

    /// `NFT_SET_ANONYMOUS`: the set is part of a rule.
    pub(in crate::kernel) const SET_ANONYMOUS: u32 = 0x1;
    pub(in crate::kernel) const SET_INTERVAL: u32 = 0x4;
    pub(in crate::kernel) const SET_MAP: u32 = 0x8;
    pub(in crate::kernel) const SET_CONCAT: u32 = 0x80;
    /// `NFT_DATA_VERDICT`.
    pub(in crate::kernel) const DATA_VERDICT: u32 = 0xffff_ff00;
    /// `NFT_SET_ELEM_INTERVAL_END`.
    pub(in crate::kernel) const ELEM_INTERVAL_END: u32 = 1;

    /// `NFT_OBJECT_COUNTER`.
    pub(in crate::kernel) const OBJECT_COUNTER: u32 = 1;

    pub(in crate::kernel) const NF_DROP: i32 = 0;
    pub(in crate::kernel) const NF_ACCEPT: i32 = 1;
    pub(in crate::kernel) const NFT_JUMP: i32 = -3;
    pub(in crate::kernel) const NFT_GOTO: i32 = -4;
    pub(in crate::kernel) const NFT_RETURN: i32 = -5;

    /// `NFT_REG_VERDICT`.
    pub(in crate::kernel) const REG_VERDICT: u32 = 0;
    /// `NFT_REG_1`, the first of the registers of 16 bytes.
    pub(in crate::kernel) const REG_1: u32 = 1;
    pub(in crate::kernel) const REG_2: u32 = 2;
    pub(in crate::kernel) const REG_3: u32 = 3;
    /// `NFT_REG32_00`, the first of the registers of 4 bytes; it begins where `NFT_REG_1` does.
    pub(in crate::kernel) const REG32_00: u32 = 8;

    pub(in crate::kernel) const CMP_EQ: u32 = 0;
    pub(in crate::kernel) const CMP_NEQ: u32 = 1;
    pub(in crate::kernel) const CMP_LTE: u32 = 3;
    pub(in crate::kernel) const CMP_GTE: u32 = 5;
    pub(in crate::kernel) const RANGE_NEQ: u32 = 1;
    pub(in crate::kernel) const LOOKUP_F_INV: u32 = 1;

    pub(in crate::kernel) const PAYLOAD_NETWORK_HEADER: u32 = 1;
    pub(in crate::kernel) const PAYLOAD_TRANSPORT_HEADER: u32 = 2;
    pub(in crate::kernel) const META_MARK: u32 = 3;
    pub(in crate::kernel) const META_IIF: u32 = 4;
    pub(in crate::kernel) const META_IIFNAME: u32 = 6;
    pub(in crate::kernel) const META_OIFNAME: u32 = 7;
    pub(in crate::kernel) const META_NFPROTO: u32 = 15;
    pub(in crate::kernel) const META_L4PROTO: u32 = 16;
    pub(in crate::kernel) const CT_STATE: u32 = 0;
    pub(in crate::kernel) const CT_STATUS: u32 = 2;
    pub(in crate::kernel) const LIMIT_PKTS: u32 = 0;
    pub(in crate::kernel) const REJECT_TCP_RST: u32 = 1;
    pub(in crate::kernel) const REJECT_ICMPX_UNREACH: u32 = 2;
    pub(in crate::kernel) const REJECT_ICMPX_PORT_UNREACH: u8 = 1;
    /// `NFT_FIB_RESULT_OIF`.
    pub(in crate::kernel) const FIB_RESULT_OIF: u32 = 1;
    pub(in crate::kernel) const FIB_F_SADDR: u32 = 0x1;
    pub(in crate::kernel) const FIB_F_MARK: u32 = 0x4;
    pub(in crate::kernel) const FIB_F_IIF: u32 = 0x8;
    /// `NFTA_FIB_F_PRESENT`: the result is whether there is one.
    pub(in crate::kernel) const FIB_F_PRESENT: u32 = 0x20;
    pub(in crate::kernel) const NAT_SNAT: u32 = 0;
    pub(in crate::kernel) const NAT_DNAT: u32 = 1;
    /// `NF_NAT_RANGE_PROTO_SPECIFIED` of `linux/netfilter/nf_nat.h`: the registers of ports are meant.
    pub(in crate::kernel) const NAT_RANGE_PROTO_SPECIFIED: u32 = 2;
}

/// Data types as `nft` numbers them in `enum datatypes` of its `include/datatype.h`; the kernel only keeps them.
pub(in crate::kernel) mod datatype {
    pub(in crate::kernel) const IPADDR: u32 = 7;
    pub(in crate::kernel) const IP6ADDR: u32 = 8;
    pub(in crate::kernel) const INET_PROTOCOL: u32 = 12;
    pub(in crate::kernel) const INET_SERVICE: u32 = 13;
    pub(in crate::kernel) const IFNAME: u32 = 41;
    /// The bits that each field takes in the type of a concatenation.
    pub(in crate::kernel) const BITS: u32 = 6;
}

/// User data as `libnftnl/udata.h` lays it out; the kernel only keeps it.
pub(in crate::kernel) mod user_data {
    /// `NFTNL_UDATA_RULE_COMMENT`: a text with a final NUL.
    pub(in crate::kernel) const RULE_COMMENT: u8 = 0;
    /// The fingerprint of a rule of ours; `nft` skips types that it does not know.
    pub(in crate::kernel) const RULE_FINGERPRINT: u8 = 0x74;
    /// The longest comment that `nft` takes: `NFTNL_UDATA_COMMENT_MAXLEN`.
    pub(in crate::kernel) const COMMENT_MAX: usize = 128;
    /// `NFTNL_UDATA_SET_KEYBYTEORDER` and a native `u32`: the key is in host order (`BYTEORDER_HOST_ENDIAN`).
    pub(in crate::kernel) const KEY_HOST_ORDER: [u8; 6] = udata_u32(0, 1);
    /// The same for network order (`BYTEORDER_BIG_ENDIAN`).
    pub(in crate::kernel) const KEY_NETWORK_ORDER: [u8; 6] = udata_u32(0, 2);
    /// `NFTNL_UDATA_SET_ELEM_FLAGS` and `SET_ELEM_F_INTERVAL_OPEN`: the interval has no end.
    pub(in crate::kernel) const ELEM_OPEN_INTERVAL: [u8; 6] = udata_u32(1, 1);

    const fn udata_u32(kind: u8, value: u32) -> [u8; 6] {
        let [a, b, c, d] = value.to_ne_bytes();
        [kind, 4, a, b, c, d]
    }
}
