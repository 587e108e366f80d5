//! The types that an option's text can have: how each is parsed, and what it is called.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::choices::{Choice, LogLevel, TimeUnit};
use super::failsafe::{self, FailsafePort};
use super::go_duration;
use super::schema::{InterfacePattern, PortSpan, RateLimit, Secret};

/// What a source says about an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input<'a> {
    /// The word `none`: the type's zero value.
    Zero,
    /// Any other text.
    Text(&'a str),
}

/// Unit in which a `FelixConfiguration` duration reaches an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// The option is not a duration.
    None,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// Whether an option names a file that has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileNeed {
    /// It names no file, or one that may be missing.
    None,
    /// The file has to exist.
    MustExist,
}

/// A type of option.
pub(super) trait OptionType {
    /// What the text becomes.
    type Value;
    /// Unit of a duration.
    const UNIT: Unit = Unit::None;
    /// Whether a file is named.
    const FILE: FileNeed = FileNeed::None;
    /// Parses a text other than `none`.
    fn parse(text: &str) -> Result<Self::Value, String>;
    /// Returns what `none` means.
    fn zero() -> Self::Value;
    /// Returns the name of the type for the reference page.
    fn describe() -> String;
}

/// Reads an input as a type.
pub(super) fn read<T: OptionType>(input: Input<'_>) -> Result<T::Value, String> {
    match input {
        Input::Zero => Ok(T::zero()),
        Input::Text(text) => T::parse(text),
    }
}

pub(super) struct Bool;

impl OptionType for Bool {
    type Value = bool;

    fn parse(text: &str) -> Result<bool, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "t" => Ok(true),
            "false" | "0" | "no" | "n" | "f" => Ok(false),
            _ => Err("not a boolean, expected true or false".to_owned()),
        }
    }

    fn zero() -> bool {
        false
    }

    fn describe() -> String {
        "boolean".to_owned()
    }
}

pub(super) struct Int<const MIN: i64, const MAX: i64>;

/// An integer without bounds of its own.
pub(super) type AnyInt = Int<{ i64::MIN }, { i64::MAX }>;

impl<const MIN: i64, const MAX: i64> OptionType for Int<MIN, MAX> {
    type Value = i64;

    fn parse(text: &str) -> Result<i64, String> {
        let value = parse_integer(text).ok_or("not an integer")?;
        if (MIN..=MAX).contains(&value) {
            Ok(value)
        } else {
            Err(format!("not within {MIN} to {MAX}"))
        }
    }

    fn zero() -> i64 {
        0
    }

    fn describe() -> String {
        match (MIN, MAX) {
            (i64::MIN, i64::MAX) => "integer".to_owned(),
            (_, i64::MAX) => format!("integer from {MIN}"),
            _ => format!("integer, {MIN} to {MAX}"),
        }
    }
}

pub(super) struct Port;

impl OptionType for Port {
    type Value = u16;

    fn parse(text: &str) -> Result<u16, String> {
        Int::<0, 65535>::parse(text)
            .and_then(|value| u16::try_from(value).map_err(|error| error.to_string()))
    }

    fn zero() -> u16 {
        0
    }

    fn describe() -> String {
        "port".to_owned()
    }
}

