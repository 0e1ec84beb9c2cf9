//! Where the files are that a policy can include: other policies, what the administrator keeps in
//! `presets.d`, and the presets of this program, in that order.

use std::io;
use std::path::{Path, PathBuf};

use super::values::Settings;
use crate::policy::text::Found;
use crate::policy::{PolicyName, preset};

/// Folders, and a way to read files in them.
#[derive(Debug, Clone)]
pub struct Shelves<Read> {
    policies: PathBuf,
    presets: PathBuf,
    read: Read,
}

impl<Read: Fn(&Path) -> io::Result<Option<String>>> Shelves<Read> {
    /// The host's.
    pub fn of_host(settings: &Settings, read: Read) -> Self {
        Self {
            policies: settings.policies.clone(),
            presets: settings.presets.clone(),
            read,
        }
    }

    /// Those that a policy file has where it lies: its own folder, and the presets beside that.
    pub fn beside(file: &Path, read: Read) -> Self {
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        Self {
            policies: folder.to_owned(),
            presets: folder.join("../presets.d"),
            read,
        }
    }

    /// The file that a policy includes by this name; none where there is none.
    ///
    /// # Errors
    /// Why one can't be read, in words.
    pub fn find(&self, name: &PolicyName) -> Result<Option<Found>, String> {
        for (folder, shown) in [(&self.policies, ""), (&self.presets, "presets.d/")] {
            let file = name.file(folder);
            if let Some(content) = (self.read)(&file).map_err(|error| error.to_string())? {
                return Ok(Some(Found {
                    origin: file.display().to_string(),
                    name: format!("{shown}{name}.yaml"),
                    content: content.into(),
                }));
            }
        }
        let ours = preset(name.as_str());
        Ok(ours.map(|content| Found {
            origin: format!("preset {name}"),
            name: format!("preset {name}"),
            content: content.into(),
        }))
    }
}
