//! The bundle's `config.json`, which an engine wrote and the real runtime will read: edited for as
//! long as the container lives, and then as it was.
//!
//! It is edited as a tree, so that unknown fields survive. The runtime's reader (Go's
//! `encoding/json`) is laxer than ours: it matches keys in any case and merges duplicates. So keys
//! are checked (`spec::keys`).
//!
//! Invariants: a file whose bytes differ from our own reading of it is always written back. What is
//! put back stands in the place of nothing but our own edit, byte for byte.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::container::plan::Plan;
use crate::sys::file;

/// The most that is read of one file: 16 MiB, some 500 times what Docker writes.
const LIMIT: u64 = 16 << 20;

/// The plan's name in the bundle.
const PLAN: &str = "boundary.json";

/// What the runtime reads, by its name in the bundle.
const CONFIG: &str = "config.json";

/// The name of that file as the engine wrote it.
pub const ORIGINAL: &str = "boundary-original.json";

/// A JSON file, read whole.
#[derive(Debug)]
pub struct JsonFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// What it says; edit it, then [`Bundle::write`].
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

    /// Writes another text in its place, mode and owner kept, unless the file says exactly that
    /// already.
    fn replace(&self, text: &[u8]) -> Result<(), JsonFileError> {
        if text == self.bytes {
            return Ok(());
        }
        // The mode is that of a file which went away meanwhile: nobody else's business then.
        file::replace(&self.path, text, 0o600)
            .map_err(|error| JsonFileError::Write(self.path.clone(), error))
    }
}

/// An OCI bundle: the directory that holds `config.json`.
#[derive(Debug)]
pub struct Bundle {
    /// The directory, absolute.
    pub directory: PathBuf,
    /// Its `config.json`.
    pub config: JsonFile,
    /// The hash of what stands there instead, where that is our edit of it.
    edit: Option<String>,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// As [`JsonFile::read`].
    pub fn read(directory: PathBuf) -> Result<Self, JsonFileError> {
        let config = JsonFile::read(directory.join(CONFIG))?;
        Ok(Self {
            directory,
            config,
            edit: None,
        })
    }

    /// Reads a bundle as its engine wrote it, also where an earlier edit of ours stands there still:
    /// whoever made that was killed, or its runtime refused the container before any hook. The file
    /// stays as it is: another call may be about to have it read.
    ///
    /// # Errors
    /// As [`JsonFile::read`].
    pub fn read_original(directory: PathBuf) -> Result<Self, JsonFileError> {
        let mut bundle = Self::read(directory)?;
        if let Some((original, _)) = original(&bundle.directory, &bundle.config.bytes)? {
            bundle.edit = Some(digest(&bundle.config.bytes));
            bundle.config.value = serde_json::from_slice(&original)
                .map_err(|error| JsonFileError::Parse(bundle.directory.join(ORIGINAL), error))?;
            bundle.config.bytes = original;
        }
        Ok(bundle)
    }

    /// The plan that an earlier rewrite left, where there is one that can be read.
    #[must_use]
    pub fn earlier_plan(&self) -> Option<Plan> {
        read_plan(&self.directory).ok()
    }

    /// Writes what `config.json` says now, with the plan, which its hook needs, and with what it
    /// said before, for [`restore`]. Where the last of these fails, the others go again.
    ///
    /// # Errors
    /// [`JsonFileError::Write`]; `config.json` is then as it was.
    pub fn write(&self, plan: &Plan) -> Result<(), JsonFileError> {
        let json = |text: serde_json::Result<Vec<u8>>| {
            text.map_err(|error| JsonFileError::Write(self.config.path.clone(), error.into()))
        };
        let config = json(serde_json::to_vec(&self.config.value))?;
        let config_sha256 = digest(&config);
        let earlier_sha256 = self.edit.as_deref().filter(|edit| *edit != config_sha256);
        let plan = json(serde_json::to_vec(&Written {
            plan,
            config_sha256: &config_sha256,
            earlier_sha256,
        }))?;
        for (name, text) in [(ORIGINAL, &self.config.bytes), (PLAN, &plan)] {
            let path = self.directory.join(name);
            file::replace(&path, text, 0o600).map_err(|error| JsonFileError::Write(path, error))?;
        }
        if self.edit.is_some() {
            let path = &self.config.path;
            return file::replace(path, &config, 0o600)
                .map_err(|error| JsonFileError::Write(path.clone(), error));
        }
        // The error that matters is the one being returned; what is left does nothing.
        self.config.replace(&config).inspect_err(|_| {
            let _ = clear(&self.directory);
        })
    }
}

/// A plan as it is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    config_sha256: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier_sha256: Option<&'a str>,
}

/// What of that tells whose edit a `config.json` is.
#[derive(Deserialize)]
struct Edit {
    container: String,
    /// The hash of the file after the edit. Plans of an earlier version don't say.
    #[serde(default)]
    config_sha256: String,
    /// The hash of the edit before that, which stands there until the file is replaced.
    earlier_sha256: Option<String>,
}

/// Puts a bundle's `config.json` back as it was before it was edited, and removes what we wrote
/// beside it. It stays where it isn't our edit any more, where that was for another container than
/// this one, and where there is nothing to put back.
///
/// # Errors
/// As [`JsonFile::read`], and [`JsonFileError::Write`]; the file is then as it was.
pub fn restore(directory: &Path, container: &str) -> Result<(), JsonFileError> {
    let Some(current) = read(directory, CONFIG)? else {
        return Ok(());
    };
    let original = original(directory, &current)?;
    let Some((original, _)) = original.filter(|(_, whose)| whose == container) else {
        return Ok(());
    };
    let config = directory.join(CONFIG);
    file::replace(&config, &original, 0o600)
        .map_err(|error| JsonFileError::Write(config, error))?;
    clear(directory)
}

/// What was there before `current`, and the container that it was edited for, where `current` is our
/// edit.
fn original(directory: &Path, current: &[u8]) -> Result<Option<(Vec<u8>, String)>, JsonFileError> {
    let (Some(plan), Some(original)) = (read(directory, PLAN)?, read(directory, ORIGINAL)?) else {
        return Ok(None);
    };
    // A plan that can't be read is no edit of this version's.
    let Ok(edit) = serde_json::from_slice::<Edit>(&plan) else {
        return Ok(None);
    };
    let current = digest(current);
    let ours = current == edit.config_sha256 || edit.earlier_sha256 == Some(current);
    Ok(ours.then_some((original, edit.container)))
}

/// A file of the bundle, if it is there.
fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, JsonFileError> {
    let path = directory.join(name);
    match file::read_regular(&path, LIMIT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JsonFileError::Read(path, error)),
    }
}

/// Removes what we wrote beside `config.json`: the plan first, without which the rest says nothing.
fn clear(directory: &Path) -> Result<(), JsonFileError> {
    for name in [PLAN, ORIGINAL] {
        let path = directory.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JsonFileError::Write(path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The SHA-256 of a file's text, in hexadecimal.
fn digest(text: &[u8]) -> String {
    let hash = Sha256::digest(text);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
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