/// Parses an integer as Go does with base 0: `0x`, `0o`, `0b`, a leading 0 for octal, and underscores
/// between digits where there is a prefix.
fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = i128::from(parse_unsigned(digits)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn parse_unsigned(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = if let Some(rest) = lower.strip_prefix("0x") {
        (rest, 16)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (rest, 8)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (rest, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    let underscores_fit = radix != 10 && !digits.ends_with('_') && !digits.contains("__");
    if digits.contains('_') && !underscores_fit {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

/// Longest duration taken, the one that Go's type can hold.
const LONGEST_SECONDS: f64 = 9_223_372_036.0;

/// Parses a decimal number of seconds; what is below zero counts as zero.
fn parse_duration(text: &str, scale: f64) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let seconds = number * scale;
    if !seconds.is_finite() || seconds.abs() > LONGEST_SECONDS {
        return Err("too long a time".to_owned());
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO))
}

pub(super) struct Seconds;

impl OptionType for Seconds {
    type Value = Duration;
    const UNIT: Unit = Unit::Seconds;

    fn parse(text: &str) -> Result<Duration, String> {
        parse_duration(text, 1.0)
    }

    fn zero() -> Duration {
        Duration::ZERO
    }

    fn describe() -> String {
        "seconds".to_owned()
    }
}

pub(super) struct Millis;

impl OptionType for Millis {
    type Value = Duration;
    const UNIT: Unit = Unit::Milliseconds;

    fn parse(text: &str) -> Result<Duration, String> {
        parse_duration(text, 1e-3)
    }

    fn zero() -> Duration {
        Duration::ZERO
    }

    fn describe() -> String {
        "milliseconds".to_owned()
    }
}

/// Seconds between two runs of something that zero turns off.
pub(super) struct Interval;

impl OptionType for Interval {
    type Value = Option<Duration>;
    const UNIT: Unit = Unit::Seconds;

    fn parse(text: &str) -> Result<Option<Duration>, String> {
        Seconds::parse(text).map(|interval| (!interval.is_zero()).then_some(interval))
    }

    fn zero() -> Option<Duration> {
        None
    }

    fn describe() -> String {
        "seconds, 0 is never".to_owned()
    }
}

pub(super) struct OneOf<C>(PhantomData<C>);

fn parse_choice<C: Choice>(text: &str) -> Result<C, String> {
    C::WORDS
        .iter()
        .chain(C::OLD_WORDS)
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, choice)| *choice)
        .ok_or_else(|| format!("expected one of {}", words::<C>()))
}

fn words<C: Choice>() -> String {
    C::WORDS
        .iter()
        .map(|(word, _)| *word)
        .collect::<Vec<_>>()
        .join(", ")
}

impl<C: Choice> OptionType for OneOf<C> {
    type Value = C;

    fn parse(text: &str) -> Result<C, String> {
        parse_choice(text)
    }

    fn zero() -> C {
        C::default()
    }

    fn describe() -> String {
        format!("one of {}", words::<C>())
    }
}

/// Level of a log sink, where `none` turns the sink off.
pub(super) struct SinkLevel;

impl OptionType for SinkLevel {
    type Value = Option<LogLevel>;

    fn parse(text: &str) -> Result<Option<LogLevel>, String> {
        parse_choice(text).map(Some)
    }

    fn zero() -> Option<LogLevel> {
        None
    }

    fn describe() -> String {
        format!("one of {}, or none", words::<LogLevel>())
    }
}

pub(super) struct Text;

impl OptionType for Text {
    type Value = String;

    fn parse(text: &str) -> Result<String, String> {
        // Felix's pattern is `.*`, which a line break does not match.
        if text.contains('\n') {
            Err("more than one line".to_owned())
        } else {
            Ok(text.to_owned())
        }
    }

    fn zero() -> String {
        String::new()
    }

    fn describe() -> String {
        "text".to_owned()
    }
}

pub(super) struct SecretText;

impl OptionType for SecretText {
    type Value = Option<Secret>;

    fn parse(text: &str) -> Result<Option<Secret>, String> {
        Ok(Some(Secret::new(text)))
    }

    fn zero() -> Option<Secret> {
        None
    }

    fn describe() -> String {
        "secret text".to_owned()
    }
}

pub(super) struct FilePath;

impl OptionType for FilePath {
    type Value = Option<PathBuf>;

    fn parse(text: &str) -> Result<Option<PathBuf>, String> {
        if text.contains('\0') {
            return Err("a zero byte cannot be in a path".to_owned());
        }
        Ok(Some(PathBuf::from(text)))
    }

    fn zero() -> Option<PathBuf> {
        None
    }

    fn describe() -> String {
        "path".to_owned()
    }
}

pub(super) struct ExistingFile;

impl OptionType for ExistingFile {
    type Value = Option<PathBuf>;
    const FILE: FileNeed = FileNeed::MustExist;

    fn parse(text: &str) -> Result<Option<PathBuf>, String> {
        FilePath::parse(text)
    }

    fn zero() -> Option<PathBuf> {
        None
    }

    fn describe() -> String {
        "existing file".to_owned()
    }
}

/// Tells whether every byte of a text is a letter, a digit or one of `others`, and its length fits.
fn is_word(text: &str, others: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

pub(super) struct InterfaceList;

impl OptionType for InterfaceList {
    type Value = Vec<String>;

    fn parse(text: &str) -> Result<Vec<String>, String> {
        text.split(',')
            .map(|name| {
                is_word(name, "_-", 15)
                    .then(|| name.to_owned())
                    .ok_or_else(|| format!("`{name}` is not 1 to 15 letters, digits, `_` or `-`"))
            })
            .collect()
    }

    fn zero() -> Vec<String> {
        Vec::new()
    }

    fn describe() -> String {
        "list of interface name prefixes".to_owned()
    }
}

pub(super) struct InterfacePatterns;

impl OptionType for InterfacePatterns {
    type Value = Vec<InterfacePattern>;

    fn parse(text: &str) -> Result<Vec<InterfacePattern>, String> {
        text.split(',')
            .map(|item| {
                let expression = item
                    .strip_prefix('/')
                    .and_then(|rest| rest.strip_suffix('/'))
                    .filter(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
                match expression {
                    Some(expression) => InterfacePattern::regex(expression)
                        .map_err(|error| format!("`{item}` is not a regular expression: {error}")),
                    None if is_word(item, "_-", 15) => Ok(InterfacePattern::name(item)),
                    None => Err(format!(
                        "`{item}` is neither an interface name nor a /regex/"
                    )),
                }
            })
            .collect()
    }

    fn zero() -> Vec<InterfacePattern> {
        Vec::new()
    }

    fn describe() -> String {
        "list of interface names and /regular expressions/".to_owned()
    }
}

pub(super) struct InterfaceParam;

impl OptionType for InterfaceParam {
    type Value = Option<String>;

    fn parse(text: &str) -> Result<Option<String>, String> {
        if is_word(text, ":._+-", 15) {
            Ok(Some(text.to_owned()))
        } else {
            Err("not an interface name".to_owned())
        }
    }

    fn zero() -> Option<String> {
        None
    }

    fn describe() -> String {
        "interface name".to_owned()
    }
}

pub(super) struct Authority;

impl OptionType for Authority {
    type Value = String;

    fn parse(text: &str) -> Result<String, String> {
        let (host, port) = text.split_once(':').ok_or("expected HOST:PORT")?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err("expected HOST:PORT".to_owned());
        }
        Ok(text.to_owned())
    }

    fn zero() -> String {
        String::new()
    }

    fn describe() -> String {
        "host:port".to_owned()
    }
}

pub(super) struct Hostname;

impl OptionType for Hostname {
    type Value = String;

    fn parse(text: &str) -> Result<String, String> {
        if is_word(text, "_.-", usize::MAX) {
            Ok(text.to_owned())
        } else {
            Err("a hostname is letters, digits, `_`, `.` and `-`".to_owned())
        }
    }

    fn zero() -> String {
        String::new()
    }

    fn describe() -> String {
        "hostname".to_owned()
    }
}

pub(super) struct HostAddress;

impl OptionType for HostAddress {
    type Value = String;

    fn parse(text: &str) -> Result<String, String> {
        if is_word(text, ":._+-", 64) {
            Ok(text.to_owned())
        } else {
            Err("neither an address nor a hostname of at most 64 characters".to_owned())
        }
    }

    fn zero() -> String {
        String::new()
    }

    fn describe() -> String {
        "address or hostname".to_owned()
    }
}

pub(super) struct Region;

/// Longest region, so that `openstack-region-` before it still makes a DNS label.
const LONGEST_REGION: usize = 63 - "openstack-region-".len();

impl OptionType for Region {
    type Value = Option<String>;

    fn parse(text: &str) -> Result<Option<String>, String> {
        let lower = text.chars().all(|c| !c.is_ascii_uppercase());
        let inside = !text.starts_with('-') && !text.ends_with('-');
        if lower && inside && is_word(text, "-", LONGEST_REGION) {
            Ok(Some(text.to_owned()))
        } else {
            Err(format!(
                "not a DNS label of at most {LONGEST_REGION} characters"
            ))
        }
    }

    fn zero() -> Option<String> {
        None
    }

    fn describe() -> String {
        "DNS label".to_owned()
    }
}

pub(super) struct FailsafePorts;

impl OptionType for FailsafePorts {
    type Value = Vec<FailsafePort>;

    fn parse(text: &str) -> Result<Vec<FailsafePort>, String> {
        failsafe::parse_list(text)
    }

    fn zero() -> Vec<FailsafePort> {
        Vec::new()
    }

    fn describe() -> String {
        "list of failsafe ports".to_owned()
    }
}

pub(super) struct MarkMask;

/// Bits that the rules need: accepted before routing, passed to the next tier, accepted for good.
const LEAST_MARK_BITS: u32 = 3;

impl OptionType for MarkMask {
    type Value = u32;

    fn parse(text: &str) -> Result<u32, String> {
        let mask = parse_unsigned(text)
            .and_then(|value| u32::try_from(value).ok())
            .ok_or("not a 32-bit number")?;
        if mask.count_ones() < LEAST_MARK_BITS {
            return Err(format!("at least {LEAST_MARK_BITS} bits have to be set"));
        }
        Ok(mask)
    }

    fn zero() -> u32 {
        0
    }

    fn describe() -> String {
        format!("32-bit mask, at least {LEAST_MARK_BITS} bits set")
    }
}

/// A rate, its burst left for the option that sets it.
pub(super) struct LogRate;

impl OptionType for LogRate {
    type Value = Option<RateLimit>;

    fn parse(text: &str) -> Result<Option<RateLimit>, String> {
        const SYNTAX: &str = "expected NUMBER/UNIT, 1 to 9999, of second, minute, hour or day";
        let (count, unit) = text.split_once('/').ok_or(SYNTAX)?;
        let digits = count.len() <= 4
            && !count.starts_with('0')
            && count.chars().all(|c| c.is_ascii_digit());
        let count = count.parse().ok().filter(|_| digits).ok_or(SYNTAX)?;
        let (_, unit) = TimeUnit::WORDS
            .iter()
            .find(|(word, _)| *word == unit)
            .ok_or(SYNTAX)?;
        Ok(Some(RateLimit {
            count,
            unit: *unit,
            burst: 0,
        }))
    }

    fn zero() -> Option<RateLimit> {
        None
    }

    fn describe() -> String {
        "number/unit, unit second, minute, hour or day".to_owned()
    }
}

pub(super) struct CidrList;

impl OptionType for CidrList {
    type Value = Vec<IpNet>;

    fn parse(text: &str) -> Result<Vec<IpNet>, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| match failsafe::parse_net(item) {
                Some(net @ IpNet::V4(_)) => Ok(net),
                Some(IpNet::V6(_)) => Err(format!("`{item}` is not IPv4")),
                None => Err(format!("`{item}` is neither a net nor an address")),
            })
            .collect()
    }

    fn zero() -> Vec<IpNet> {
        Vec::new()
    }

    fn describe() -> String {
        "list of IPv4 nets".to_owned()
    }
}

