//! One transaction.

use std::ops::Range;

use super::buffer::{Buffer, Header, TooLong};
use super::consts::netlink::{HEADER_LENGTH, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST};
use super::consts::{attribute, message, nfnetlink};
use super::exprs::RuleFault;
use super::sets::SetFault;
use super::{exprs, object, sets};
use crate::kernel::subject::Subject;
use crate::nft::{Element, Operation, Plan, SetSpec, TableName};

/// What a plan does not say about the table that it changes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The name of the table, of family `inet`.
    pub table: &'a TableName,
    /// `NFT_TABLE_F_*`, for a table that is made or adopted.
    pub flags: u32,
}

/// The bytes of one transaction, from the begin to the end of the batch, and what each message is about.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where the end of the batch begins.
    end: usize,
    first_sequence: u32,
    /// The messages between begin and end, in order.
    messages: Vec<Message>,
}

/// One message between the ends of a batch.
#[derive(Debug, Clone, Copy)]
struct Message {
    start: usize,
    operation: usize,
    first_element: usize,
}

impl Batch {
    /// Encodes a plan; the begin of the batch carries `first_sequence`, each later message one more.
    ///
    /// # Errors
    /// Fails where an object of the plan cannot be expressed, and names it.
    pub fn encode(
        plan: &Plan,
        target: &Target<'_>,
        first_sequence: u32,
    ) -> Result<Self, EncodeError> {
        let mut writer = Writer {
            buffer: Buffer::with_capacity(estimate(plan)),
            target,
            first_sequence,
            messages: Vec::with_capacity(plan.operations.len()),
        };
        writer
            .end(nfnetlink::NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST)
            .map_err(|TooLong| EncodeError::message(plan, target, 0))?;
        for (index, operation) in plan.operations.iter().enumerate() {
            writer.operation(plan, index, operation)?;
        }
        if let Some(last) = writer.messages.last() {
            writer.buffer.add_flags(last.start, NLM_F_ACK);
        }
        let end = writer.buffer.len();
        // Kernels before 6.10 do not answer the end; nothing waits for it.
        writer
            .end(nfnetlink::NFNL_MSG_BATCH_END, NLM_F_REQUEST | NLM_F_ACK)
            .map_err(|TooLong| EncodeError::message(plan, target, 0))?;
        Ok(Self {
            bytes: writer.buffer.into_bytes(),
            end,
            first_sequence,
            messages: writer.messages,
        })
    }

    /// Returns the bytes of the batch.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes without the end of the batch: the kernel then does all that it would do, validates the
    /// outcome, answers, and takes everything back (`NFNL_ABORT_VALIDATE` of `net/netfilter/nfnetlink.c`).
    pub fn trial_bytes(&self) -> &[u8] {
        self.bytes.get(..self.end).unwrap_or_default()
    }

    /// Returns how many messages stand between the ends of the batch.
    pub fn message_count(&self) -> usize {
        self.messages.len()
    }

    /// Returns the sequence numbers of the batch, its ends included.
    pub(in crate::kernel) fn sequences(&self) -> Range<u32> {
        let count = u32::try_from(self.messages.len() + 2).unwrap_or(u32::MAX);
        self.first_sequence..self.first_sequence.saturating_add(count)
    }

    /// Returns the sequence number of the last message before the end of the batch.
    pub(in crate::kernel) fn last_sequence(&self) -> u32 {
        self.sequences().end.saturating_sub(2)
    }

    /// Returns the sequence number of the end of the batch.
    pub(in crate::kernel) fn end_sequence(&self) -> u32 {
        self.sequences().end.saturating_sub(1)
    }

