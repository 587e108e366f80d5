//! The grammar, by recursive descent.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ast::{Comparison, Membership, Node};
use super::error::{Expected, ParseError, Reason};
use super::lex::{Cursor, MAX_LABEL_LENGTH};

/// The longest text that is parsed, in bytes: the writer allows 1024 to each selector of a resource, and
/// a stored one may be the conjunction of several.
pub const MAX_LENGTH: usize = 16 * 1024;

/// The deepest nesting that is parsed, of parentheses and of `&&` within `||` alike, which bounds the
/// stack that reading, matching and printing need.
pub const MAX_NESTING: usize = 256;

/// What is parsed of a selector that was put together from several, each within its limits.
const COMPOSED: Limits = Limits {
    length: 8 * MAX_LENGTH,
    nesting: MAX_NESTING + 8,
};

/// How much is parsed.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The longest text, in bytes.
    length: usize,
    /// The deepest nesting.
    nesting: usize,
}

/// A node with how many `And` and `Or` lie on its longest branch.
type Measured = (Node, usize);

/// Parses a whole selector.
pub(super) fn parse(text: &str) -> Result<Node, ParseError> {
    let limits = Limits {
        length: MAX_LENGTH,
        nesting: MAX_NESTING,
    };
    parse_within(text, limits)
}

/// Parses the canonical text of a selector that may have been put together.
pub(super) fn parse_composed(text: &str) -> Result<Node, ParseError> {
    parse_within(text, COMPOSED)
}

fn parse_within(text: &str, limits: Limits) -> Result<Node, ParseError> {
    if text.len() > limits.length {
        let reason = Reason::TooLong { length: text.len() };
        return Err(ParseError {
            offset: limits.length,
            reason,
        });
    }
    let mut parser = Parser {
        cursor: Cursor::new(text),
        most: limits.nesting,
        nesting: 0,
    };
    parser.cursor.skip_blanks();
    if parser.cursor.is_at_end() {
        return Ok(Node::All);
    }
    let (node, _) = parser.disjunction()?;
    if parser.cursor.is_at_end() {
        Ok(node)
    } else {
        Err(parser.cursor.expected(Expected::End))
    }
}

#[derive(Debug)]
struct Parser<'a> {
    cursor: Cursor<'a>,
    /// The deepest nesting.
    most: usize,
    nesting: usize,
}

