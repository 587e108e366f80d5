//! The log file, which follows its name when it is rotated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::LogError;

/// Who may read the file, before the umask.
const MODE: u32 = 0o644;

/// The log file.
#[derive(Debug)]
pub(super) struct LogFile<F = File> {
    path: PathBuf,
    file: F,
    /// The second in which the name was last compared with the file.
    checked: i64,
    /// Whether the last line may be there in part.
    torn: bool,
    lost: u64,
}

impl LogFile {
    /// Opens the file for appending, with its directory.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|source| LogError::CreateDirectory {
                path: directory.into(),
                source,
            })?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)
            .map_err(|source| LogError::OpenFile {
                path: path.into(),
                source,
            })?;
        Ok(Self::new(path, file))
    }

    /// Opens the name again if it leads to another file, or to none, than the one that is open.
    ///
    /// Looks at most once in each `second`. While the name cannot be opened the old file goes on.
    pub(super) fn follow(&mut self, second: i64) {
        if self.checked == second {
            return;
        }
        self.checked = second;
        if self.is_rotated().unwrap_or(true)
            && let Ok(fresh) = Self::open(&self.path)
        {
            *self = Self {
                checked: second,
                lost: self.lost,
                ..fresh
            };
        }
    }

    fn is_rotated(&self) -> io::Result<bool> {
        let (open, named) = (self.file.metadata()?, fs::metadata(&self.path)?);
        Ok((open.dev(), open.ino()) != (named.dev(), named.ino()))
    }
}

impl<F: Write> LogFile<F> {
    fn new(path: &Path, file: F) -> Self {
        Self {
            path: path.into(),
            file,
            checked: i64::MIN,
            torn: false,
            lost: 0,
        }
    }

    /// Writes a line; one that cannot be written is lost, and counted.
    pub(super) fn write(&mut self, line: &str) {
        let result = if self.torn {
            self.file.write_all(b"\n")
        } else {
            Ok(())
        };
        if result
            .and_then(|()| self.file.write_all(line.as_bytes()))
            .is_err()
        {
            self.torn = true;
            self.lost += 1;
        } else {
            self.torn = false;
        }
    }

    /// Returns how many lines were lost, once it can be written to again.
    pub(super) fn take_lost(&mut self) -> u64 {
        if self.torn {
            0
        } else {
            std::mem::take(&mut self.lost)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).expect("a readable file")
    }

    #[test]
    fn the_file_and_its_directory_are_made_and_appended_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/b/felix.log");
        LogFile::open(&path).expect("a file").write("one\n");
        LogFile::open(&path).expect("a file").write("two\n");
        assert_eq!(read(&path), "one\ntwo\n");
        let mode = fs::metadata(&path).expect("metadata").mode();
        assert_eq!(mode & 0o133, 0, "{mode:o}");
    }

    #[test]
    fn what_cannot_be_opened_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = LogFile::open(directory.path()).expect_err("a directory is no file");
        assert!(matches!(error, LogError::OpenFile { path, .. } if path == directory.path()));
        let file = directory.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = LogFile::open(&file.join("x/felix.log")).expect_err("a file is no directory");
        assert!(matches!(error, LogError::CreateDirectory { path, .. } if path == file.join("x")));
    }

    #[test]
    fn a_file_that_was_renamed_or_removed_is_opened_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, rotated) = (
            directory.path().join("log/l"),
            directory.path().join("log/l.1"),
        );
        let mut file = LogFile::open(&path).expect("a file");
        file.follow(1);
        file.write("one\n");
        fs::rename(&path, &rotated).expect("a rename");
        file.follow(1);
        file.write("two\n");
        file.follow(2);
        file.write("three\n");
        assert_eq!(
            (read(&rotated).as_str(), read(&path).as_str()),
            ("one\ntwo\n", "three\n")
        );
        fs::remove_dir_all(directory.path().join("log")).expect("a removal");
        file.follow(3);
        file.write("four\n");
        assert_eq!(read(&path), "four\n");
    }

    #[test]
    fn the_old_file_goes_on_while_the_name_cannot_be_opened() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, rotated) = (directory.path().join("l"), directory.path().join("l.1"));
        let mut file = LogFile::open(&path).expect("a file");
        fs::rename(&path, &rotated).expect("a rename");
        fs::create_dir(&path).expect("a directory in the way");
        file.follow(1);
        file.write("one\n");
        assert_eq!(read(&rotated), "one\n");
        fs::remove_dir(&path).expect("a removal");
        file.follow(2);
        file.write("two\n");
        assert_eq!(read(&path), "two\n");
    }

    /// Takes so many bytes and then no more, until given room.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_and_never_joins_two() {
        let mut file = LogFile::new(
            Path::new("l"),
            Disk {
                written: Vec::new(),
                room: 6,
            },
        );
        file.write("one\n");
        file.write("two\n");
        file.write("three\n");
        assert_eq!(file.take_lost(), 0);
        file.file.room = 100;
        file.write("four\n");
        assert_eq!((file.take_lost(), file.take_lost()), (2, 0));
        assert_eq!(file.file.written, b"one\ntw\nfour\n");
    }
}