    /// Names what the message with a sequence number is about, and the operation it belongs to. `offset` is the
    /// place in the message that the kernel complains of; it tells elements of a list apart.
    pub(in crate::kernel) fn subject(
        &self,
        plan: &Plan,
        table: &TableName,
        sequence: u32,
        offset: Option<usize>,
    ) -> (Option<usize>, Subject) {
        let message = sequence
            .checked_sub(self.first_sequence)
            .and_then(|distance| usize::try_from(distance).ok())
            .and_then(|distance| distance.checked_sub(1))
            .and_then(|place| self.messages.get(place));
        let Some(message) = message else {
            return (None, Subject::Batch);
        };
        let element = offset.and_then(|offset| self.element_at(plan, message, offset));
        let subject = Subject::of_operation(plan, table, message.operation, element);
        (Some(message.operation), subject)
    }

    /// Finds the element whose bytes hold an offset in its message.
    fn element_at(&self, plan: &Plan, message: &Message, offset: usize) -> Option<usize> {
        let (set, elements) = match plan.operations.get(message.operation)? {
            Operation::AddElements { set, elements }
            | Operation::DeleteElements { set, elements } => (set, elements),
            Operation::DeleteTable
            | Operation::AddTable
            | Operation::AddCounter(_)
            | Operation::AddSet(_)
            | Operation::AddChain { .. }
            | Operation::FlushSet(_)
            | Operation::FlushChain(_)
            | Operation::AddRule { .. }
            | Operation::DeleteChain(_)
            | Operation::DeleteSet(_)
            | Operation::DeleteCounter(_) => return None,
        };
        let entry = self.list_entry_at(message.start, offset)?;
        let mut passed = 0;
        for (place, element) in elements.iter().enumerate().skip(message.first_element) {
            passed += sets::entries(set, element);
            if entry < passed {
                return Some(place);
            }
        }
        None
    }

    /// Finds which entry of a list of elements holds an offset in its message.
    fn list_entry_at(&self, start: usize, offset: usize) -> Option<usize> {
        let attribute_at = |place: usize| {
            let head = self.bytes.get(place..place + 4)?;
            let (length, kind) = head.split_at(2);
            let length = u16::from_ne_bytes(length.try_into().ok()?);
            let kind = u16::from_ne_bytes(kind.try_into().ok()?);
            Some((usize::from(length).max(4), kind))
        };
        let target = start.checked_add(offset)?;
        let list = attribute::NFTA_SET_ELEM_LIST_ELEMENTS | super::consts::netlink::NLA_F_NESTED;
        let mut place = start + HEADER_LENGTH + nfnetlink::NFGENMSG_LENGTH;
        let end = loop {
            let (length, kind) = attribute_at(place)?;
            if kind == list {
                break place + length;
            }
            place += length.next_multiple_of(4);
        };
        place += 4;
        let mut entry = 0;
        while place < end {
            let (length, _) = attribute_at(place)?;
            let next = place + length.next_multiple_of(4);
            if (place..next).contains(&target) {
                return Some(entry);
            }
            entry += 1;
            place = next;
        }
        None
    }
}

/// Guesses how many bytes a plan takes, so that the buffer rarely moves.
fn estimate(plan: &Plan) -> usize {
    plan.operations
        .iter()
        .map(|operation| match operation {
            Operation::AddRule { rule, .. } => 160 + 130 * rule.exprs.len(),
            Operation::AddElements { set, elements }
            | Operation::DeleteElements { set, elements } => {
                let each = 16 + sets::whole_key(&set.key).1.next_multiple_of(4);
                let entries = if set.interval { 2 } else { 1 };
                128 + elements.len() * (each * entries + if set.verdicts { 80 } else { 8 })
            }
            Operation::DeleteTable
            | Operation::AddTable
            | Operation::AddCounter(_)
            | Operation::AddSet(_)
            | Operation::AddChain { .. }
            | Operation::FlushSet(_)
            | Operation::FlushChain(_)
            | Operation::DeleteChain(_)
            | Operation::DeleteSet(_)
            | Operation::DeleteCounter(_) => 160,
        })
        .sum::<usize>()
        + 64
}

struct Writer<'a> {
    buffer: Buffer,
    target: &'a Target<'a>,
    first_sequence: u32,
    messages: Vec<Message>,
}

/// Tells whether elements come or go.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Delete,
}

