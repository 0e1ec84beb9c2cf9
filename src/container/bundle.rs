//! A JSON file that an engine wrote and the real runtime will read: the bundle's `config.json`,
//! `exec`'s process file.
//!
//! It is edited as a tree, so that unknown fields survive. The runtime's reader (Go's
//! `encoding/json`) is laxer than ours: it matches keys in any case and merges duplicates. So keys
//! are checked (`spec::keys`).
//!
//! Invariant: a file whose bytes differ from our own reading of it is always written back.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::container::plan::Plan;
use crate::sys::file;

/// The most that is read of one file: 16 MiB, some 500 times what Docker writes.
const LIMIT: u64 = 16 << 20;

/// The plan's name in the bundle.
const PLAN: &str = "boundary.json";

/// A JSON file, read whole.
#[derive(Debug)]
pub struct JsonFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// What it says; edit it, then [`JsonFile::write`].
    pub value: Value,
}

/// What is wrong with such a file.
#[derive(Debug, thiserror::Error)]
pub enum JsonFileError {
    /// It can't be read.
    #[error("can't read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It is not JSON, or nested deeper than 128 levels.
    #[error("{} is not valid JSON", .0.display())]
    Parse(PathBuf, #[source] serde_json::Error),
    /// It can't be written.
    #[error("can't replace {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl JsonFile {
    /// Reads a file of at most 16 MiB. A link in its place is refused: we would replace the link,
    /// not the file.
    ///
    /// # Errors
    /// [`JsonFileError::Read`], [`JsonFileError::Parse`].
    pub fn read(path: PathBuf) -> Result<Self, JsonFileError> {
        let bytes = match file::read_regular(&path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => return Err(JsonFileError::Read(path, error)),
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self { path, bytes, value }),
            Err(error) => Err(JsonFileError::Parse(path, error)),
        }
    }

    /// Writes it back, mode and owner kept, unless the file says exactly that already.
    ///
    /// # Errors
    /// [`JsonFileError::Write`]; the file is then as it was.
    pub fn write(&self) -> Result<(), JsonFileError> {
        let failed = |error| JsonFileError::Write(self.path.clone(), error);
        let text = serde_json::to_vec(&self.value).map_err(|error| failed(error.into()))?;
        if text == self.bytes {
            return Ok(());
        }
        // The mode is that of a file which went away meanwhile: nobody else's business then.
        file::replace(&self.path, &text, 0o600).map_err(failed)
    }
}

/// An OCI bundle: the directory that holds `config.json`.
#[derive(Debug)]
pub struct Bundle {
    /// The directory, absolute.
    pub directory: PathBuf,
    /// Its `config.json`.
    pub config: JsonFile,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// As [`JsonFile::read`].
    pub fn read(directory: PathBuf) -> Result<Self, JsonFileError> {
        let config = JsonFile::read(directory.join("config.json"))?;
        Ok(Self { directory, config })
    }

    /// The plan that an earlier rewrite left, where there is one that can be read.
    #[must_use]
    pub fn earlier_plan(&self) -> Option<Plan> {
        read_plan(&self.directory).ok()
    }

    /// Writes the plan, then `config.json`, whose hook needs the plan. Where the second fails, the
    /// first goes again.
    ///
    /// # Errors
    /// [`JsonFileError::Write`]; `config.json` is then as it was.
    pub fn write(&self, plan: &Plan) -> Result<(), JsonFileError> {
        let path = plan_path(&self.directory);
        let text = serde_json::to_vec(plan).map_err(io::Error::from);
        let written = text.and_then(|text| file::replace(&path, &text, 0o600));
        written.map_err(|error| JsonFileError::Write(path.clone(), error))?;
        self.config.write().inspect_err(|_| {
            // The error that matters is the one being returned; a plan without its hook does
            // nothing.
            let _ = std::fs::remove_file(&path);
        })
    }
}

/// The plan of a bundle.
///
/// # Errors
/// As [`JsonFile::read`].
pub fn read_plan(bundle: &Path) -> Result<Plan, JsonFileError> {
    let path = plan_path(bundle);
    let bytes = file::read_regular(&path, LIMIT)
        .map_err(|error| JsonFileError::Read(path.clone(), error))?;
    serde_json::from_slice(&bytes).map_err(|error| JsonFileError::Parse(path, error))
}

/// Where a bundle's plan is.
#[must_use]
pub fn plan_path(bundle: &Path) -> PathBuf {
    bundle.join(PLAN)
}
