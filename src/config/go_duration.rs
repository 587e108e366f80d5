//! Durations as Go writes them: `90s`, `1h30m`, `1.5ms`.

const NANOSECOND: f64 = 1e-9;

const UNITS: [(&str, f64); 8] = [
    ("ns", NANOSECOND),
    ("us", 1e-6),
    ("\u{b5}s", 1e-6),
    ("\u{3bc}s", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// Parses a duration to seconds; it may be negative.
pub(super) fn parse_seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number * scale;
        rest = after;
    }
    let nanoseconds = (seconds / NANOSECOND).round();
    // The range of Go's type, which is 64 bits of nanoseconds.
    (nanoseconds < 9.2e18).then_some(sign * nanoseconds * NANOSECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_go_writes() {
        for (text, seconds) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("90s", 90.0),
            ("1m30s", 90.0),
            ("1h0m0s", 3600.0),
            ("1.5h", 5400.0),
            ("250ms", 0.25),
            ("-5s", -5.0),
            ("+5s", 5.0),
            (".5s", 0.5),
        ] {
            let parsed = parse_seconds(text).unwrap();
            assert!((parsed - seconds).abs() < 1e-9, "{text} is {parsed}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "-",
            "90",
            "s",
            "1x",
            "1..5s",
            ".s",
            "1 s",
            "NaN",
            "1d",
            "9999999999999h",
        ] {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }
}
