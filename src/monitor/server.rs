//! The servers, on a thread of their own.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, info};

use super::board::Board;
use super::body::Parts;
use super::counting::{Counters, Counting};
use super::health::{Question, health};
use super::settings::{HealthSettings, Listen, MetricsSettings, Settings, Tls};
use super::tls::{Stamp, server_config, stamp};
use super::{exposition, metrics, process};

/// How many connections one listener holds.
const CONNECTIONS: usize = 32;
/// How long a connection may stay where others want its place: enough to ask and be answered.
const CLAIM: Duration = Duration::from_millis(100);
/// How long a connection may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the head of a request for health may take, which comes from near.
const HEALTH_HEAD: Duration = Duration::from_secs(1);
/// How long that of a request for metrics may take.
const METRICS_HEAD: Duration = Duration::from_secs(5);
/// How long a page of metrics waits for the counters of policies, before it is sent without them.
const COUNTERS: Duration = Duration::from_secs(5);
/// The most bytes of a request's head.
const BUFFER: usize = 16 << 10;
/// The most fields of a request's head.
const FIELDS: usize = 64;
/// How long a server that cannot listen pauses.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the files of certificates are looked at, at most.
const FILES: Duration = Duration::from_secs(1);

/// Why there are no servers.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The system gives no thread.
    #[error("start the thread that answers health checks and metrics collectors")]
    Thread(#[source] io::Error),
    /// The system gives no runtime.
    #[error("start the runtime that answers health checks and metrics collectors")]
    Runtime(#[source] io::Error),
}

/// Serves what is known over HTTP.
#[derive(Debug)]
pub struct Monitor {
    board: Arc<Board>,
    /// What reads counters, until the thread has it.
    counters: Option<Box<dyn Counters>>,
    settings: Option<watch::Sender<Settings>>,
}

impl Monitor {
    /// Makes one that serves nothing yet, and has no thread before it does.
    pub fn new(board: Arc<Board>, counters: Box<dyn Counters>) -> Self {
        Self {
            board,
            counters: Some(counters),
            settings: None,
        }
    }

    /// Serves by these settings from now on. A server whose settings do not differ goes on.
    ///
    /// # Errors
    /// Fails where the system gives no thread. That a server cannot listen is logged, and tried again.
    pub fn configure(&mut self, settings: Settings) -> Result<(), MonitorError> {
        match &self.settings {
            Some(sender) => {
                sender.send_if_modified(|known| {
                    let differs = *known != settings;
                    *known = settings;
                    differs
                });
            }
            None if settings == Settings::default() => {}
            None => {
                let counters = self.counters.take();
                self.settings = Some(start(Arc::clone(&self.board), counters, settings)?);
            }
        }
        Ok(())
    }
}

/// What answers are made of.
#[derive(Debug)]
struct Sources {
    board: Arc<Board>,
    counting: Option<Counting>,
}

/// Starts the threads, which end when the sender is dropped.
fn start(
    board: Arc<Board>,
    counters: Option<Box<dyn Counters>>,
    settings: Settings,
) -> Result<watch::Sender<Settings>, MonitorError> {
    let counting = counters.map(Counting::start).transpose();
    let counting = counting.map_err(MonitorError::Thread)?;
    let sources = Arc::new(Sources { board, counting });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(MonitorError::Runtime)?;
    let (sender, receiver) = watch::channel(settings);
    thread::Builder::new()
        .name("monitor".to_owned())
        .spawn(move || {
            let health = keep(Arc::clone(&sources), receiver.clone(), |settings| {
                settings.health.clone().map(Server::Health)
            });
            let metrics = keep(sources, receiver, |settings| {
                settings.metrics.clone().map(Server::Metrics)
            });
            runtime.block_on(async { tokio::join!(health, metrics) });
        })
        .map_err(MonitorError::Thread)?;
    Ok(sender)
}

/// What one server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Server {
    Health(HealthSettings),
    Metrics(MetricsSettings),
}

impl Server {
    fn listen(&self) -> &Listen {
        match self {
            Self::Health(health) => &health.listen,
            Self::Metrics(metrics) => &metrics.listen,
        }
    }

    fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Health(_) => None,
            Self::Metrics(metrics) => metrics.tls.as_ref(),
        }
    }

    fn head(&self) -> Duration {
        match self {
            Self::Health(_) => HEALTH_HEAD,
            Self::Metrics(_) => METRICS_HEAD,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Health(_) => "health",
            Self::Metrics(_) => "metrics",
        }
    }
}

