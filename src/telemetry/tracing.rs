//! The subscriber: which events are logged, and where to.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber, error, warn};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::error::LogError;
use super::error_chain::ErrorChain;
use super::file::LogFile;
use super::line::{Format, Line};
use super::queue::{Entry, Queue, Work};
use super::record::Values;
use super::severity::Severity;
use super::syslog::{self, Sent, Syslog};

/// How long an end waits for lines that are not written yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is logged, and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// What goes to stderr, if anything does.
    pub screen: Option<Severity>,
    /// What goes to a file, and to which, if anything does.
    pub file: Option<(PathBuf, Severity)>,
    /// What goes to the system log, if anything does.
    pub syslog: Option<Severity>,
    /// How a line looks.
    pub format: Format,
}

/// How many lines did not get where they should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogLosses {
    /// Lines for which there was no room.
    pub dropped: u64,
    /// Lines that could not be written.
    pub failed: u64,
}

/// Changes what is logged while the agent runs. Dropped at the end, it waits shortly for what is not written yet.
pub struct LogHandle {
    shared: Arc<Shared>,
    /// The path of the file that is open.
    open: Mutex<Option<PathBuf>>,
}

/// Sends all events of this process to the places that the settings name.
///
/// Times in lines for people are local, as Felix writes them, and UTC in JSON. The lines are written by threads of
/// their own, so that a disk or a terminal that hangs, is full or is gone never holds up the agent.
pub fn install(settings: &LogSettings) -> Result<LogHandle, LogError> {
    let outlets = Outlets {
        screen: Box::new(std::io::stderr()),
        syslog: PathBuf::from(syslog::SOCKET),
        zone: TimeZone::system(),
    };
    let (subscriber, handle) = subscriber(settings, outlets)?;
    tracing::subscriber::set_global_default(subscriber).map_err(LogError::Installed)?;
    Ok(handle)
}

/// Where lines go that no setting names.
struct Outlets {
    screen: Box<dyn Write + Send>,
    syslog: PathBuf,
    zone: TimeZone,
}

fn subscriber(
    settings: &LogSettings,
    outlets: Outlets,
) -> Result<(impl Subscriber + Send + Sync + use<>, LogHandle), LogError> {
    let shared = Arc::new(Shared {
        filter: RwLock::new(Filter::default()),
        screen: Queue::default(),
        file: Queue::default(),
        syslog: Queue::default(),
        failed: AtomicU64::new(0),
        zone: outlets.zone,
        pid: std::process::id(),
    });
    let handle = LogHandle {
        shared: Arc::clone(&shared),
        open: Mutex::default(),
    };
    handle.apply(settings)?;
    let writer = Arc::clone(&shared);
    let screen = outlets.screen;
    spawn("log-screen", move || write_screen(&writer.screen, screen))?;
    let writer = Arc::clone(&shared);
    spawn("log-file", move || write_file(&writer.file, &writer.failed))?;
    let writer = Arc::clone(&shared);
    let socket = Syslog::new(outlets.syslog);
    spawn("log-syslog", move || {
        write_syslog(&writer.syslog, socket, &writer.failed);
    })?;
    Ok((Registry::default().with(LogLayer { shared }), handle))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
    let spawned = thread::Builder::new()
        .name(name.into())
        .stack_size(256 << 10)
        .spawn(body);
    spawned.map(drop).map_err(LogError::Thread)
}

