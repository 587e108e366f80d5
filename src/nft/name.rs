//! Names of tables, chains, sets and maps.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name in bytes: `NFT_NAME_MAXLEN` of `linux/netfilter/nf_tables.h` less the final NUL.
const MAX_LENGTH: usize = 255;

/// Checks that a text can be a name in the kernel and can be typed on the command line of `nft`.
fn check(text: &str) -> Result<(), NameError> {
    if text.len() > MAX_LENGTH {
        return Err(NameError::TooLong { length: text.len() });
    }
    let Some(first) = text.chars().next() else {
        return Err(NameError::Empty);
    };
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err(NameError::Start);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if text.chars().all(allowed) {
        Ok(())
    } else {
        Err(NameError::Character)
    }
}

/// Defines a checked name type.
macro_rules! nft_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

nft_name! {
    /// The name of a table.
    TableName
}
nft_name! {
    /// The name of a chain.
    ChainName
}
nft_name! {
    /// The name of a set or a map, which share one space of names.
    SetName
}
nft_name! {
    /// The name of a counter.
    CounterName
}

/// Why a text cannot name an nftables object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text is longer than the kernel's limit.
    #[error("a name has at most 255 bytes, this one has {length}")]
    TooLong {
        /// The length of the text in bytes.
        length: usize,
    },
    /// The text does not begin with a letter.
    #[error("a name begins with a letter or `_`")]
    Start,
    /// The text holds a character that `nft` does not accept in names.
    #[error("a name holds letters, digits, `/`, `-`, `_` and `.`")]
    Character,
}
