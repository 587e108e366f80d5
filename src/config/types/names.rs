//! Texts, paths and names.

use std::path::PathBuf;

use super::{FileNeed, OptionType};
use crate::config::schema::Secret;
use crate::net::InterfacePattern;

pub(in crate::config) struct Text;

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

pub(in crate::config) struct SecretText;

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

pub(in crate::config) struct FilePath;

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

pub(in crate::config) struct ExistingFile;

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

pub(in crate::config) struct InterfaceList;

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

pub(in crate::config) struct InterfacePatterns;

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

pub(in crate::config) struct InterfaceParam;

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

pub(in crate::config) struct Authority;

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

pub(in crate::config) struct Hostname;

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

pub(in crate::config) struct HostAddress;

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

pub(in crate::config) struct Region;

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
