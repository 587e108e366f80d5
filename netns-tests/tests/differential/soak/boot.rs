//! The file that a daemon keeps its last good state in, and what becomes of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::faults::Damage;

/// Is the file of a daemon.
pub(super) struct Kept(TempDir);

impl Kept {
    /// Makes the place for it.
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("make a directory"))
    }

    /// Returns the argument that names it.
    pub(super) fn argument(&self) -> String {
        format!("--last-good={}", self.path().display())
    }

    /// Damages it, and returns what a daemon must say of it.
    pub(super) fn damage(&self, damage: Damage) -> &'static str {
        let mut bytes = std::fs::read(self.path()).expect("a state is kept");
        let middle = bytes.len() / 2;
        match damage {
            Damage::Altered => {
                bytes[middle] ^= 1;
                std::fs::write(self.path(), bytes).expect("alter the file");
                // Which line cannot be read, or that all can and are others, is a matter of the place.
                "the last good state is not used: "
            }
            Damage::Short => {
                std::fs::write(self.path(), &bytes[..middle]).expect("shorten the file");
                "it ends too early"
            }
            Damage::Shared => {
                let open = std::fs::Permissions::from_mode(0o622);
                std::fs::set_permissions(self.path(), open).expect("change its mode");
                "has mode 0622"
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("last-good")
    }
}