impl Writer<'_> {
    /// Writes the begin or the end of the batch.
    fn end(&mut self, kind: u16, flags: u16) -> Result<(), TooLong> {
        let sequence = if kind == nfnetlink::NFNL_MSG_BATCH_BEGIN {
            self.first_sequence
        } else {
            self.next_sequence()
        };
        let header = Header {
            kind,
            flags,
            sequence,
            family: nfnetlink::NFPROTO_UNSPEC,
            resource: nfnetlink::NFNL_SUBSYS_NFTABLES,
        };
        self.buffer.message(header, |_| {})
    }

    fn next_sequence(&self) -> u32 {
        let count = u32::try_from(self.messages.len() + 1).unwrap_or(u32::MAX);
        self.first_sequence.saturating_add(count)
    }

    fn operation(
        &mut self,
        plan: &Plan,
        index: usize,
        operation: &Operation,
    ) -> Result<(), EncodeError> {
        let table = self.target.table;
        let flags = self.target.flags;
        let request = NLM_F_REQUEST;
        let create = NLM_F_REQUEST | NLM_F_CREATE;
        let written = match operation {
            Operation::DeleteTable => self.message(index, message::DELTABLE, request, |buffer| {
                buffer.text(attribute::NFTA_TABLE_NAME, table.as_str());
            }),
            Operation::AddTable => self.message(index, message::NEWTABLE, request, |buffer| {
                object::table(buffer, table.as_str(), flags);
            }),
            Operation::AddCounter(counter) => {
                self.message(index, message::NEWOBJ, create, |buffer| {
                    object::new_counter(buffer, table, counter);
                })
            }
            Operation::AddSet(spec) => {
                sets::check(spec).map_err(|fault| {
                    EncodeError::set(fault, Subject::of_operation(plan, table, index, None))
                })?;
                let id = self.next_sequence();
                self.message(index, message::NEWSET, create, |buffer| {
                    sets::set(buffer, table, spec, id);
                })
            }
            Operation::AddChain { name, base } => {
                self.message(index, message::NEWCHAIN, create, |buffer| {
                    object::chain(buffer, table, name, base.as_ref());
                })
            }
            Operation::FlushSet(set) => {
                self.message(index, message::DELSETELEM, request, |buffer| {
                    sets::list_head(buffer, table, set);
                })
            }
            Operation::FlushChain(chain) => {
                self.message(index, message::DELRULE, request, |buffer| {
                    object::rule_chain(buffer, table, chain);
                })
            }
            Operation::AddRule {
                chain,
                rule,
                fingerprint,
            } => {
                exprs::check(&rule.exprs).map_err(|fault| {
                    EncodeError::rule(fault, Subject::of_operation(plan, table, index, None))
                })?;
                let append = create | NLM_F_APPEND;
                self.message(index, message::NEWRULE, append, |buffer| {
                    object::rule(buffer, table, chain, rule, *fingerprint);
                })
            }
            Operation::AddElements { set, elements } => {
                return self.elements(plan, index, set, elements, Change::Add);
            }
            Operation::DeleteElements { set, elements } => {
                return self.elements(plan, index, set, elements, Change::Delete);
            }
            Operation::DeleteChain(chain) => {
                self.message(index, message::DELCHAIN, request, |buffer| {
                    object::chain_name(buffer, table, chain);
                })
            }
            Operation::DeleteSet(set) => self.message(index, message::DELSET, request, |buffer| {
                buffer.text(attribute::NFTA_SET_TABLE, table.as_str());
                buffer.text(attribute::NFTA_SET_NAME, set.as_str());
            }),
            Operation::DeleteCounter(counter) => {
                self.message(index, message::DELOBJ, request, |buffer| {
                    object::counter(buffer, table, counter);
                })
            }
        };
        written.map_err(|TooLong| EncodeError::message(plan, self.target, index))
    }

    fn message(
        &mut self,
        operation: usize,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Buffer),
    ) -> Result<(), TooLong> {
        let header = inet(kind, flags, self.next_sequence());
        self.messages.push(Message {
            start: self.buffer.len(),
            operation,
            first_element: 0,
        });
        self.buffer.message(header, body)
    }

    fn elements(
        &mut self,
        plan: &Plan,
        operation: usize,
        spec: &SetSpec,
        elements: &[Element],
        change: Change,
    ) -> Result<(), EncodeError> {
        let (kind, flags) = match change {
            Change::Add => (message::NEWSETELEM, NLM_F_REQUEST | NLM_F_CREATE),
            Change::Delete => (message::DELSETELEM, NLM_F_REQUEST),
        };
        let Self {
            buffer,
            target,
            first_sequence,
            messages,
        } = self;
        let table = target.table;
        let next_header = |start, first_element| {
            messages.push(Message {
                start,
                operation,
                first_element,
            });
            let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
            inet(kind, flags, first_sequence.saturating_add(count))
        };
        let checked = sets::check(spec);
        checked
            .and_then(|()| sets::elements(buffer, table, spec, elements, next_header))
            .map_err(|fault| {
                let element = match fault {
                    SetFault::ElementKey(place) | SetFault::ElementVerdict(place) => Some(place),
                    SetFault::EmptyKey
                    | SetFault::LongKey
                    | SetFault::IntervalFields
                    | SetFault::TooLong => None,
                };
                EncodeError::set(
                    fault,
                    Subject::of_operation(plan, table, operation, element),
                )
            })
    }
}

