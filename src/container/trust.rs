//! The files that a container gets from us so that it trusts its gateway: where they are on the host,
//! made by `create`, given the gateway's certificate once there is one, removed with the container's
//! state.
//!
//! They are on a disk, not in `/run`: a container may write to some, and could fill that.
//! Invariant: no user of the host reaches a file here that a container writes: it could be a program
//! with set-user-ID. Whoever is root in a container's user namespace gets through, for its mounts.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::plan::{StoreFormat, TrustPlan};
use super::state::{self, LISTING_LIMIT, ProcessId};
use crate::certificates::{self, jks};
use crate::sys::file;

/// Where they live. Root's, mode 0711.
pub const DIRECTORY: &str = "/var/lib/boundary/trust";

/// In a container's directory: the folder that is mounted in it.
const FOLDER: &str = "files";
/// In that folder: the certificate of the gateway's authority, alone.
pub const AUTHORITY: &str = "authority.pem";
/// In a container's directory: the process that made it.
const MAKER: &str = "maker.json";
/// How a directory's name ends before its maker stands in it, behind that process's number.
const NOT_YET: &str = ".making";
/// The alias of the gateway's certificate in Java's stores.
const ALIAS: &str = "boundary:authority";
/// The most that is read of a store, here and wherever its content comes from.
pub const STORE_LIMIT: u64 = 10 << 20;
/// The most that is read of [`MAKER`].
const MAKER_LIMIT: u64 = 1024;

/// The user and group of the host's that a file is given to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// One container's files, while they are made.
#[derive(Debug)]
pub struct TrustFiles(PathBuf);

impl TrustFiles {
    /// Makes an empty directory for the files of the container with this state directory. `root`:
    /// who is root in it, for whom alone its mounts have to get through.
    ///
    /// # Errors
    /// What making gives.
    pub fn create(state: &Path, root: Owner) -> io::Result<Self> {
        let path = directory(state)?;
        remove(state)?;
        make_folder(Path::new(DIRECTORY), 0o711)?;
        let made = Path::new(DIRECTORY).join(format!("{}{NOT_YET}", std::process::id()));
        remove_all(&made)?;
        make_folder(&made, 0o710)?;
        let maker = ProcessId::of(std::process::id().cast_signed())?;
        file::replace(&made.join(MAKER), &serde_json::to_vec(&maker)?, 0o600)?;
        chown(&made, None, Some(root.group))?;
        make_folder(&made.join(FOLDER), 0o755)?;
        std::fs::rename(&made, &path)?;
        Ok(Self(path))
    }

    /// The folder that is mounted.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.0.join(FOLDER)
    }

    /// Writes a file into the folder that is mounted: everybody's to read, nobody's to write.
    ///
    /// # Errors
    /// What writing gives.
    pub fn give(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        Self::write(&self.folder().join(name), content, 0o644, Owner::default())
    }

    /// Writes a file that is mounted by itself, and that its owner may write to.
    ///
    /// # Errors
    /// What writing gives.
    pub fn lend(&self, name: &str, content: &[u8], mode: u32, owner: Owner) -> io::Result<PathBuf> {
        Self::write(&self.0.join(name), content, mode, owner)
    }

    fn write(path: &Path, content: &[u8], mode: u32, owner: Owner) -> io::Result<PathBuf> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)?;
        fchown(&file, Some(owner.user), Some(owner.group))?;
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(path.to_owned())
    }
}

/// Where the files of the container with this state directory are, if it has any.
///
/// # Errors
/// `InvalidInput` for a path that is not a state directory.
pub fn directory(state: &Path) -> io::Result<PathBuf> {
    let name = state.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Path::new(DIRECTORY).join(name))
}

/// What the gateway of a pod needs, which gets no container's stores, but one with nothing else in it:
/// each container's hook puts that into the container's own. `state`: the pod's.
///
/// # Errors
/// What making it gives.
pub fn for_pod(state: &Path, plan: &TrustPlan) -> io::Result<TrustPlan> {
    let files = TrustFiles::create(state, Owner::default())?;
    Ok(TrustPlan {
        roots: plan.roots.clone(),
        stores: vec![(files.give(AUTHORITY, b"")?, StoreFormat::Pem)],
        variables: Vec::new(),
    })
}

