//! Endless attempts on two ports: one that must never be open, and one that must always be.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::topology::{EXT, Family, HOST0, World};

/// How long one attempt on a denied port waits: some hundred times what an open one takes to answer.
const SHORT: Duration = Duration::from_millis(10);
/// How long one attempt on an allowed port may take. One whose first packet was dropped takes a second, after which it
/// is sent again.
const LONG: Duration = Duration::from_millis(900);
/// The pause between attempts that succeed.
const PAUSE: Duration = Duration::from_millis(10);

/// Is a watch that is kept over two ports of the host, from outside, until it is finished.
#[derive(Debug)]
pub struct Vigil {
    over: Arc<AtomicBool>,
    never: JoinHandle<Count>,
    always: Option<JoinHandle<Count>>,
}

/// How many attempts were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    open: usize,
    shut: usize,
}

impl Vigil {
    /// Begins to try a port that must never be open, and one that must always be.
    pub fn keep(world: &World, never: u16, always: u16) -> Self {
        Self::over(world, never, Some(always))
    }

    /// Begins to try a port that must never be open, where none is always.
    pub fn keep_shut(world: &World, never: u16) -> Self {
        Self::over(world, never, None)
    }

    fn over(world: &World, never: u16, always: Option<u16>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let attempts = |port, patience| {
            let handle = world.site(EXT.site).handle();
            let over = Arc::clone(&over);
            let to = SocketAddr::new(HOST0.address(Family::V4), port);
            std::thread::spawn(move || {
                handle.enter();
                let mut count = Count::default();
                while !over.load(Ordering::SeqCst) {
                    if TcpStream::connect_timeout(&to, patience).is_ok() {
                        count.open += 1;
                        std::thread::park_timeout(PAUSE);
                    } else {
                        count.shut += 1;
                    }
                }
                count
            })
        };
        let never = attempts(never, SHORT);
        let always = always.map(|port| attempts(port, LONG));
        Self {
            over,
            never,
            always,
        }
    }

    /// Demands that the one was never open and the other always.
    #[track_caller]
    pub fn finish(self) {
        self.over.store(true, Ordering::SeqCst);
        let never = self.never.join().expect("the attempts end");
        println!("attempts where denied: {never:?}");
        assert!(never.shut > 0, "nothing was tried");
        assert_eq!(never.open, 0, "of {never:?} on a denied port");
        if let Some(always) = self.always {
            let always = always.join().expect("the attempts end");
            println!("attempts where allowed: {always:?}");
            assert!(always.open > 0, "nothing was tried");
            assert_eq!(always.shut, 0, "of {always:?} on an allowed port");
        }
    }
}
