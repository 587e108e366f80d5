//! Hearing of what others change in our table, where it is not owned.
//!
//! The kernel announces every change of any table to a multicast group, object by object, and closes each transaction
//! with the new generation of the ruleset and the name of who made it. Announcing costs whoever commits, so we leave the
//! group while a transaction of ours is under way. That nobody else's fell into that gap is told by the generation,
//! which each transaction of anybody raises by one.

use std::io;
use std::time::Duration;

use super::decode::{Attributes, Message, Messages};
use super::encode::consts::attribute::{NFTA_GEN_ID, NFTA_GEN_PROC_NAME, NFTA_GEN_PROC_PID};
use super::encode::consts::message;
use super::error::KernelError;
use super::observe;
use super::socket::Socket;
use super::touched::{Author, Touched};
use crate::netlink::{ChangeSocket, is_overrun};
use crate::nft::TableName;

/// `NFNLGRP_NFTABLES` of `linux/netfilter/nfnetlink.h`.
const GROUP: u32 = 7;
/// How many announcements are taken in at once at most before others get their turn.
const BATCH: usize = 1024;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Another program changed our table.
    Foreign {
        /// What it did.
        touched: Touched,
        /// Who it was, where the kernel says.
        author: Option<Author>,
    },
    /// Somebody may have changed our table.
    Missed(Unheard),
}

/// Why it is not known what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// The kernel had more to say than there is room for.
    Overrun,
    /// A transaction was made of which nothing was announced to us.
    Generation,
}

/// A socket that hears of changes, and what is known by it.
#[derive(Debug)]
pub struct RulesetWatch {
    changes: ChangeSocket,
    ask: Socket,
    table: TableName,
    ear: Ear,
}

/// What is made of the announcements.
#[derive(Debug, Default)]
struct Ear {
    /// The last generation that was announced, or that our own transactions led to.
    generation: u32,
    /// What the transaction did of which the end has not been announced yet.
    touched: Touched,
    ours: bool,
    /// What was heard and not told yet.
    heard: Vec<Heard>,
}

impl RulesetWatch {
    /// Opens the socket in the network namespace of the calling thread, and begins to hear.
    ///
    /// # Errors
    /// Fails without a socket, or where the kernel does not answer.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub fn open(table: TableName, timeout: Duration) -> Result<Self, KernelError> {
        let changes =
            ChangeSocket::open_netfilter().map_err(|source| KernelError::Watch { source });
        let mut watch = Self {
            changes: changes?,
            ask: Socket::open(timeout)?,
            table,
            ear: Ear::default(),
        };
        watch.join()?;
        watch.ear.generation = watch.ask()?;
        Ok(watch)
    }

    /// Waits until another program changed our table, or may have.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    ///
    /// # Errors
    /// Fails where the socket is of no more use.
    pub async fn changed(&mut self) -> Result<(), KernelError> {
        while self.ear.heard.is_empty() {
            let received = self.changes.receive().await;
            self.take(received)?;
            self.drain()?;
        }
        Ok(())
    }

    /// Returns the generation that everything is known of which led to it.
    pub fn generation(&self) -> u32 {
        self.ear.generation
    }

    /// Ceases to hear, before transactions of ours.
    ///
    /// # Errors
    /// Fails where the socket is of no more use.
    pub fn pause(&mut self) -> Result<(), KernelError> {
        let left = self.changes.leave(GROUP);
        left.map_err(|source| KernelError::Watch { source })?;
        self.drain()
    }

    /// Hears again, after so many transactions of ours were committed.
    ///
    /// # Errors
    /// Fails where the socket is of no more use, or the kernel does not answer.
    pub fn resume(&mut self, committed: u32) -> Result<(), KernelError> {
        self.ear.end();
        self.ear.generation = self.ear.generation.wrapping_add(committed);
        self.join()?;
        self.check()
    }

    /// Compares the generation with what was heard: another one says that something was missed.
    ///
    /// # Errors
    /// Fails where the socket is of no more use, or the kernel does not answer.
    pub fn check(&mut self) -> Result<(), KernelError> {
        let generation = self.ask()?;
        // What was committed before this was announced before it.
        self.drain()?;
        if self.ear.generation.wrapping_sub(generation) > u32::MAX / 2 {
            self.ear.generation = generation;
            self.ear.heard.push(Heard::Missed(Unheard::Generation));
        }
        Ok(())
    }

    /// Returns what was heard and not told yet.
    pub fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.ear.heard)
    }

    fn join(&mut self) -> Result<(), KernelError> {
        let joined = self.changes.join(GROUP);
        joined.map_err(|source| KernelError::Watch { source })
    }

    fn ask(&mut self) -> Result<u32, KernelError> {
        observe::generation(&mut self.ask)
    }

    /// Takes in what has been announced, without waiting for more.
    ///
    /// # Errors
    /// Fails where the socket is of no more use.
    pub fn drain(&mut self) -> Result<(), KernelError> {
        for _ in 0..BATCH {
            match self.changes.receive_now() {
                Some(received) => self.take(received)?,
                None => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, received: io::Result<()>) -> Result<(), KernelError> {
        match received {
            Ok(()) => self.ear.hear(self.changes.datagram(), &self.table),
            Err(error) if is_overrun(&error) => self.ear.overrun(),
            Err(source) => return Err(KernelError::Watch { source }),
        }
        Ok(())
    }
}

impl Ear {
    fn hear(&mut self, datagram: &[u8], table: &TableName) {
        for message in Messages(datagram) {
            if message.kind == message::NEWGEN {
                self.close(message);
            } else {
                self.ours |= self.touched.take(message, table);
            }
        }
    }

    /// Takes in the end of a transaction.
    fn close(&mut self, message: Message<'_>) {
        let attributes = message.attributes();
        self.tell(author(attributes));
        let Some(generation) = attributes.be32(NFTA_GEN_ID) else {
            return;
        };
        let known = self.generation;
        self.generation = generation;
        // The same again was counted by a question already, before it was announced.
        if generation != known && generation != known.wrapping_add(1) {
            self.heard.push(Heard::Missed(Unheard::Generation));
        }
    }

    /// Gives up what was announced of a transaction of which the end was not.
    fn end(&mut self) {
        self.tell(None);
    }

    fn overrun(&mut self) {
        self.end();
        self.heard.push(Heard::Missed(Unheard::Overrun));
    }

    fn tell(&mut self, author: Option<Author>) {
        let touched = std::mem::take(&mut self.touched);
        if std::mem::take(&mut self.ours) {
            self.heard.push(Heard::Foreign { touched, author });
        }
    }
}

/// Reads who made a transaction.
fn author(attributes: Attributes<'_>) -> Option<Author> {
    Some(Author {
        process: attributes.be32(NFTA_GEN_PROC_PID)?,
        command: attributes.text(NFTA_GEN_PROC_NAME)?.to_owned(),
    })
}

#[cfg(test)]
#[path = "tests/watch.rs"]
mod tests;