/// Keeps one server as the settings say, until there is nobody left to say it.
async fn keep(
    sources: Arc<Sources>,
    mut settings: watch::Receiver<Settings>,
    of: impl Fn(&Settings) -> Option<Server>,
) {
    let mut wanted = of(&settings.borrow_and_update());
    loop {
        let serving = async {
            match &wanted {
                Some(server) => serve(server.clone(), &sources).await,
                None => std::future::pending().await,
            }
        };
        let other = tokio::select! {
            () = serving => return,
            other = differing(&mut settings, &of, wanted.as_ref()) => other,
        };
        match other {
            Some(other) => wanted = other,
            None => return,
        }
    }
}

/// Waits for settings by which the server is another one, or none.
async fn differing(
    settings: &mut watch::Receiver<Settings>,
    of: impl Fn(&Settings) -> Option<Server>,
    known: Option<&Server>,
) -> Option<Option<Server>> {
    loop {
        settings.changed().await.ok()?;
        let wanted = of(&settings.borrow_and_update());
        if wanted.as_ref() != known {
            return Some(wanted);
        }
    }
}

/// Serves for ever; what keeps it from listening is logged once in a row.
async fn serve(server: Server, sources: &Arc<Sources>) {
    let mut complained = false;
    loop {
        match open(&server).await {
            Ok((listeners, encryption)) => {
                let listen = server.listen();
                info!(
                    server = server.name(),
                    host = listen.host,
                    port = listen.port,
                    "serving"
                );
                let shared = Arc::new(Shared {
                    server,
                    sources: Arc::clone(sources),
                    encryption,
                });
                let mut accepting = JoinSet::new();
                for listener in listeners {
                    accepting.spawn(accept(listener, Arc::clone(&shared)));
                }
                // None of them ever ends.
                while accepting.join_next().await.is_some() {}
                return;
            }
            Err(reason) if !complained => {
                complained = true;
                error!("the server of {}: {reason}; trying again", server.name());
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}

/// What all connections of a server share.
struct Shared {
    server: Server,
    sources: Arc<Sources>,
    encryption: Option<Encryption>,
}

/// Opens what a server needs.
async fn open(server: &Server) -> Result<(Vec<TcpListener>, Option<Encryption>), String> {
    let encryption = server.tls().map(Encryption::new).transpose()?;
    let listen = server.listen();
    let addresses: Vec<SocketAddr> = if listen.host.is_empty() {
        // Where the first one takes IPv4 in as well, the second one is refused.
        vec![
            (Ipv6Addr::UNSPECIFIED, listen.port).into(),
            (Ipv4Addr::UNSPECIFIED, listen.port).into(),
        ]
    } else {
        lookup_host((listen.host.as_str(), listen.port))
            .await
            .map_err(|cause| format!("look up `{}`: {cause}", listen.host))?
            .collect()
    };
    let mut listeners = Vec::new();
    let mut failed = format!("`{}` has no address", listen.host);
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(cause) => failed = format!("listen on {address}: {cause}"),
        }
    }
    if listeners.is_empty() {
        return Err(failed);
    }
    Ok((listeners, encryption))
}

/// The encryption of a server, from files that may change.
struct Encryption {
    tls: Tls,
    state: std::sync::Mutex<EncryptionState>,
}

struct EncryptionState {
    acceptor: TlsAcceptor,
    stamp: Stamp,
    looked: Instant,
}

impl Encryption {
    fn new(tls: &Tls) -> Result<Self, String> {
        let stamp = stamp(tls);
        Ok(Self {
            tls: tls.clone(),
            state: std::sync::Mutex::new(EncryptionState {
                acceptor: acceptor(tls)?,
                stamp,
                looked: Instant::now(),
            }),
        })
    }

    /// Returns what the files say now; what they said before where they cannot be used.
    fn acceptor(&self) -> TlsAcceptor {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.looked.elapsed() >= FILES {
            state.looked = Instant::now();
            let now = stamp(&self.tls);
            if now != state.stamp {
                state.stamp = now;
                match acceptor(&self.tls) {
                    Ok(acceptor) => {
                        info!("the files of the server of metrics have been read again");
                        state.acceptor = acceptor;
                    }
                    Err(reason) => {
                        error!(
                            "{reason}; the server of metrics goes on with what they said before"
                        );
                    }
                }
            }
        }
        state.acceptor.clone()
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, String> {
    let config = server_config(tls).map_err(|cause| {
        let mut text = cause.to_string();
        let mut source = std::error::Error::source(&cause);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A connection that a listener holds.
struct Guest {
    from: IpAddr,
    since: tokio::time::Instant,
    task: JoinHandle<()>,
}

/// Accepts connections for ever.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut guests = Vec::new();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                make_room(&mut guests).await;
                let shared = Arc::clone(&shared);
                let task = tokio::spawn(async move {
                    // Whoever is too slow has no claim to an answer.
                    if timeout(PATIENCE, converse(stream, &shared)).await.is_err() {
                        debug!(
                            "a client of the server of {} was too slow",
                            shared.server.name()
                        );
                    }
                });
                guests.push(Guest {
                    from: from.ip(),
                    since: tokio::time::Instant::now(),
                    task,
                });
            }
            Err(cause) => {
                debug!("the server of {}: accept: {cause}", shared.server.name());
                sleep(PAUSE).await;
            }
        }
    }
}

/// Ends a connection where there are too many, once it has had the time for a request.
async fn make_room(guests: &mut Vec<Guest>) {
    guests.retain(|guest| !guest.task.is_finished());
    if guests.len() < CONNECTIONS {
        return;
    }
    let from: Vec<IpAddr> = guests.iter().map(|guest| guest.from).collect();
    let Some(index) = superfluous(&from) else {
        return;
    };
    let guest = guests.remove(index);
    sleep_until(guest.since + CLAIM).await;
    guest.task.abort();
}

/// Returns which connection has the least claim to stay, of some of which the oldest come first: the oldest of the
/// address that has the most. One that asks at once is answered however many others say nothing.
fn superfluous(from: &[IpAddr]) -> Option<usize> {
    let of = |address: &IpAddr| from.iter().filter(|other| *other == address).count();
    let counts = from.iter().map(of).enumerate();
    counts
        .min_by_key(|(_, count)| std::cmp::Reverse(*count))
        .map(|(index, _)| index)
}

async fn converse(stream: TcpStream, shared: &Shared) {
    let outcome = match &shared.encryption {
        None => answer_on(stream, shared).await,
        Some(encryption) => match encryption.acceptor().accept(stream).await {
            Ok(stream) => answer_on(stream, shared).await,
            Err(cause) => Err(cause.to_string()),
        },
    };
    if let Err(reason) = outcome {
        debug!(
            "a client of the server of {}: {reason}",
            shared.server.name()
        );
    }
}

/// Answers one request.
async fn answer_on(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    shared: &Shared,
) -> Result<(), String> {
    let service = service_fn(|request: Request<Incoming>| async move {
        let response = answer(request.method(), request.uri().path(), shared).await;
        Ok::<_, Infallible>(response)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.server.head())
        .max_buf_size(BUFFER)
        .max_headers(FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(|cause| cause.to_string())
}

async fn answer(method: &Method, path: &str, shared: &Shared) -> Response<Parts> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let now = Instant::now();
    let board = &shared.sources.board;
    match (&shared.server, path) {
        (Server::Health(settings), "/liveness" | "/readiness") => {
            let question = if path == "/liveness" {
                Question::Live
            } else {
                Question::Ready
            };
            let health = health(question, &board.read(), now, settings.patience);
            let status = if health.good {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            plain(status, health.detail)
        }
        (Server::Metrics(settings), "/metrics") => {
            let mut page = metrics::page(&board.read(), now);
            if settings.process {
                process::add(&mut page);
            }
            let mut response = plain(StatusCode::OK, page.into_text());
            if settings.counters
                && let Some(counting) = &shared.sources.counting
            {
                response.body_mut().push(counting.text(COUNTERS).await);
            }
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(exposition::CONTENT_TYPE),
            );
            response
        }
        (Server::Health(_) | Server::Metrics(_), _) => {
            plain(StatusCode::NOT_FOUND, "nothing stands here\n".to_owned())
        }
    }
}

fn plain(status: StatusCode, text: String) -> Response<Parts> {
    let mut response = Response::new(Parts::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
#[path = "tests/server.rs"]
mod tests;
