//! TCP connections that last, and new ones without a pause, of which some must come about and some must not.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::agent::DEADLINE;
use crate::ns::{Handle, Namespace};
use crate::patience::patient;

/// How long one attempt waits that must be denied: some hundred times what an open one takes to answer.
const SHORT: Duration = Duration::from_millis(10);
/// How long one attempt may take that must succeed. One whose first packet was dropped takes a second, after which it is
/// sent again.
const LONG: Duration = Duration::from_millis(900);

/// Is a connection to an echo server, to be made.
#[derive(Debug)]
pub struct Call {
    from: (Handle, IpAddr),
    to: SocketAddr,
}

impl Call {
    /// Describes a connection from an address in a namespace.
    pub fn new(namespace: &Namespace, from: IpAddr, to: SocketAddr) -> Self {
        Self {
            from: (namespace.handle(), from),
            to,
        }
    }

    /// Connects and tries the connection, on the calling thread, which is in the namespace afterwards.
    fn make(&self, patience: Duration) -> io::Result<TcpStream> {
        let (handle, from) = &self.from;
        handle.enter();
        let domain = Domain::for_address(self.to);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).expect("open a socket");
        socket
            .bind(&SocketAddr::new(*from, 0).into())
            .expect("bind a call");
        // Ended by a reset, it leaves nothing behind.
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("set lingering");
        socket.connect_timeout(&self.to.into(), patience)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(patient(DEADLINE)))?;
        // Made faster than the server takes them, connections would wait in a queue that is soon full.
        echo(&mut stream)?;
        Ok(stream)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.from.1, self.to)
    }
}

/// How many attempts were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    /// How many of the lasting connections there are.
    pub lasting: usize,
    /// How many messages they have sent and heard again.
    pub echoes: u64,
    /// The longest that an echo took.
    pub slowest: Duration,
    /// How many new connections came about that must.
    pub opened: u64,
    /// Those that did not, and those of the lasting that broke.
    pub failed: Vec<String>,
    /// How many did not come about that must not.
    pub denied: u64,
    /// Those that did.
    pub leaked: Vec<String>,
}

/// Is all of that under way.
#[derive(Debug)]
pub struct Calls {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Count>>,
}

impl Calls {
    /// Makes the lasting connections, and begins to make the others over and over.
    pub fn start(lasting: &[Call], always: Vec<Call>, never: Vec<Call>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let streams: Vec<(SocketAddr, TcpStream)> = std::thread::scope(|scope| {
            let opening = scope.spawn(|| {
                let open = |call: &Call| (call.to, call.make(patient(DEADLINE)).expect("connect"));
                lasting.iter().map(open).collect()
            });
            opening.join().expect("the lasting connections are made")
        });
        let threads = vec![
            std::thread::spawn({
                let over = Arc::clone(&over);
                move || talk(streams, &over)
            }),
            attempts(always, LONG, &over, |count, call, outcome| match outcome {
                Ok(_) => count.opened += 1,
                Err(error) => count.failed.push(format!("{call}: {error}")),
            }),
            attempts(never, SHORT, &over, |count, call, outcome| match outcome {
                Ok(_) => count.leaked.push(call.to_string()),
                Err(_) => count.denied += 1,
            }),
        ];
        Self { over, threads }
    }

    /// Ends everything and returns what became of it.
    pub fn finish(self) -> Count {
        self.over.store(true, Ordering::SeqCst);
        let mut all = Count::default();
        for thread in self.threads {
            let count = thread.join().expect("the attempts do not panic");
            all.lasting += count.lasting;
            all.echoes += count.echoes;
            all.slowest = all.slowest.max(count.slowest);
            all.opened += count.opened;
            all.failed.extend(count.failed);
            all.denied += count.denied;
            all.leaked.extend(count.leaked);
        }
        all
    }
}

/// Says something and hears it again.
fn echo(stream: &mut TcpStream) -> io::Result<()> {
    const MESSAGE: &[u8] = b"still there?";
    stream.write_all(MESSAGE)?;
    stream.read_exact(&mut [0; MESSAGE.len()])
}

/// Has each connection say something and hear it again, in turn.
fn talk(mut streams: Vec<(SocketAddr, TcpStream)>, over: &AtomicBool) -> Count {
    let mut count = Count {
        lasting: streams.len(),
        ..Count::default()
    };
    while !over.load(Ordering::SeqCst) {
        for (to, stream) in &mut streams {
            let begun = Instant::now();
            if let Err(error) = echo(stream) {
                count
                    .failed
                    .push(format!("a lasting connection to {to}: {error}"));
                return count;
            }
            count.echoes += 1;
            count.slowest = count.slowest.max(begun.elapsed());
        }
    }
    count
}

fn attempts(
    calls: Vec<Call>,
    patience: Duration,
    over: &Arc<AtomicBool>,
    note: impl Fn(&mut Count, &Call, io::Result<TcpStream>) + Send + 'static,
) -> JoinHandle<Count> {
    let over = Arc::clone(over);
    std::thread::spawn(move || {
        let mut count = Count::default();
        for call in calls.iter().cycle() {
            if over.load(Ordering::SeqCst) {
                break;
            }
            note(&mut count, call, call.make(patience));
        }
        count
    })
}