pub(super) struct Ipv4;

impl OptionType for Ipv4 {
    type Value = Option<Ipv4Addr>;

    fn parse(text: &str) -> Result<Option<Ipv4Addr>, String> {
        text.parse()
            .map(Some)
            .map_err(|_| "not an IPv4 address".to_owned())
    }

    fn zero() -> Option<Ipv4Addr> {
        None
    }

    fn describe() -> String {
        "IPv4 address".to_owned()
    }
}

pub(super) struct Ipv6;

impl OptionType for Ipv6 {
    type Value = Option<Ipv6Addr>;

    fn parse(text: &str) -> Result<Option<Ipv6Addr>, String> {
        text.parse()
            .map(Some)
            .map_err(|_| "not an IPv6 address".to_owned())
    }

    fn zero() -> Option<Ipv6Addr> {
        None
    }

    fn describe() -> String {
        "IPv6 address".to_owned()
    }
}

pub(super) struct PortRange;

impl OptionType for PortRange {
    type Value = Option<PortSpan>;

    fn parse(text: &str) -> Result<Option<PortSpan>, String> {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Some(PortSpan { first, last })),
            _ => Err("expected PORT or FIRST:LAST".to_owned()),
        }
    }

    fn zero() -> Option<PortSpan> {
        None
    }

    fn describe() -> String {
        "port or first:last".to_owned()
    }
}

