//! The types that an option's text can have: how each is parsed, and what it is called.

mod names;
mod network;
mod numbers;

pub(super) use names::{
    Authority, ExistingFile, FilePath, HostAddress, Hostname, InterfaceList, InterfaceParam,
    InterfacePatterns, Region, SecretText, Text,
};
pub(super) use network::{CidrList, EndpointList, FailsafePorts, Ipv4, Ipv6, PortRange};
pub(super) use numbers::{
    AnyInt, Bool, Int, Interval, KeyDurations, LogRate, MarkMask, Millis, OneOf, Port, Seconds,
    SinkLevel,
};

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

/// Whether an option names a file that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileNeed {
    /// It names no file, or one that may be missing.
    None,
    /// Nothing goes on without the file, which may come later.
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
