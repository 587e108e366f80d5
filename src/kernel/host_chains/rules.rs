//! Which rules of a chain are ours.

use crate::kernel::comments::comments;
use crate::kernel::decode::{Attributes, exact};
use crate::kernel::encode::consts::attribute::{NFTA_RULE_HANDLE, NFTA_RULE_USERDATA};
use crate::kernel::encode::host_rule::{COMMENT, Steps, fingerprint};
use crate::kernel::observe::rule_fingerprint;
use crate::nft::Fingerprint;

/// What was seen of a chain's rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// The handle of the first rule.
    head: Option<u64>,
    /// The rules that are ours, in order.
    ours: Vec<Ours>,
}

/// A rule of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ours {
    handle: u64,
    /// What it says; absent where it was saved and restored, which loses that.
    content: Option<Fingerprint>,
}

impl Seen {
    /// Takes note of the next rule.
    pub(super) fn rule(&mut self, attributes: Attributes<'_>) {
        let Some(handle) = attributes.value(NFTA_RULE_HANDLE).and_then(exact) else {
            return;
        };
        let handle = u64::from_be_bytes(handle);
        self.head.get_or_insert(handle);
        if is_ours(attributes) {
            let content = attributes
                .value(NFTA_RULE_USERDATA)
                .and_then(rule_fingerprint);
            self.ours.push(Ours { handle, content });
        }
    }

    /// Tells whether any rule is ours.
    pub(super) fn has_ours(&self) -> bool {
        !self.ours.is_empty()
    }

    /// Returns what makes a rule accept a mark beside those that are there; nothing where no rule is ours.
    pub(super) fn additions(&self, mark: u32) -> Steps {
        let wanted = Some(fingerprint(mark));
        let is_there = self.ours.iter().any(|rule| rule.content == wanted);
        Steps {
            delete: Vec::new(),
            insert: (self.has_ours() && !is_there).then_some(mark),
        }
    }

    /// Returns what makes one rule at the head accept a mark, or leaves none where there is no mark.
    pub(super) fn steps(&self, mark: Option<u32>) -> Steps {
        let keep = mark.and_then(|mark| {
            let wanted = Some(fingerprint(mark));
            self.ours
                .iter()
                .find(|rule| Some(rule.handle) == self.head && rule.content == wanted)
                .map(|rule| rule.handle)
        });
        let others = self.ours.iter().map(|rule| rule.handle);
        Steps {
            delete: others.filter(|handle| Some(*handle) != keep).collect(),
            insert: mark.filter(|_| keep.is_none()),
        }
    }
}