impl Parser<'_> {
    /// Reads operands of `||`; leaves the cursor after the blanks that follow, as all rules here do.
    fn disjunction(&mut self) -> Result<Measured, ParseError> {
        self.operands("||", Self::conjunction, Node::Or)
    }

    fn conjunction(&mut self) -> Result<Measured, ParseError> {
        self.operands("&&", Self::operation, Node::And)
    }

    fn operands(
        &mut self,
        separator: &str,
        operand: fn(&mut Self) -> Result<Measured, ParseError>,
        join: fn(Vec<Node>) -> Node,
    ) -> Result<Measured, ParseError> {
        let start = self.cursor.offset();
        let (first, mut height) = operand(self)?;
        if !self.cursor.eat(separator) {
            return Ok((first, height));
        }
        let mut nodes = vec![first];
        loop {
            self.cursor.skip_blanks();
            let (node, node_height) = operand(self)?;
            nodes.push(node);
            height = height.max(node_height);
            if !self.cursor.eat(separator) {
                break;
            }
        }
        if height >= self.most {
            return Err(ParseError {
                offset: start,
                reason: Reason::TooDeep,
            });
        }
        Ok((join(nodes), height + 1))
    }

    fn operation(&mut self) -> Result<Measured, ParseError> {
        let mut negate = false;
        while self.cursor.eat("!") {
            negate = !negate;
            self.cursor.skip_blanks();
        }
        let (node, height) = if self.cursor.eat("(") {
            self.parenthesised()?
        } else {
            (self.primitive()?, 0)
        };
        self.cursor.skip_blanks();
        Ok((if negate { node.negated() } else { node }, height))
    }

    /// Reads what follows an opening parenthesis, and the closing one.
    fn parenthesised(&mut self) -> Result<Measured, ParseError> {
        if self.nesting >= self.most {
            let offset = self.cursor.offset() - 1;
            return Err(ParseError {
                offset,
                reason: Reason::TooDeep,
            });
        }
        self.nesting += 1;
        self.cursor.skip_blanks();
        let measured = self.disjunction()?;
        if !self.cursor.eat(")") {
            return Err(self.cursor.expected(Expected::Close));
        }
        self.nesting -= 1;
        Ok(measured)
    }

    fn primitive(&mut self) -> Result<Node, ParseError> {
        let start = self.cursor;
        let word = self.cursor.word();
        if word.is_empty() {
            return Err(start.expected(Expected::Operation));
        }
        let call = matches!(word, "has" | "all" | "global") && self.cursor.eat("(");
        if !call {
            let label = label_at(start, word)?;
            self.cursor.skip_blanks();
            return self.comparison(label);
        }
        self.cursor.skip_blanks();
        let node = match word {
            "all" => Node::All,
            "global" => Node::Global,
            _ => {
                let at = self.cursor;
                let label = self.cursor.word();
                if label.is_empty() {
                    return Err(at.expected(Expected::Label));
                }
                Node::Has(label_at(at, label)?)
            }
        };
        self.cursor.skip_blanks();
        if self.cursor.eat(")") {
            Ok(node)
        } else {
            Err(self.cursor.expected(Expected::CallEnd))
        }
    }

    /// Reads the operator after a label, and its right-hand side.
    fn comparison(&mut self, label: Arc<str>) -> Result<Node, ParseError> {
        match self.operator()? {
            Operator::Compare(comparison) => {
                self.cursor.skip_blanks();
                let value = self.cursor.quoted(Expected::Value)?.into();
                Ok(Node::Compare {
                    label,
                    comparison,
                    value,
                })
            }
            Operator::Within(membership) => {
                self.cursor.skip_blanks();
                Ok(Node::Within {
                    label,
                    membership,
                    values: self.set()?,
                })
            }
        }
    }

    fn operator(&mut self) -> Result<Operator, ParseError> {
        if self.cursor.eat("==") {
            return Ok(Operator::Compare(Comparison::Equal));
        }
        if self.cursor.eat("!=") {
            return Ok(Operator::Compare(Comparison::NotEqual));
        }
        let start = self.cursor;
        match self.cursor.word() {
            "in" => return Ok(Operator::Within(Membership::In)),
            "notin" => return Ok(Operator::Within(Membership::NotIn)),
            "contains" => return Ok(Operator::Compare(Comparison::Contains)),
            "startswith" => return Ok(Operator::Compare(Comparison::StartsWith)),
            "endswith" => return Ok(Operator::Compare(Comparison::EndsWith)),
            first => {
                self.cursor.skip_blanks();
                match (first, self.cursor.word()) {
                    ("not", "in") => return Ok(Operator::Within(Membership::NotIn)),
                    ("starts", "with") => return Ok(Operator::Compare(Comparison::StartsWith)),
                    ("ends", "with") => return Ok(Operator::Compare(Comparison::EndsWith)),
                    _ => {}
                }
            }
        }
        Err(start.expected(Expected::Operator))
    }

    fn set(&mut self) -> Result<BTreeSet<Arc<str>>, ParseError> {
        if !self.cursor.eat("{") {
            return Err(self.cursor.expected(Expected::Set));
        }
        let mut values = BTreeSet::new();
        loop {
            self.cursor.skip_blanks();
            if self.cursor.eat("}") {
                return Ok(values);
            }
            values.insert(self.cursor.quoted(Expected::Item)?.into());
            self.cursor.skip_blanks();
            if self.cursor.eat(",") {
                continue;
            }
            if self.cursor.eat("}") {
                return Ok(values);
            }
            return Err(self.cursor.expected(Expected::SetRest));
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Compare(Comparison),
    Within(Membership),
}

fn label_at(start: Cursor<'_>, word: &str) -> Result<Arc<str>, ParseError> {
    if word.len() > MAX_LABEL_LENGTH {
        let reason = Reason::LabelTooLong { length: word.len() };
        return Err(ParseError {
            offset: start.offset(),
            reason,
        });
    }
    Ok(word.into())
}
