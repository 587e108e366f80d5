//! What the rules of others say of themselves.

use super::decode::{Attributes, UserData};
use super::encode::consts::attribute::{NFTA_LIST_ELEM, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA};
use super::encode::consts::{expression, user_data};

/// Returns the expressions of a rule.
pub(super) fn expressions(rule: Attributes<'_>) -> impl Iterator<Item = Attributes<'_>> {
    rule.nested(NFTA_RULE_EXPRESSIONS)
        .into_iter()
        .flatten()
        .filter(|(attribute, _)| *attribute == NFTA_LIST_ELEM)
        .map(|(_, value)| Attributes(value))
}

/// Returns the comments of a rule, in its user data and as matches of xtables, each up to its first NUL.
pub(super) fn comments(rule: Attributes<'_>) -> impl Iterator<Item = &[u8]> {
    let noted = rule.value(NFTA_RULE_USERDATA).and_then(|data| {
        UserData(data)
            .find(|(kind, _)| *kind == user_data::RULE_COMMENT)
            .map(|(_, text)| text)
    });
    noted
        .into_iter()
        .chain(expressions(rule).filter_map(comment_match))
        .map(|text| text.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// Returns the text of a `comment` match of xtables.
fn comment_match(expr: Attributes<'_>) -> Option<&[u8]> {
    if expr.text(expression::NFTA_EXPR_NAME)? != "match" {
        return None;
    }
    let data = expr.nested(expression::NFTA_EXPR_DATA)?;
    if data.text(expression::NFTA_MATCH_NAME)? != "comment" {
        return None;
    }
    data.value(expression::NFTA_MATCH_INFO)
}