/// Tells whether a rule carries our comment.
fn is_ours(attributes: Attributes<'_>) -> bool {
    comments(attributes).any(|text| text == COMMENT.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::decode::Message;
    use crate::kernel::decode::Messages;
    use crate::kernel::encode::buffer::{Buffer, Header};
    use crate::kernel::encode::consts::attribute::{NFTA_LIST_ELEM, NFTA_RULE_EXPRESSIONS};
    use crate::kernel::encode::consts::{expression, user_data};
    use crate::kernel::host_chains::acceptance::accepts;
    use crate::kernel::host_chains::survey::host_chain;

    const MARK: u32 = 0x10000;

    /// Writes a rule as the kernel shows it, and reads it.
    fn read(seen: &mut Seen, handle: u64, body: impl FnOnce(&mut Buffer)) {
        let mut buffer = Buffer::with_capacity(512);
        let header = Header {
            kind: 0x0a06,
            flags: 0,
            sequence: 1,
            family: 2,
            resource: 0,
        };
        buffer
            .message(header, |buffer| {
                buffer.be64(NFTA_RULE_HANDLE, handle);
                body(buffer);
            })
            .unwrap();
        let bytes = buffer.into_bytes();
        seen.rule(Messages(&bytes).next().unwrap().attributes());
    }

    fn with_data(comment: &str, content: Option<Fingerprint>) -> Vec<u8> {
        let mut data = vec![0, u8::try_from(comment.len() + 1).unwrap()];
        data.extend_from_slice(comment.as_bytes());
        data.push(0);
        if let Some(content) = content {
            data.extend_from_slice(&[user_data::RULE_FINGERPRINT, 8]);
            data.extend_from_slice(&content.0);
        }
        data
    }

    fn ours(seen: &mut Seen, handle: u64, content: Option<Fingerprint>) {
        let data = with_data(COMMENT, content);
        read(seen, handle, |buffer| {
            buffer.bytes(NFTA_RULE_USERDATA, &data);
        });
    }

    fn restored(seen: &mut Seen, handle: u64, comment: &str) {
        let mut info = comment.as_bytes().to_vec();
        info.resize(256, 0);
        read(seen, handle, |buffer| {
            buffer.nest(NFTA_RULE_EXPRESSIONS, |buffer| {
                buffer.nest(NFTA_LIST_ELEM, |buffer| {
                    buffer.text(expression::NFTA_EXPR_NAME, "match");
                    buffer.nest(expression::NFTA_EXPR_DATA, |buffer| {
                        buffer.text(expression::NFTA_MATCH_NAME, "comment");
                        buffer.bytes(expression::NFTA_MATCH_INFO, &info);
                    });
                });
            });
        });
    }

    fn foreign(seen: &mut Seen, handle: u64) {
        read(seen, handle, |_| {});
    }

    fn steps(delete: &[u64], insert: Option<u32>) -> Steps {
        Steps {
            delete: delete.to_vec(),
            insert,
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200), attribute in 1_u16..8) {
            let mut seen = Seen::default();
            read(&mut seen, 1, |buffer| buffer.bytes(attribute, &bytes));
            let _ = seen.steps(Some(MARK));
            let attributes = Attributes(&bytes);
            seen.rule(attributes);
            let _ = accepts(attributes, MARK);
            let message = Message {
                kind: 0x0a03,
                flags: 0,
                sequence: 1,
                payload: &bytes,
            };
            let _ = host_chain(message);
        }
    }

    #[test]
    fn our_rule_stays_where_it_is_at_the_head_and_current() {
        let current = Some(fingerprint(MARK));
        let mut seen = Seen::default();
        assert_eq!(seen.steps(Some(MARK)), steps(&[], Some(MARK)));
        assert_eq!(seen.steps(None), steps(&[], None));
        ours(&mut seen, 5, current);
        foreign(&mut seen, 1);
        assert_eq!(seen.steps(Some(MARK)), steps(&[], None));
        assert_eq!(seen.steps(Some(0x20000)), steps(&[5], Some(0x20000)));
        assert_eq!(seen.steps(None), steps(&[5], None));
        ours(&mut seen, 6, current);
        assert_eq!(seen.steps(Some(MARK)), steps(&[6], None));
    }

    #[test]
    fn a_rule_for_another_mark_is_added_beside_ours_until_that_goes() {
        let mut seen = Seen::default();
        assert_eq!(seen.additions(0x20000), steps(&[], None));
        foreign(&mut seen, 1);
        assert_eq!(seen.additions(0x20000), steps(&[], None));
        ours(&mut seen, 5, Some(fingerprint(MARK)));
        assert_eq!(seen.additions(MARK), steps(&[], None));
        assert_eq!(seen.additions(0x20000), steps(&[], Some(0x20000)));
        let mut both = Seen::default();
        ours(&mut both, 6, Some(fingerprint(0x20000)));
        ours(&mut both, 5, Some(fingerprint(MARK)));
        assert_eq!(both.additions(0x20000), steps(&[], None));
        assert_eq!(both.steps(Some(0x20000)), steps(&[5], None));
    }

    #[test]
    fn our_rule_comes_back_to_the_head() {
        let mut seen = Seen::default();
        foreign(&mut seen, 1);
        ours(&mut seen, 5, Some(fingerprint(MARK)));
        assert_eq!(seen.steps(Some(MARK)), steps(&[5], Some(MARK)));
    }

    #[test]
    fn a_rule_that_was_restored_is_ours_by_its_comment() {
        let mut seen = Seen::default();
        restored(&mut seen, 1, COMMENT);
        restored(&mut seen, 2, "tortie: accepted by policy, or not");
        restored(&mut seen, 3, "tortie");
        assert_eq!(seen.steps(Some(MARK)), steps(&[1], Some(MARK)));
        assert_eq!(seen.steps(None), steps(&[1], None));
    }

    #[test]
    fn other_comments_and_hostile_bytes_are_not_ours() {
        let mut seen = Seen::default();
        let data = with_data("tortie", Some(fingerprint(MARK)));
        read(&mut seen, 1, |buffer| {
            buffer.bytes(NFTA_RULE_USERDATA, &data);
        });
        let cut = with_data(COMMENT, None);
        let cut = cut.get(..10).unwrap();
        read(&mut seen, 2, |buffer| buffer.bytes(NFTA_RULE_USERDATA, cut));
        read(&mut seen, 3, |buffer| {
            buffer.bytes(NFTA_RULE_EXPRESSIONS, &[0xff; 33]);
        });
        assert!(!seen.has_ours());
        assert_eq!(seen.steps(None), Steps::default());
    }
}
