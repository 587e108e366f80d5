use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use jiff::tz;
use proptest::prelude::*;
use tracing::subscriber::with_default;
use tracing::{debug, error, info, info_span, trace};

use super::*;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("UTF-8")
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn screen_only(severity: Severity, format: Format) -> LogSettings {
    LogSettings {
        screen: Some(severity),
        file: None,
        syslog: None,
        format,
    }
}

fn outlets(screen: Box<dyn Write + Send>) -> Outlets {
    Outlets {
        screen,
        syslog: PathBuf::new(),
        zone: TimeZone::fixed(tz::offset(2)),
    }
}

/// Returns what the screen shows after `body`, which may change the settings.
fn logged(settings: &LogSettings, body: impl FnOnce(&LogHandle)) -> String {
    let screen = Screen::default();
    let outlets = outlets(Box::new(screen.clone()));
    let (subscriber, handle) = subscriber(settings, outlets).expect("a subscriber");
    with_default(subscriber, || {
        body(&handle);
        handle.flush();
    });
    screen.text()
}

fn json(severity: Severity, body: impl FnOnce()) -> Vec<serde_json::Value> {
    let text = logged(&screen_only(severity, Format::Json), |_| body());
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

/// Returns a line for people from its level on, without the number of the source line.
fn human(body: impl FnOnce()) -> String {
    let text = logged(&screen_only(Severity::Trace, Format::Human), |_| body());
    let (_, text) = text.split_once(' ').expect("a date");
    let (_, text) = text.split_once(' ').expect("a time");
    let (start, text) = text.split_once(".rs ").expect("a file");
    let (number, text) = text.split_once(": ").expect("a line number");
    assert!(
        number.parse::<u32>().is_ok_and(|number| number > 0),
        "{number}"
    );
    format!(
        "{}.rs: {text}",
        start.replace(&std::process::id().to_string(), "PID")
    )
}

#[test]
fn a_line_for_people_reads_as_felix_writes_it() {
    let line = human(|| {
        let name = "eth0";
        info!(name, count = 3, up = true, kind = ?Some(1), at = %"a b", "applied");
    });
    let expected = "[INFO][PID] telemetry/tests/tracing.rs: \
                    applied name=\"eth0\" count=3 up=true kind=Some(1) at=\"a b\"\n";
    assert_eq!(line, expected);
}

#[test]
fn times_are_local_with_milliseconds() {
    // Without a subscriber a span is nobody's and has no metadata.
    let origin = ::tracing::subscriber::with_default(tracing_subscriber::registry(), || {
        info_span!("x").metadata().expect("metadata")
    });
    let values = Values::default();
    let time = "2024-02-29T22:30:00.0079Z".parse().expect("a time");
    let line = Line {
        time,
        pid: 7,
        origin,
        values: &values,
        spans: &[],
    };
    let zone = TimeZone::fixed(tz::offset(2));
    let text = line.print(Format::Human, &zone);
    assert!(
        text.starts_with("2024-03-01 00:30:00.007 [INFO][7] "),
        "{text}"
    );
    let text = line.print(Format::Json, &zone);
    assert!(
        text.contains("\"timestamp\":\"2024-02-29T22:30:00.007Z\""),
        "{text}"
    );
}

#[test]
fn levels_have_the_names_of_felix() {
    let text = logged(&screen_only(Severity::Trace, Format::Human), |_| {
        trace!("m");
        debug!("m");
        info!("m");
        warn!("m");
        error!("m");
    });
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    assert_eq!(names, ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"]);
}

#[test]
fn spans_follow_the_fields_innermost_first() {
    let line = human(|| {
        let outer = info_span!("apply", seq = 3, result = tracing::field::Empty);
        let _outer = outer.enter();
        let _inner = info_span!("commit", table = "inet tortie").entered();
        outer.record("result", "done");
        info!(sets = 2, "applied");
    });
    let expected =
        "applied sets=2 commit.table=\"inet tortie\" apply.seq=3 apply.result=\"done\"\n";
    assert!(line.ends_with(expected), "{line}");
}

#[test]
fn what_comes_from_outside_cannot_make_a_line_or_steer_a_terminal() {
    let line = human(|| {
        let evil = "a\nb\r\tc\u{1b}[2J\u{85}\u{2028}\u{202e}\"\\";
        warn!(text = evil, shown = %evil, bare = %"x=y", empty = %"", "bad {evil}");
    });
    let escaped = "a\\nb\\r\\tc\\u{1b}[2J\\u{85}\\u{2028}\\u{202e}";
    let expected = format!(
        "bad {escaped}\"\\ text=\"{escaped}\\\"\\\\\" shown=\"{escaped}\\\"\\\\\" bare=\"x=y\" empty=\"\"\n"
    );
    assert!(line.ends_with(&expected), "{line}");
}

#[test]
fn an_error_is_logged_with_its_causes() {
    let error = LogError::OpenFile {
        path: "x".into(),
        source: io::Error::other("denied"),
    };
    let line = human(|| error!(error = &error as &dyn std::error::Error, "failed"));
    assert!(
        line.ends_with("failed error=\"open the log file `x`: denied\"\n"),
        "{line}"
    );
}

#[test]
fn json_holds_everything() {
    let mut lines = json(Severity::Info, || {
        let _span = info_span!("apply", seq = 3_u64).entered();
        info!(name = "eth0", up = true, shown = ?[1], "ap\"plied\u{85}\n");
    });
    let mut line = lines.pop().expect("a line");
    for (key, is_right) in [
        (
            "timestamp",
            line["timestamp"]
                .as_str()
                .is_some_and(|time| time.len() == 24),
        ),
        (
            "line",
            line["line"].as_u64().is_some_and(|number| number > 0),
        ),
        ("pid", line["pid"] == std::process::id()),
    ] {
        assert!(is_right, "{key}: {line}");
        line.as_object_mut().expect("an object").remove(key);
    }
    let expected = serde_json::json!({
        "level": "INFO",
        "target": module_path!(),
        "file": "telemetry/tests/tracing.rs",
        "message": "ap\"plied\u{85}\n",
        "fields": { "name": "eth0", "up": true, "shown": "[1]" },
        "spans": [{ "name": "apply", "fields": { "seq": 3 } }],
    });
    assert_eq!(line, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_stays_one_line(text in any::<String>()) {
        let lines = json(Severity::Info, || info!(text, "{text}"));
        prop_assert_eq!(lines.len(), 1);
        prop_assert_eq!(lines[0]["message"].as_str(), Some(text.as_str()));
        prop_assert_eq!(lines[0]["fields"]["text"].as_str(), Some(text.as_str()));
        let line = human(|| info!(text, shown = %text, "{text}"));
        prop_assert_eq!(line.chars().filter(|c| c.is_control()).count(), 1);
    }
}

fn messages(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a log file");
    text.lines()
        .filter_map(|line| line.rsplit(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn screen_and_file_have_levels_of_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("felix.log");
    let settings = LogSettings {
        screen: Some(Severity::Error),
        file: Some((path.clone(), Severity::Debug)),
        syslog: None,
        format: Format::Human,
    };
    let screen = logged(&settings, |_| {
        trace!("t");
        debug!("d");
        warn!("w");
        error!("e");
    });
    assert_eq!(messages(&path), ["d", "w", "e"]);
    assert!(
        screen.lines().count() == 1 && screen.ends_with(": e\n"),
        "{screen}"
    );
}

#[test]
fn nothing_is_logged_without_a_place_or_at_fatal() {
    let body = |_: &LogHandle| error!("e");
    assert_eq!(logged(&LogSettings::default(), body), "");
    assert_eq!(
        logged(&screen_only(Severity::Fatal, Format::Human), body),
        ""
    );
}

#[test]
fn a_reload_changes_level_and_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let to = |path: &Path, severity| LogSettings {
        screen: None,
        file: Some((path.to_owned(), severity)),
        syslog: None,
        format: Format::Human,
    };
    logged(&to(&one, Severity::Info), |handle| {
        let tell = |number: u32| {
            debug!("d{number}");
            info!("i{number}");
        };
        tell(1);
        handle.reload(&to(&one, Severity::Debug)).expect("a reload");
        tell(2);
        handle.reload(&to(&two, Severity::Debug)).expect("a reload");
        tell(3);
        let error = handle.reload(&to(directory.path(), Severity::Trace));
        assert!(matches!(error, Err(LogError::OpenFile { .. })), "{error:?}");
        tell(4);
        handle.reload(&LogSettings::default()).expect("a reload");
        tell(5);
    });
    assert_eq!(messages(&one), ["i1", "d2", "i2"]);
    assert_eq!(messages(&two), ["d3", "i3", "d4", "i4"]);
}

#[test]
fn a_file_that_cannot_be_opened_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = LogSettings {
        file: Some((directory.path().to_owned(), Severity::Info)),
        ..LogSettings::default()
    };
    let result = subscriber(&settings, outlets(Box::new(io::sink())));
    assert!(matches!(result, Err(LogError::OpenFile { .. })));
}

#[test]
fn a_screen_that_hangs_holds_nobody_up() {
    struct Hanging(std::sync::mpsc::Receiver<()>);
    impl Write for Hanging {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The end of the test is what ends the wait.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (release, hanging) = std::sync::mpsc::channel();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("felix.log");
    let settings = LogSettings {
        screen: Some(Severity::Info),
        file: Some((path.clone(), Severity::Info)),
        syslog: None,
        format: Format::Human,
    };
    let screen = Box::new(Hanging(hanging));
    let (subscriber, handle) = subscriber(&settings, outlets(screen)).expect("a subscriber");
    let long = "x".repeat(4000);
    with_default(subscriber, || {
        for _ in 0..100 {
            for _ in 0..10 {
                info!("{long}");
            }
            handle.shared.file.flush(Duration::from_secs(60));
        }
    });
    assert_eq!(messages(&path).len(), 1000);
    drop(release);
}

#[test]
fn the_system_log_gets_what_it_is_set_to_and_is_never_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).expect("a socket");
    let settings = LogSettings {
        syslog: Some(Severity::Warning),
        ..LogSettings::default()
    };
    let outlets = Outlets {
        syslog: path,
        ..outlets(Box::new(io::sink()))
    };
    let (subscriber, handle) = subscriber(&settings, outlets).expect("a subscriber");
    with_default(subscriber, || {
        info!("not this");
        warn!(port = 22, "what is wrong");
        handle.flush();
        // Nobody reads these, and more than fit.
        let long = "x".repeat(4000);
        for _ in 0..1000 {
            warn!("{long}");
        }
    });
    let mut buffer = [0; 256];
    let length = daemon.recv(&mut buffer).expect("a message");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(text.starts_with("<12>"), "{text}");
    let (_, said) = text.split_once("]: ").expect("a name");
    assert!(
        said.starts_with("WARNING telemetry/tests/tracing.rs "),
        "{said}"
    );
    assert!(said.ends_with(": what is wrong port=22"), "{said}");
}