/// Has the stores of a container hold the certificate of another's gateway, where that has one; `state`
/// is that one's.
///
/// # Errors
/// As [`publish`].
pub fn share(state: &Path, plan: &TrustPlan) -> io::Result<()> {
    let Some(authority) = authority(state)? else {
        return Ok(());
    };
    let publish =
        |(path, format): &(PathBuf, StoreFormat)| publish(&open(path)?, *format, &authority);
    plan.stores.iter().try_for_each(publish)
}

/// Removes the files of the container with this state directory; none is fine. What is mounted of
/// them stays there.
///
/// # Errors
/// What removing gives.
pub fn remove(state: &Path) -> io::Result<()> {
    remove_all(&directory(state)?)
}

/// Removes what was made for containers that never came to be: nothing is known of them, and their
/// maker is gone. (That becomes the real runtime, and is there until the container is.)
pub fn sweep() {
    let entries = std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    for path in paths.take(LISTING_LIMIT).filter(|path| is_left(path)) {
        // The next sweep finds what stays.
        let _ = remove_all(&path);
    }
}

fn is_left(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    if let Some(maker) = name.to_str().and_then(|name| name.strip_suffix(NOT_YET)) {
        return !Path::new("/proc").join(maker).exists();
    }
    let maker = file::read_regular(&path.join(MAKER), MAKER_LIMIT).ok();
    let maker = maker.and_then(|text| serde_json::from_slice::<ProcessId>(&text).ok());
    // The maker first: while it is there, the record may still come.
    !maker.is_some_and(ProcessId::alive) && !Path::new(state::DIRECTORY).join(name).exists()
}

/// The certificate of the authority whose gateway has this state directory; none where it has none.
///
/// # Errors
/// What reading gives.
fn authority(state: &Path) -> io::Result<Option<CertificateDer<'static>>> {
    let path = directory(state)?.join(FOLDER).join(AUTHORITY);
    match file::read_regular(&path, STORE_LIMIT) {
        Ok(text) => Ok(certificates::from_pem(&text).into_iter().next()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a store for [`publish`].
///
/// # Errors
/// What opening gives.
pub fn open(store: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(store)
}

/// Has a store hold this certificate, too. It keeps its inode: that is what is mounted.
///
/// # Errors
/// What reading and writing give; `InvalidData` for what is not such a store.
pub fn publish(
    mut store: &File,
    format: StoreFormat,
    authority: &CertificateDer<'static>,
) -> io::Result<()> {
    let mut held = Vec::new();
    store.seek(SeekFrom::Start(0))?;
    store.take(STORE_LIMIT).read_to_end(&mut held)?;
    let Some(content) = with(held, format, authority).ok_or(io::ErrorKind::InvalidData)? else {
        return Ok(());
    };
    store.seek(SeekFrom::Start(0))?;
    store.write_all(&content)?;
    store.set_len(content.len() as u64)
}

/// What a store holds with one certificate more; nothing where that is in it already. None where it
/// is not such a store.
fn with(
    held: Vec<u8>,
    format: StoreFormat,
    authority: &CertificateDer<'static>,
) -> Option<Option<Vec<u8>>> {
    match format {
        StoreFormat::Pem => {
            let is_there = certificates::from_pem(&held).contains(authority);
            let added = certificates::to_pem(std::slice::from_ref(authority));
            Some((!is_there).then(|| [held, added.into_bytes()].concat()))
        }
        StoreFormat::Jks => {
            let mut entries = jks::read(&held)?;
            let is_there = entries.iter().any(|entry| entry.certificate == *authority);
            entries.push(jks::Entry {
                alias: ALIAS.to_owned(),
                created: 0,
                certificate: authority.clone(),
            });
            Some((!is_there).then(|| jks::write(&entries)))
        }
    }
}

/// Makes a folder, with those above it; one that is there is fine. The mode holds whatever the
/// caller's mask.
fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).recursive(true).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

fn remove_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
