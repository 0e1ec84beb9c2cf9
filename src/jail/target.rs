//! The command that is jailed: its words, how it becomes a program, and how its end is told.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::trust;
use crate::sys::exec;
use crate::sys::reaper::ExitCode;

/// The exit code of a program that can't be executed.
const NOT_EXECUTABLE: ExitCode = 126;
/// The exit code where there is no such program.
const NOT_FOUND: ExitCode = 127;

/// The command. It has the environment, the directory and the standard streams of whoever starts it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    arguments: Vec<CString>,
    variables: Vec<CString>,
    /// A folder that is to be gone when it is.
    folder: Option<PathBuf>,
}

impl Target {
    /// This command.
    ///
    /// # Errors
    /// It has no word, or one with a zero in it.
    pub(crate) fn of(command: &[OsString]) -> anyhow::Result<Self> {
        ensure!(!command.is_empty(), "no command was given");
        let word = |word: &OsString| CString::new(word.clone().into_vec());
        let arguments = command.iter().map(word).collect::<Result<_, _>>();
        Ok(Self {
            arguments: arguments.context("a word of the command has a zero byte in it")?,
            variables: Vec::new(),
            folder: None,
        })
    }

    /// Has these variables, too, that name files in this folder, which is to be gone when it is.
    pub(super) fn with(self, variables: Vec<CString>, folder: &Path) -> Self {
        Self {
            variables,
            folder: Some(folder.to_owned()),
            ..self
        }
    }

    /// Removes what is to be gone when it is.
    pub(super) fn remove_folder(&self) {
        if let Some(folder) = &self.folder {
            trust::remove(folder);
        }
    }

    /// Becomes the program; gives why it can't.
    pub(super) fn become_it(&self) -> io::Error {
        exec::become_program(&self.arguments, &self.variables)
    }

    /// The program, for people.
    pub(super) fn program(&self) -> String {
        let program = self.arguments.first().map(|word| word.to_string_lossy());
        program.unwrap_or_default().into_owned()
    }
}

/// The exit code that tells why a program couldn't be executed, as shells have it.
pub(super) fn code_of(error: &io::Error) -> ExitCode {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_shells() {
        for (errno, code) in [
            (libc::ENOENT, 127),
            (libc::ENOTDIR, 127),
            (libc::EACCES, 126),
            (libc::ENOEXEC, 126),
            (libc::E2BIG, 126),
        ] {
            assert_eq!(
                code_of(&io::Error::from_raw_os_error(errno)),
                code,
                "{errno}"
            );
        }
    }

    #[test]
    fn a_command_has_words_without_zeroes() {
        assert!(Target::of(&[]).is_err());
        assert!(Target::of(&["a\0b".into()]).is_err());
        assert_eq!(
            Target::of(&["a".into(), "b".into()]).unwrap().program(),
            "a"
        );
    }
}
