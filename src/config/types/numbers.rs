//! Numbers, times and words.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use super::{OptionType, Unit};
use crate::config::choices::{Choice, LogLevel, TimeUnit};
use crate::config::go_duration;
use crate::config::schema::RateLimit;

pub(in crate::config) struct Bool;

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

pub(in crate::config) struct Int<const MIN: i64, const MAX: i64>;

/// An integer without bounds of its own.
pub(in crate::config) type AnyInt = Int<{ i64::MIN }, { i64::MAX }>;

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

pub(in crate::config) struct Port;

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

/// Parses an integer as Go does with base 0: `0x`, `0o`, `0b`, a leading 0 for octal, and
/// underscores between digits where there is a prefix.
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

pub(in crate::config) struct Seconds;

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

pub(in crate::config) struct Millis;

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

/// Seconds of something that zero turns off.
pub(in crate::config) struct Interval;

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
        "seconds, 0 is off".to_owned()
    }
}

pub(in crate::config) struct OneOf<C>(PhantomData<C>);

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
pub(in crate::config) struct SinkLevel;

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

pub(in crate::config) struct MarkMask;

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
pub(in crate::config) struct LogRate;

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

pub(in crate::config) struct KeyDurations;

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