fn inet(kind: u16, flags: u16, sequence: u32) -> Header {
    Header {
        kind,
        flags,
        sequence,
        family: nfnetlink::NFPROTO_INET,
        resource: 0,
    }
}

/// An object of a plan that has no form in the kernel's protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A key without fields.
    #[error("{subject}: the key has no field")]
    EmptyKey {
        /// What has it.
        subject: Subject,
    },
    /// A key that is too long.
    #[error("{subject}: the key has more than 64 bytes or five fields")]
    LongKey {
        /// What has it.
        subject: Subject,
    },
    /// Intervals over several fields.
    #[error("{subject}: a set of intervals has a key of one field")]
    IntervalFields {
        /// The set.
        subject: Subject,
    },
    /// An element that does not go with its set.
    #[error("{subject}: the key is not of the type of the set")]
    ElementKey {
        /// The element.
        subject: Subject,
    },
    /// A verdict in a set, or none in a map.
    #[error("{subject}: a verdict belongs to each element of a map and to none of a set")]
    ElementVerdict {
        /// The element.
        subject: Subject,
    },
    /// An object that does not fit a message.
    #[error("{subject}: longer than a netlink message can be")]
    TooLong {
        /// The object.
        subject: Subject,
    },
}

impl EncodeError {
    /// Returns what cannot be expressed.
    pub fn subject(&self) -> &Subject {
        match self {
            Self::EmptyKey { subject }
            | Self::LongKey { subject }
            | Self::IntervalFields { subject }
            | Self::ElementKey { subject }
            | Self::ElementVerdict { subject }
            | Self::TooLong { subject } => subject,
        }
    }

    fn message(plan: &Plan, target: &Target<'_>, operation: usize) -> Self {
        Self::TooLong {
            subject: Subject::of_operation(plan, target.table, operation, None),
        }
    }

    fn set(fault: SetFault, subject: Subject) -> Self {
        match fault {
            SetFault::EmptyKey => Self::EmptyKey { subject },
            SetFault::LongKey => Self::LongKey { subject },
            SetFault::IntervalFields => Self::IntervalFields { subject },
            SetFault::ElementKey(_) => Self::ElementKey { subject },
            SetFault::ElementVerdict(_) => Self::ElementVerdict { subject },
            SetFault::TooLong => Self::TooLong { subject },
        }
    }

    fn rule(fault: RuleFault, subject: Subject) -> Self {
        match fault {
            RuleFault::EmptyKey => Self::EmptyKey { subject },
            RuleFault::LongKey => Self::LongKey { subject },
        }
    }
}
