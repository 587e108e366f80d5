//! What our own table says: which interfaces it polices, and how it marks what it accepts.

use std::collections::BTreeMap;

use super::policed::Policed;
use super::rule;
use crate::kernel::comments::expressions;
use crate::kernel::decode::{Attributes, exact};
use crate::kernel::encode::consts::attribute::{
    NFTA_CHAIN_TABLE, NFTA_DATA_VALUE, NFTA_RULE_CHAIN, NFTA_RULE_TABLE,
};
use crate::kernel::encode::consts::{expression as field, message, nfnetlink, value};
use crate::kernel::error::KernelError;
use crate::kernel::host_chains::{Accepted, HostChain, HostFamily, host_chain};
use crate::kernel::socket::{Dump, Socket};
use crate::nft::{Hook, TableName};

/// What our table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ours {
    /// The interfaces with an endpoint.
    policed: Policed,
    /// How packets are known that policy accepted; none where none are marked.
    accepted: Option<Accepted>,
    /// What becomes of IPv6.
    ip6: Ip6,
}

/// What our table does with IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ip6 {
    /// What it does with IPv4.
    Judged,
    /// A base chain accepts all of it before any policy is asked.
    AcceptedUnasked,
}

impl Ours {
    /// Returns the interfaces with an endpoint whose policy is asked about packets of a family; none where none is.
    pub(super) fn policed(&self, family: HostFamily) -> Option<&Policed> {
        self.judges(family).then_some(&self.policed)
    }

    /// Returns how packets of a family are known that policy accepted; none where none are marked.
    pub(super) fn accepted(&self, family: HostFamily) -> Option<Accepted> {
        self.accepted.filter(|_| self.judges(family))
    }

    /// Tells whether policy is asked about packets of a family.
    pub(super) fn judges(&self, family: HostFamily) -> bool {
        match family {
            HostFamily::Ip | HostFamily::Inet => true,
            HostFamily::Ip6 => self.ip6 == Ip6::Judged,
        }
    }
}

/// What came of reading our table.
pub(super) enum Reading {
    /// It changed meanwhile.
    Interrupted,
    /// It is not there, or polices nothing.
    Absent,
    /// It says this.
    Read(Ours),
}

/// Reads our table.
pub(super) fn read(socket: &mut Socket, table: &TableName) -> Result<Reading, KernelError> {
    let table = table.as_str();
    let mut bases: BTreeMap<String, HostChain> = BTreeMap::new();
    let dump = socket.dump(
        "the chains",
        message::GETCHAIN,
        nfnetlink::NFPROTO_INET,
        |_| {},
        |message| {
            if message.attributes().text(NFTA_CHAIN_TABLE) == Some(table)
                && let Some(chain) = host_chain(message)
            {
                bases.insert(chain.name.clone(), chain);
            }
        },
    )?;
    let priority = bases.values().map(|chain| chain.priority).max();
    let priority = match (dump, priority) {
        (Dump::Interrupted, _) => return Ok(Reading::Interrupted),
        (Dump::Complete, None) => return Ok(Reading::Absent),
        (Dump::Complete, Some(priority)) => priority,
    };
    let mut policed = Policed::default();
    let mut marks = Marks::default();
    let mut ip6 = Ip6::Judged;
    let dump = socket.dump(
        "the rules",
        message::GETRULE,
        nfnetlink::NFPROTO_INET,
        |buffer| buffer.text(NFTA_RULE_TABLE, table),
        |message| {
            let attributes = message.attributes();
            if attributes.text(NFTA_RULE_TABLE) != Some(table) {
                return;
            }
            marks.rule(attributes);
            let chain = attributes.text(NFTA_RULE_CHAIN);
            if let Some(base) = chain.and_then(|name| bases.get(name)) {
                let rule = rule::read(attributes);
                if rule.accepts_all_of(nfnetlink::NFPROTO_IPV6) {
                    ip6 = Ip6::AcceptedUnasked;
                }
                if base.hook == Hook::Input {
                    policed.note_ours(&rule);
                }
            }
        },
    )?;
    if dump == Dump::Interrupted
        || policed.read_maps(socket, nfnetlink::NFPROTO_INET, table)? == Dump::Interrupted
    {
        return Ok(Reading::Interrupted);
    }
    Ok(Reading::Read(Ours {
        policed,
        accepted: marks.accepted().map(|mark| Accepted { mark, priority }),
        ip6,
    }))
}