impl LogHandle {
    /// Logs by other settings from now on. If their file cannot be opened, nothing changes.
    pub fn reload(&self, settings: &LogSettings) -> Result<(), LogError> {
        self.apply(settings)?;
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    fn apply(&self, settings: &LogSettings) -> Result<(), LogError> {
        let path = settings.file.as_ref().map(|(path, _)| path);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref() != path {
            let file = path.map(|path| LogFile::open(path)).transpose()?;
            self.shared.file.switch(file);
            *open = path.cloned();
        }
        let filter =
            |severity: Option<Severity>| severity.map_or(LevelFilter::OFF, Severity::filter);
        *self
            .shared
            .filter
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Filter {
            screen: filter(settings.screen),
            file: filter(settings.file.as_ref().map(|(_, severity)| *severity)),
            syslog: filter(settings.syslog),
            format: settings.format,
        };
        Ok(())
    }

    /// Returns how many lines were lost so far.
    pub fn losses(&self) -> LogLosses {
        let shared = &self.shared;
        let queues = [&shared.screen, &shared.file, &shared.syslog];
        LogLosses {
            dropped: queues.into_iter().map(Queue::dropped_ever).sum(),
            failed: shared.failed.load(Ordering::Relaxed),
        }
    }

    /// Waits until all that was logged is written, or for a second.
    pub fn flush(&self) {
        self.shared.file.flush(PATIENCE);
        self.shared.screen.flush(PATIENCE);
        self.shared.syslog.flush(PATIENCE);
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

struct Shared {
    filter: RwLock<Filter>,
    screen: Queue,
    file: Queue,
    syslog: Queue,
    /// Lines that could not be written to the file or sent to the system log.
    failed: AtomicU64,
    zone: TimeZone,
    pid: u32,
}

#[derive(Debug, Clone, Copy)]
struct Filter {
    screen: LevelFilter,
    file: LevelFilter,
    syslog: LevelFilter,
    format: Format,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            screen: LevelFilter::OFF,
            file: LevelFilter::OFF,
            syslog: LevelFilter::OFF,
            format: Format::default(),
        }
    }
}

impl Filter {
    fn most(self) -> LevelFilter {
        self.screen.max(self.file).max(self.syslog)
    }
}

struct LogLayer {
    shared: Arc<Shared>,
}

impl LogLayer {
    fn filter(&self) -> Filter {
        *self
            .shared
            .filter
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LogLayer {
    fn drop(&mut self) {
        self.shared.screen.close();
        self.shared.file.close();
        self.shared.syslog.close();
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= self.filter().most() {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.filter().most()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter().most())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut values = Values::default();
        attributes.record(&mut values);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(values);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(values) = span.extensions_mut().get_mut::<Values>()
        {
            record.record(values);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let filter = self.filter();
        let level = *event.metadata().level();
        if level > filter.most() {
            return;
        }
        let mut values = Values::default();
        event.record(&mut values);
        let spans: Vec<(&'static str, Values)> = context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
            .map(|span| {
                (
                    span.name(),
                    span.extensions()
                        .get::<Values>()
                        .cloned()
                        .unwrap_or_default(),
                )
            })
            .collect();
        let time = Timestamp::now();
        let (pid, origin) = (self.shared.pid, event.metadata());
        let line = Line {
            time,
            pid,
            origin,
            values: &values,
            spans: &spans,
        };
        let second = time.as_second();
        if level <= filter.screen || level <= filter.file {
            let text = line.print(filter.format, &self.shared.zone).into();
            let entry = Entry { text, second };
            if level <= filter.file {
                self.shared.file.push(entry.clone());
            }
            if level <= filter.screen {
                self.shared.screen.push(entry);
            }
        }
        if level <= filter.syslog {
            let text = line
                .print_for_syslog(filter.format, &self.shared.zone)
                .into();
            self.shared.syslog.push(Entry { text, second });
        }
    }
}

fn write_screen(queue: &Queue, mut screen: Box<dyn Write + Send>) {
    loop {
        match queue.next() {
            // There is nowhere left to tell that the screen is gone.
            Work::Write(entry) => drop(screen.write_all(entry.text.as_bytes())),
            Work::Use(_) => {}
            Work::Dropped(lines) => warn!(lines, "log lines for the screen were dropped"),
            Work::Stop => return,
        }
    }
}

fn write_file(queue: &Queue, failed: &AtomicU64) {
    let mut file: Option<LogFile> = None;
    loop {
        match queue.next() {
            Work::Write(entry) => {
                let Some(file) = &mut file else { continue };
                file.follow(entry.second);
                file.write(&entry.text);
                let lines = file.take_lost();
                if lines > 0 {
                    failed.fetch_add(lines, Ordering::Relaxed);
                    warn!(lines, "log lines could not be written to the file");
                }
            }
            Work::Use(other) => file = other,
            Work::Dropped(lines) => warn!(lines, "log lines for the file were dropped"),
            Work::Stop => return,
        }
    }
}

fn write_syslog(queue: &Queue, mut syslog: Syslog, failed: &AtomicU64) {
    loop {
        match queue.next() {
            Work::Write(entry) => match syslog.send(&entry.text, entry.second) {
                Sent::Taken(0) => {}
                Sent::Taken(lines) => warn!(lines, "log lines did not reach the system log"),
                Sent::Lost(cause) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    error!(
                        "the system log cannot be reached: {}; trying again",
                        ErrorChain(&cause)
                    );
                }
                Sent::LostAgain => {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            },
            Work::Use(_) => {}
            Work::Dropped(lines) => warn!(lines, "log lines for the system log were dropped"),
            Work::Stop => return,
        }
    }
}

#[cfg(test)]
#[path = "tests/tracing.rs"]
mod tests;