pub(super) struct EndpointList;

impl OptionType for EndpointList {
    type Value = Vec<String>;

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let mut endpoints: Vec<String> = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (scheme, rest) = item
                .split_once("://")
                .ok_or_else(|| format!("`{item}` is not a URL"))?;
            let scheme = scheme.to_ascii_lowercase();
            if scheme != "http" && scheme != "https" {
                return Err(format!("`{item}` is neither http nor https"));
            }
            let host = rest.strip_suffix('/').unwrap_or(rest);
            if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
                return Err(format!("`{item}` is not of the form http(s)://HOST:PORT"));
            }
            if endpoints
                .first()
                .is_some_and(|first| !first.starts_with(&format!("{scheme}:")))
            {
                return Err("the endpoints differ in their scheme".to_owned());
            }
            endpoints.push(format!("{scheme}://{host}"));
        }
        Ok(endpoints)
    }

    fn zero() -> Vec<String> {
        Vec::new()
    }

    fn describe() -> String {
        "list of URLs".to_owned()
    }
}

pub(super) struct KeyDurations;

impl OptionType for KeyDurations {
    type Value = BTreeMap<String, Duration>;

    fn parse(text: &str) -> Result<BTreeMap<String, Duration>, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| {
                item.split_once('=')
                    .and_then(|(name, time)| {
                        let seconds = go_duration::parse_seconds(time.trim())?;
                        let time = Duration::try_from_secs_f64(seconds).ok()?;
                        Some((name.trim().to_owned(), time))
                    })
                    .ok_or_else(|| format!("`{item}` is not of the form NAME=DURATION, as 90s"))
            })
            .collect()
    }

    fn zero() -> BTreeMap<String, Duration> {
        BTreeMap::new()
    }

    fn describe() -> String {
        "list of name=duration".to_owned()
    }
}
