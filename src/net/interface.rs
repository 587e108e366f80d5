//! Names of network interfaces.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest interface name in bytes: `IFNAMSIZ` of `linux/if.h` less the final NUL.
const MAX_LENGTH: usize = 15;

/// The name of a network interface as the kernel has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceName(Arc<str>);

impl InterfaceName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = InterfaceNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    /// Accepts what `dev_valid_name` of the kernel accepts, and no control or non-ASCII characters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InterfaceNameError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(InterfaceNameError::TooLong { length: text.len() });
        }
        let allowed = |c: char| c.is_ascii_graphic() && c != '/' && c != ':' && c != '"';
        if text == "." || text == ".." || !text.chars().all(allowed) {
            return Err(InterfaceNameError::Character);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is no interface name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceNameError {
    /// The text is empty.
    #[error("an interface name must not be empty")]
    Empty,
    /// The text is longer than the kernel's limit.
    #[error("an interface name has at most 15 bytes, this one has {length}")]
    TooLong {
        /// The length of the text in bytes.
        length: usize,
    },
    /// The text holds a character that no interface name may hold.
    #[error("an interface name holds printable ASCII characters except `/`, `:` and `\"`")]
    Character,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_kernel_accepts_pass() {
        for good in [
            "eth0",
            "wg-v6.cali",
            "enp0s31f6",
            "a",
            "fifteen-bytes-x",
            "br-1a2b3c",
            "veth@x",
        ] {
            assert!(good.parse::<InterfaceName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "a:1",
            "sixteen-bytes-xx",
            "ä",
            "a\n",
        ] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
    }
}
