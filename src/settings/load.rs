//! Reads the configuration file, and other files that must be the administrator's own.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::parse::parse;
use super::values::{DEFAULT_FILE, Settings};
use crate::policy::PolicyName;
use crate::policy::text::{MAX_FILE, Mistake};

/// The most policy files that are looked at.
const MOST_POLICIES: usize = 1000;
/// The most layers that may bound policies.
pub const MOST_LAYERS: usize = 64;

/// Reads the settings: from `path`, which must then exist, or from [`DEFAULT_FILE`], whose absence
/// means defaults.
///
/// # Errors
/// Every mistake in the file; or, as one, why the file can't be read or trusted, or which layers there are
/// isn't to be found out.
pub fn load(path: Option<&Path>) -> Result<Settings, Vec<Mistake>> {
    let named = path.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let origin = named.display().to_string();
    let failed = |message: String| {
        Err(vec![Mistake {
            origin: origin.clone(),
            line: None,
            key: String::new(),
            message,
        }])
    };
    // It may be read again, from another directory.
    let file = match std::path::absolute(named) {
        Ok(file) => file,
        Err(error) => return failed(error.to_string()),
    };
    let settings = match read_trusted(&file) {
        Ok(Some(content)) => parse(&origin, &content)?,
        Ok(None) if path.is_none() => Settings::default(),
        Ok(None) => return failed("does not exist".to_owned()),
        Err(error) => return failed(error.to_string()),
    };
    let settings = Settings {
        policies: file.with_file_name("policies"),
        presets: file.with_file_name("presets.d"),
        file,
        ..settings
    };
    let layers = layer_files(&settings.layers_directory())?;
    Ok(Settings { layers, ..settings })
}

/// The layers' files in their directory, in order. A name that looks like a layer's and can't be one is a
/// mistake: its author believes that it narrows something.
fn layer_files(directory: &Path) -> Result<Vec<PathBuf>, Vec<Mistake>> {
    let wrong = |path: &Path, message: String| {
        vec![Mistake {
            origin: path.display().to_string(),
            line: None,
            key: String::new(),
            message,
        }]
    };
    let unreadable = |error: io::Error| wrong(directory, error.to_string());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = name.starts_with('.');
        match name.strip_suffix(".yaml").map(PolicyName::parse) {
            _ if hidden => {}
            Some(Ok(_)) => files.push(path),
            Some(Err(why)) => return Err(wrong(&path, why)),
            None if name.ends_with(".yml") => {
                return Err(wrong(&path, "a layer's name ends in .yaml".to_owned()));
            }
            None => {}
        }
        if files.len() > MOST_LAYERS {
            return Err(wrong(directory, format!("more than {MOST_LAYERS} layers")));
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file that decides what containers may do: the configuration, or a policy. `None` where
/// there is none.
///
/// # Errors
/// What opening and reading give; and where it is no regular file, is longer than [`MAX_FILE`],
/// isn't UTF-8, or could have been written by someone other than root and (without root, for one's
/// own jail) oneself.
pub fn read_trusted(path: &Path) -> io::Result<Option<String>> {
    // Without O_NONBLOCK a FIFO in its place would keep us waiting for ever.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if meta.uid() != 0 && meta.uid() != geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "owned by user {}, not by root",
            meta.uid()
        )));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "writable by others (mode {:04o})",
            meta.mode() & 0o7777
        )));
    }
    let mut content = String::new();
    file.take(MAX_FILE as u64 + 1)
        .read_to_string(&mut content)?;
    if content.len() > MAX_FILE {
        return Err(io::Error::other(format!("longer than {MAX_FILE} bytes")));
    }
    Ok(Some(content))
}

/// The policies' files in a directory, in order, at most a thousand; those whose names no
/// policy can have are left out.
#[must_use]
pub fn policy_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let is_policy = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        path.extension().is_some_and(|end| end == "yaml")
            && stem.is_some_and(|stem| PolicyName::parse(stem).is_ok())
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(is_policy)
        .take(MOST_POLICIES)
        .collect();
    files.sort();
    files
}