/// The bits of the packet mark that our rules write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Marks {
    /// All of them; the lowest says that policy accepted.
    ours: u32,
    set: u32,
}

impl Marks {
    /// Takes in a rule.
    fn rule(&mut self, rule: Attributes<'_>) {
        for expr in expressions(rule) {
            if expr.text(field::NFTA_EXPR_NAME) != Some("bitwise") {
                continue;
            }
            let Some(data) = expr.nested(field::NFTA_EXPR_DATA) else {
                continue;
            };
            let number = |attribute| {
                let bytes = data.nested(attribute)?.value(NFTA_DATA_VALUE)?;
                exact(bytes).map(u32::from_ne_bytes)
            };
            let masks = (
                number(field::NFTA_BITWISE_MASK),
                number(field::NFTA_BITWISE_XOR),
            );
            // What is compared afterwards keeps a few bits; what is written keeps all but those that it changes.
            if let (Some(kept), Some(set)) = masks
                && writes_mark(rule)
                && kept.count_ones() > u32::BITS / 2
            {
                self.ours |= !kept;
                self.set |= set;
            }
        }
    }

    /// Returns the bit of what policy accepted, where any rule sets it.
    fn accepted(self) -> Option<u32> {
        let lowest = self.ours & self.ours.wrapping_neg();
        (lowest & self.set != 0).then_some(lowest)
    }
}

/// Tells whether a rule changes the mark of a packet.
fn writes_mark(rule: Attributes<'_>) -> bool {
    expressions(rule).any(|expr| {
        let data = expr
            .nested(field::NFTA_EXPR_DATA)
            .unwrap_or(Attributes(&[]));
        expr.text(field::NFTA_EXPR_NAME) == Some("meta")
            && data.be32(field::NFTA_META_KEY) == Some(value::META_MARK)
            && data.value(field::NFTA_META_SREG).is_some()
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::decode::Messages;
    use crate::kernel::encode::buffer::{Buffer, Header};
    use crate::kernel::encode::consts::attribute::NFTA_RULE_EXPRESSIONS;
    use crate::kernel::encode::exprs::expressions as write;
    use crate::nft::{Comparison, Expr};

    fn take(marks: &mut Marks, exprs: &[Expr]) {
        let mut buffer = Buffer::with_capacity(256);
        let header = Header {
            kind: 0x0a06,
            flags: 0,
            sequence: 1,
            family: 1,
            resource: 0,
        };
        buffer
            .message(header, |buffer| {
                buffer.nest(NFTA_RULE_EXPRESSIONS, |buffer| write(buffer, exprs));
            })
            .unwrap();
        let bytes = buffer.into_bytes();
        marks.rule(Messages(&bytes).next().unwrap().attributes());
    }

    #[test]
    fn the_lowest_of_our_bits_counts_where_a_rule_sets_it() {
        let mut marks = Marks::default();
        let asked = Expr::MarkBits(Comparison::Is, 0x0700_0000);
        let forgotten = Expr::SetMark {
            mask: 0x0700_0000,
            value: 0,
        };
        take(&mut marks, &[asked.clone(), forgotten]);
        take(&mut marks, &[asked]);
        for early in [0x0200_0000, 0x0400_0000] {
            let set = Expr::SetMark {
                mask: early,
                value: early,
            };
            take(&mut marks, &[set]);
        }
        assert_eq!(marks.accepted(), None);
        let accepted = Expr::SetMark {
            mask: 0x0100_0000,
            value: 0x0100_0000,
        };
        take(&mut marks, &[accepted]);
        assert_eq!(marks.accepted(), Some(0x0100_0000));
    }

    #[test]
    fn nothing_of_ipv6_is_policed_where_it_is_accepted_unasked() {
        let mut ours = Ours {
            policed: Policed::default(),
            accepted: Some(Accepted {
                mark: 1,
                priority: 0,
            }),
            ip6: Ip6::Judged,
        };
        let says = |ours: &Ours, family| {
            let accepted = ours.accepted(family).is_some();
            (ours.policed(family).is_some(), accepted)
        };
        assert_eq!(says(&ours, HostFamily::Ip6), (true, true));
        ours.ip6 = Ip6::AcceptedUnasked;
        assert_eq!(says(&ours, HostFamily::Ip6), (false, false));
        assert_eq!(says(&ours, HostFamily::Ip), (true, true));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200)) {
            Marks::default().rule(Attributes(&bytes));
        }
    }
}
