//! The parser of every type.

use std::fmt::Debug;
use std::time::Duration;

use super::{clean, file};
use crate::config::choices::{Choice, DenyAction, LogLevel, TimeUnit};
use crate::config::schema::RateLimit;
use crate::config::types::{
    AnyInt, Authority, Bool, CidrList, EndpointList, FilePath, HostAddress, Hostname, Int,
    InterfaceList, InterfaceParam, InterfacePatterns, Interval, Ipv4, Ipv6, KeyDurations, LogRate,
    MarkMask, Millis, OneOf, OptionType, Port, PortRange, Region, Seconds, SinkLevel, Text,
};

/// Checks that each text parses to a value that prints as expected.
fn good<T: OptionType>(cases: &[(&str, &str)])
where
    T::Value: Debug,
{
    for (text, expected) in cases {
        let value = T::parse(text).unwrap_or_else(|reason| panic!("{text:?}: {reason}"));
        assert_eq!(
            format!("{value:?}"),
            *expected,
            "{} {text:?}",
            T::describe()
        );
    }
}

/// Checks that each text is refused.
fn bad<T: OptionType>(texts: &[&str])
where
    T::Value: Debug,
{
    for text in texts {
        let value = T::parse(text);
        assert!(value.is_err(), "{} {text:?} is {value:?}", T::describe());
    }
}

#[test]
fn booleans() {
    for text in ["true", "1", "yes", "y", "t", "TRUE", "Yes"] {
        good::<Bool>(&[(text, "true")]);
    }
    for text in ["false", "0", "no", "n", "f", "False"] {
        good::<Bool>(&[(text, "false")]);
    }
    bad::<Bool>(&["", "2", "on", "off", " true", "enabled"]);
}

