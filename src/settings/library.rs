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
        let [policy, preset_file, preset_of_ours] = shown(name.as_str());
        for (folder, shown) in [(&self.policies, policy), (&self.presets, preset_file)] {
            let file = name.file(folder);
            if let Some(content) = (self.read)(&file).map_err(|error| error.to_string())? {
                return Ok(Some(Found {
                    origin: file.display().to_string(),
                    name: shown,
                    content: content.into(),
                }));
            }
        }
        let ours = preset(name.as_str());
        Ok(ours.map(|content| Found {
            origin: preset_of_ours.clone(),
            name: preset_of_ours,
            content: content.into(),
        }))
    }
}

/// What people are told of the files of one name, in the order in which they are looked for.
fn shown(name: &str) -> [String; 3] {
    [
        format!("{name}.yaml"),
        format!("presets.d/{name}.yaml"),
        format!("preset {name}"),
    ]
}

/// Those that are found where this one, told of so, isn't there any more.
pub fn behind(file: &str) -> Vec<String> {
    let bare = file.strip_prefix("presets.d/").unwrap_or(file);
    let names = shown(bare.strip_suffix(".yaml").unwrap_or(bare)).into_iter();
    names.skip_while(|name| name != file).skip(1).collect()
}
