//! The two ends that the rest of the agent holds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::Notify;

use super::conntrack::Forgetter;
use super::error::RouteError;
use super::request::Requests;
use super::settings::{Event, Outcome, Settings, Wiring};
use super::worker::Worker;
use crate::net::InterfaceName;

/// Starts to wire interfaces, on a thread of its own in the network namespace of the calling one.
///
/// Nothing of what was wired is undone when it ends.
pub fn start(settings: Settings) -> Result<(Handle, Events), RouteError> {
    let requests = Requests::open()?;
    let forgetter = Forgetter::start().map_err(RouteError::Start)?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(RouteError::Start)?;
    let shared = Arc::new(Shared::default());
    let theirs = Arc::clone(&shared);
    thread::Builder::new()
        .name("routes".to_owned())
        .spawn(move || {
            let _ended = Ended(Arc::clone(&theirs));
            runtime.block_on(Worker::new(theirs, settings, requests, forgetter).run());
        })
        .map_err(RouteError::Start)?;
    let events = Events(Arc::clone(&shared));
    Ok((Handle(shared), events))
}

/// The end that tells what is wanted; the thread ends when it is dropped.
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Tells what an interface needs, `None` where its workload is gone.
    ///
    /// The policy of the interface must be in the kernel already. What was told of an interface and not yet
    /// begun is replaced, and no event is about it any more.
    pub fn want(&self, interface: InterfaceName, wiring: Option<Wiring>) {
        let mut inbox = self.0.inbox();
        let mut outbox = self.0.outbox();
        outbox.forget(&interface);
        let wish = wiring.map(|wiring| (outbox.wish(&interface), wiring));
        inbox.wants.insert(interface, wish);
        self.0.told.notify_one();
    }

    /// Tells that policy is in force, although not every interface of a workload may have been told: the host may
    /// forward.
    pub fn in_force(&self) {
        self.0.inbox().in_force = true;
        self.0.told.notify_one();
    }

    /// Tells that every interface of a workload has been told: from now on what nobody wants is removed.
    pub fn in_sync(&self) {
        self.0.inbox().in_sync = true;
        self.0.told.notify_one();
    }

    /// Changes the settings.
    pub fn configure(&self, settings: Settings) {
        self.0.inbox().settings = Some(settings);
        self.0.told.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.inbox().closed = true;
        self.0.told.notify_one();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The end that hears what came of it.
pub struct Events(Arc<Shared>);

impl Events {
    /// Waits for the next event; `None` once the thread has ended.
    ///
    /// Cancel safe: a call that is dropped before it is ready loses nothing. Of an interface that nobody has
    /// asked for meanwhile, only the last event is kept; it is about what [`Handle::want`] was told last.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut outbox = self.0.outbox();
                if let Some((interface, outcome)) = outbox.outcomes.pop_first() {
                    return Some(Event { interface, outcome });
                }
                if outbox.ended {
                    return None;
                }
            }
            self.0.news.notified().await;
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// What passes between the thread and the rest; it grows with the interfaces and with nothing else.
#[derive(Default)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    told: Notify,
    outbox: Mutex<Outbox>,
    news: Notify,
}

/// What was told since the thread last looked.
#[derive(Default)]
pub(super) struct Inbox {
    /// What interfaces need.
    pub(super) wants: BTreeMap<InterfaceName, Option<(Wish, Wiring)>>,
    /// Whether that is all.
    pub(super) in_sync: bool,
    /// Whether policy is in force, which that is all says as well.
    pub(super) in_force: bool,
    /// Other settings.
    pub(super) settings: Option<Settings>,
    /// Whether nobody tells anything any more.
    pub(super) closed: bool,
}

/// Tells what was wanted of an interface once from what is wanted later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wish(u64);

#[derive(Default)]
struct Outbox {
    outcomes: BTreeMap<InterfaceName, Outcome>,
    /// The wishes that count.
    wishes: BTreeMap<InterfaceName, Wish>,
    latest: Wish,
    ended: bool,
}

impl Outbox {
    /// Takes back what was said of an interface, and heeds nothing that is said of its wish.
    fn forget(&mut self, interface: &InterfaceName) {
        self.outcomes.remove(interface);
        self.wishes.remove(interface);
    }

    /// Returns a new wish, the one that counts of an interface.
    fn wish(&mut self, interface: &InterfaceName) -> Wish {
        self.latest.0 += 1;
        self.wishes.insert(interface.clone(), self.latest);
        self.latest
    }
}

impl Shared {
    /// Waits until something was told; once at least for all that was told meanwhile.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }

    /// Takes what was told.
    pub(super) fn take(&self) -> Inbox {
        std::mem::take(&mut *self.inbox())
    }

    /// Says what came of a wish, unless something else is wanted of the interface by now.
    pub(super) fn say(&self, interface: InterfaceName, wish: Wish, outcome: Outcome) {
        let mut outbox = self.outbox();
        if outbox.wishes.get(&interface) == Some(&wish) {
            outbox.outcomes.insert(interface, outcome);
            self.news.notify_one();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, however it did.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.outbox().ended = true;
        self.0.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes::settings::SpoofedSources;

    /// Wants something of `cali0`, and returns what the thread hears of it.
    fn want(handle: &Handle) -> (InterfaceName, Wish) {
        let wiring = Wiring {
            addresses: BTreeSet::new(),
            mac: None,
            spoofing: SpoofedSources::Refused,
        };
        handle.want("cali0".parse().expect("a name"), Some(wiring));
        let (name, wish) = handle.0.take().wants.pop_first().expect("a wish");
        (name, wish.expect("something wanted").0)
    }

    #[test]
    fn nothing_is_heard_of_what_is_wanted_no_more() {
        let handle = Handle(Arc::default());
        let shared = &handle.0;
        let heard = || shared.outbox().outcomes.pop_first();
        let (name, first) = want(&handle);
        // Said before something else is wanted, and after, when the thread has not heard of that yet.
        shared.say(name.clone(), first, Outcome::Wired);
        let (_, second) = want(&handle);
        assert_eq!(heard(), None);
        shared.say(name.clone(), first, Outcome::Wired);
        assert_eq!(heard(), None);
        shared.say(name.clone(), second, Outcome::Down);
        assert_eq!(heard(), Some((name.clone(), Outcome::Down)));
        shared.say(name.clone(), second, Outcome::Wired);
        handle.want(name.clone(), None);
        assert_eq!(heard(), None);
        shared.say(name.clone(), second, Outcome::Wired);
        assert_eq!(heard(), None);
        // The same again is another wish.
        let (_, third) = want(&handle);
        shared.say(name, second, Outcome::Wired);
        assert_eq!(heard(), None);
        assert_ne!(second, third);
    }

    #[test]
    fn events_outlive_a_dropped_call_and_end_with_the_thread() {
        let shared = Arc::new(Shared::default());
        let mut events = Events(Arc::clone(&shared));
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (name, wish) = want(&Handle(Arc::clone(&shared)));
            tokio::select! {
                biased;
                _ = events.next() => panic!("nothing was said"),
                () = std::future::ready(()) => {}
            }
            shared.say(name.clone(), wish, Outcome::Down);
            shared.say(name.clone(), wish, Outcome::Wired);
            let event = events.next().await.expect("an event");
            assert_eq!((event.interface, event.outcome), (name, Outcome::Wired));
            drop(Ended(shared));
            assert_eq!(events.next().await, None);
        });
    }
}