#[test]
fn integers() {
    good::<AnyInt>(&[
        ("0", "0"),
        ("42", "42"),
        ("+42", "42"),
        ("-42", "-42"),
        ("0x10", "16"),
        ("0XfF", "255"),
        ("-0x10", "-16"),
        ("010", "8"),
        ("0o10", "8"),
        ("0b101", "5"),
        ("0x1_000", "4096"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
    ]);
    bad::<AnyInt>(&[
        "",
        "-",
        "1.5",
        "08",
        "0x",
        "1_000",
        "0x1__0",
        "++1",
        "1 ",
        "9223372036854775808",
    ]);
    good::<Int<0, 9999>>(&[("0", "0"), ("9999", "9999")]);
    bad::<Int<0, 9999>>(&["-1", "10000"]);
    good::<Port>(&[("0", "0"), ("65535", "65535")]);
    bad::<Port>(&["-1", "65536", "http"]);
}

#[test]
fn times() {
    good::<Seconds>(&[
        ("90", "90s"),
        ("0.5", "500ms"),
        ("1e1", "10s"),
        ("-1", "0ns"),
        ("0", "0ns"),
    ]);
    bad::<Seconds>(&["", "90s", "inf", "NaN", "1e300", "1,5"]);
    good::<Millis>(&[("50", "50ms"), ("0.5", "500µs")]);
    good::<Interval>(&[("90", "Some(90s)"), ("0", "None"), ("-5", "None")]);
    assert_eq!(Interval::zero(), None);
    assert_eq!(Seconds::zero(), Duration::ZERO);
}

#[test]
fn words() {
    good::<OneOf<DenyAction>>(&[("DROP", "Drop"), ("reject", "Reject"), ("Reject", "Reject")]);
    bad::<OneOf<DenyAction>>(&["", "ACCEPT", "DROP "]);
    good::<SinkLevel>(&[("debug", "Some(Debug)"), ("CRITICAL", "Some(Fatal)")]);
    bad::<SinkLevel>(&["warn", "0"]);
    assert_eq!(LogLevel::WORDS.len(), 6);
    assert!(LogLevel::Debug < LogLevel::Warning);
    assert_eq!(LogLevel::Warning.to_string(), "WARNING");
}

#[test]
fn names_and_addresses() {
    good::<Hostname>(&[("Host_1.example-x", "\"Host_1.example-x\"")]);
    bad::<Hostname>(&["", "a b", "a/b", "ö", "::1"]);
    good::<HostAddress>(&[("::1", "\"::1\""), ("localhost", "\"localhost\"")]);
    bad::<HostAddress>(&["", "a b", &"x".repeat(65)]);
    good::<Authority>(&[("127.0.0.1:2379", "\"127.0.0.1:2379\"")]);
    bad::<Authority>(&[
        "",
        "host",
        ":1",
        "host:",
        "host:x",
        "[::1]:2379",
        "a/b:1",
        "http://a:1",
    ]);
    good::<InterfaceParam>(&[("eth0+", "Some(\"eth0+\")")]);
    bad::<InterfaceParam>(&["", "a/b", "abcdefghijklmnop"]);
    good::<Region>(&[("eu-1", "Some(\"eu-1\")")]);
    bad::<Region>(&["", "EU", "-a", "a-", "a.b", &"a".repeat(47)]);
    good::<Ipv4>(&[("10.0.0.1", "Some(10.0.0.1)")]);
    bad::<Ipv4>(&["", "::1", "10.0.0", "10.0.0.1/32"]);
    good::<Ipv6>(&[("2001:db8::1", "Some(2001:db8::1)")]);
    bad::<Ipv6>(&["", "10.0.0.1", "2001:db8::/32"]);
    good::<Text>(&[("anything at all", "\"anything at all\"")]);
    bad::<Text>(&["two\nlines"]);
    good::<FilePath>(&[("/var/log/x", "Some(\"/var/log/x\")")]);
    bad::<FilePath>(&["a\0b"]);
}

#[test]
fn interfaces() {
    good::<InterfaceList>(&[("cali", "[\"cali\"]"), ("cali,tap", "[\"cali\", \"tap\"]")]);
    bad::<InterfaceList>(&["", "cali,", "cali, tap", "eth0.1", "abcdefghijklmnop"]);
    let patterns = InterfacePatterns::parse("kube-ipvs0,/^veth[0-9]+$/,/dummy/").unwrap();
    let matched = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
    for name in ["kube-ipvs0", "veth12", "xdummy0"] {
        assert!(matched(name), "{name}");
    }
    for name in ["kube-ipvs00", "veth", "xveth1", "eth0"] {
        assert!(!matched(name), "{name}");
    }
    let printed: Vec<_> = patterns.iter().map(ToString::to_string).collect();
    assert_eq!(printed, ["kube-ipvs0", "/^veth[0-9]+$/", "/dummy/"]);
    bad::<InterfacePatterns>(&["", "//", "/(/", "/a b/", "a b", "eth0.1"]);
}

#[test]
fn nets_ports_and_urls() {
    good::<CidrList>(&[
        ("10.0.0.1/8, 10.1.0.1", "[10.0.0.0/8, 10.1.0.1/32]"),
        (",", "[]"),
    ]);
    bad::<CidrList>(&["x", "10.0.0.0/33", "2001:db8::/32"]);
    good::<PortRange>(&[
        ("80", "Some(PortSpan { first: 80, last: 80 })"),
        ("80:90", "Some(PortSpan { first: 80, last: 90 })"),
    ]);
    bad::<PortRange>(&["", "90:80", "80:", "http", "1:2:3", "65536"]);
    good::<EndpointList>(&[
        ("http://a:2379", "[\"http://a:2379\"]"),
        (
            "HTTPS://a:1/ , https://[::1]:2,",
            "[\"https://a:1\", \"https://[::1]:2\"]",
        ),
    ]);
    bad::<EndpointList>(&[
        "a:2379",
        "ftp://a",
        "http://",
        "http://a/b",
        "http://u@a",
        "http://a?x",
        "http://a,https://b",
    ]);
    good::<KeyDurations>(&[("a=90s, b=1m", "{\"a\": 90s, \"b\": 60s}")]);
    bad::<KeyDurations>(&["a", "a=90", "a=-1s"]);
}

#[test]
fn marks() {
    good::<MarkMask>(&[
        ("0xffff0000", "4294901760"),
        ("7", "7"),
        ("0xffffffff", "4294967295"),
    ]);
    bad::<MarkMask>(&["", "0", "0x3", "-1", "0x100000000", "ff"]);
}

#[test]
fn rates() {
    good::<LogRate>(&[(
        "10/minute",
        "Some(RateLimit { count: 10, unit: Minute, burst: 0 })",
    )]);
    bad::<LogRate>(&[
        "",
        "10",
        "0/second",
        "010/second",
        "10000/day",
        "1/Second",
        "1/week",
        "+1/day",
    ]);
    let limit = |entries: &[_]| clean(&file(entries)).config.policy.log_rate_limit;
    let rate = ("LogActionRateLimit", "9999/hour");
    let expected = RateLimit {
        count: 9999,
        unit: TimeUnit::Hour,
        burst: 5,
    };
    assert_eq!(limit(&[rate]), Some(expected));
    assert_eq!(
        limit(&[rate, ("LogActionRateLimitBurst", "0")]),
        Some(RateLimit {
            burst: 0,
            ..expected
        })
    );
    assert_eq!(limit(&[("LogActionRateLimitBurst", "7")]), None);
}
