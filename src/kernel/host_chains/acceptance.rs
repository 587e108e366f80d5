//! Whether a rule accepts every packet that carries a mark.

use crate::kernel::comments::expressions;
use crate::kernel::decode::{Attributes, exact};
use crate::kernel::encode::consts::attribute::{
    NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE,
};
use crate::kernel::encode::consts::{expression as field, value};

/// What the expressions of a rule have come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing has been asked.
    Begun,
    /// The mark was loaded.
    Loaded,
    /// Its bit was cut out.
    Masked,
    /// The bit is set.
    Asked,
}

/// Tells whether a rule accepts whatever has a bit of the mark set, and asks nothing else. It may count and
/// comment.
pub(in crate::kernel) fn accepts(rule: Attributes<'_>, mark: u32) -> bool {
    let mut step = Step::Begun;
    for expr in expressions(rule) {
        let name = expr.text(field::NFTA_EXPR_NAME).unwrap_or_default();
        let data = expr
            .nested(field::NFTA_EXPR_DATA)
            .unwrap_or(Attributes(&[]));
        step = match (step, name) {
            (step, "counter") => step,
            (step, "match") if data.text(field::NFTA_MATCH_NAME) == Some("comment") => step,
            (Step::Begun, "match") if is_mark_match(data, mark) => Step::Asked,
            (Step::Begun, "meta") if loads_mark(data) => Step::Loaded,
            (Step::Loaded, "bitwise") if cuts_out(data, mark) => Step::Masked,
            (Step::Masked, "cmp") if is_set(data, mark) => Step::Asked,
            (Step::Asked, "immediate") => return accepts_all(data),
            _ => return false,
        };
    }
    false
}

/// Reads `struct xt_mark_mtinfo1`: mark, mask, and whether the match is inverted.
fn is_mark_match(data: Attributes<'_>, mark: u32) -> bool {
    let info = data.value(field::NFTA_MATCH_INFO).unwrap_or_default();
    let bytes = mark.to_ne_bytes();
    data.text(field::NFTA_MATCH_NAME) == Some("mark")
        && data.be32(field::NFTA_MATCH_REV) == Some(1)
        && info.get(..4) == Some(&bytes)
        && info.get(4..8) == Some(&bytes)
        && info.get(8) == Some(&0)
}

fn loads_mark(data: Attributes<'_>) -> bool {
    data.be32(field::NFTA_META_KEY) == Some(value::META_MARK)
        && data.be32(field::NFTA_META_DREG) == Some(value::REG_1)
}

fn cuts_out(data: Attributes<'_>, mark: u32) -> bool {
    data.be32(field::NFTA_BITWISE_SREG) == Some(value::REG_1)
        && data.be32(field::NFTA_BITWISE_DREG) == Some(value::REG_1)
        && number(data, field::NFTA_BITWISE_MASK) == Some(mark)
        && number(data, field::NFTA_BITWISE_XOR) == Some(0)
}

fn is_set(data: Attributes<'_>, mark: u32) -> bool {
    let operator = data.be32(field::NFTA_CMP_OP);
    let operand = number(data, field::NFTA_CMP_DATA);
    data.be32(field::NFTA_CMP_SREG) == Some(value::REG_1)
        && ((operator == Some(value::CMP_EQ) && operand == Some(mark))
            || (operator == Some(value::CMP_NEQ) && operand == Some(0)))
}

fn accepts_all(data: Attributes<'_>) -> bool {
    let code = data
        .nested(field::NFTA_IMMEDIATE_DATA)
        .and_then(|data| data.nested(NFTA_DATA_VERDICT))
        .and_then(|verdict| verdict.signed_be32(NFTA_VERDICT_CODE));
    data.be32(field::NFTA_IMMEDIATE_DREG) == Some(value::REG_VERDICT)
        && code == Some(value::NF_ACCEPT)
}

fn number(data: Attributes<'_>, attribute: u16) -> Option<u32> {
    let bytes = data.nested(attribute)?.value(NFTA_DATA_VALUE)?;
    exact(bytes).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::decode::Messages;
    use crate::kernel::encode::buffer::{Buffer, Header};
    use crate::kernel::encode::consts::attribute::NFTA_RULE_EXPRESSIONS;
    use crate::kernel::encode::exprs::expressions as write;
    use crate::kernel::encode::host_rule::{Steps, Target, batch};
    use crate::net::{Family, Protocol};
    use crate::nft::{Comparison, Expr, Limit, LimitUnit, Verdict};

    const MARK: u32 = 0x10000;
    const ASKED: Expr = Expr::MarkBits(Comparison::Is, MARK);
    const ACCEPT: Expr = Expr::Verdict(Verdict::Accept);

    fn accepted(exprs: &[Expr]) -> bool {
        let mut buffer = Buffer::with_capacity(256);
        let header = Header {
            kind: 0x0a06,
            flags: 0,
            sequence: 1,
            family: 2,
            resource: 0,
        };
        let written = buffer.message(header, |buffer| {
            buffer.nest(NFTA_RULE_EXPRESSIONS, |buffer| write(buffer, exprs));
        });
        written.unwrap();
        let bytes = buffer.into_bytes();
        let message = Messages(&bytes).next().unwrap();
        accepts(message.attributes(), MARK)
    }

    #[test]
    fn a_rule_that_asks_for_the_mark_alone_accepts_it() {
        assert!(accepted(&[ASKED, ACCEPT]));
        assert!(accepted(&[Expr::Counter, ASKED, Expr::Counter, ACCEPT]));
    }

    #[test]
    fn our_own_rule_accepts_the_mark() {
        let target = Target {
            family: 2,
            table: "filter",
            chain: "INPUT",
        };
        let steps = Steps {
            delete: vec![],
            insert: Some(MARK),
        };
        let bytes = batch(target, &steps, 1, 1).unwrap();
        let rule = Messages(&bytes.bytes).nth(1).unwrap().attributes();
        assert!(accepts(rule, MARK));
        assert!(!accepts(rule, 0x20000));
        assert!(!accepts(rule, 0x30000));
    }

    #[test]
    fn a_rule_that_asks_more_or_does_less_does_not() {
        let limit = Expr::Limit(Limit {
            rate: 1,
            unit: LimitUnit::Second,
            burst: 5,
        });
        for exprs in [
            vec![],
            vec![ACCEPT],
            vec![ASKED],
            vec![ASKED, Expr::Verdict(Verdict::Drop)],
            vec![ASKED, Expr::Verdict(Verdict::Return)],
            vec![Expr::NetworkFamily(Family::V4), ASKED, ACCEPT],
            vec![ASKED, Expr::Protocol(Comparison::Is, Protocol::TCP), ACCEPT],
            vec![ASKED, limit, ACCEPT],
            vec![Expr::MarkBits(Comparison::IsNot, MARK), ACCEPT],
            vec![Expr::MarkBits(Comparison::Is, 0x30000), ACCEPT],
            vec![Expr::CtState(MARK), ACCEPT],
        ] {
            assert!(!accepted(&exprs), "{exprs:?}");
        }
    }
}
