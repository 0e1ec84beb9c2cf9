//! An image's own trust stores, as its container would find them: in its root, or in what is mounted
//! there.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use crate::certificates::{self, der, jks};
use crate::container::trust::STORE_LIMIT;
use crate::escape::{MAX_PATH_SHOWN, clean};
use crate::spec::Spec;
use crate::spec::user_namespace::binds::is_bind;
use crate::sys::rooted::{Found, Root};

/// Where Javas are: in a folder of one of these.
const JAVA_PLACES: [&str; 6] = [
    "/usr/lib/jvm",
    "/usr/java",
    "/usr/local",
    "/opt",
    "/opt/java",
    "/root/.sdkman/candidates/java",
];
/// What a Java trusts, from its folder on: since Java 9, and before in a JDK.
const STORES: [&str; 2] = ["lib/security/cacerts", "jre/lib/security/cacerts"];
/// Folders looked at in each place, and stores that are covered in all.
const MOST_FOLDERS: usize = 128;
const MOST_STORES: usize = 16;
/// Files that are read as such, those that several links lead to as often as they do.
const MOST_READ: usize = 64;
/// How the stores begin that some Java reads: its own two, and PKCS #12.
const BEGINS: [&[u8]; 3] = [&[0xfe, 0xed, 0xfe, 0xed], &[0xce; 4], &[0x30]];
/// Where Fedora's `update-ca-trust` renames files over what was there, which a mount wouldn't let it.
const RENAMED_OVER: &str = "/etc/pki/ca-trust/extracted";
/// Where nothing is the image's, or nothing may be mounted.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// An image in the root of its container.
#[derive(Debug)]
pub(super) struct Image {
    root: Root,
    mounts: Vec<Mounted>,
    /// What could not be read, for people.
    pub(super) notices: Vec<String>,
}

/// What covers a path in there.
#[derive(Debug)]
struct Mounted {
    destination: PathBuf,
    /// None where it isn't of the host's files.
    source: Option<PathBuf>,
}

/// The roots of a Java.
#[derive(Debug)]
pub(super) struct JavaStore {
    /// Where, free of links.
    pub(super) path: PathBuf,
    pub(super) entries: Vec<jks::Entry>,
    pub(super) mode: u32,
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Image {
    pub(super) fn open(spec: &Spec, bundle: &Path) -> anyhow::Result<Self> {
        let text = |value: &Value, key: &str| value.get(key)?.as_str().map(PathBuf::from);
        let root = spec.get("root").and_then(|root| text(root, "path"));
        let root = bundle.join(root.unwrap_or_else(|| "rootfs".into()));
        let listed = spec.get("mounts").and_then(Value::as_array);
        let mounted = |mount: &Value| {
            Some(Mounted {
                destination: text(mount, "destination")?,
                source: is_bind(mount)
                    .then(|| text(mount, "source"))
                    .flatten()
                    .map(|source| bundle.join(source)),
            })
        };
        Ok(Self {
            root: Root::at(&root)
                .with_context(|| format!("can't open the container's root {}", root.display()))?,
            mounts: listed.into_iter().flatten().filter_map(mounted).collect(),
            notices: Vec::new(),
        })
    }

    /// This host, as if it were one.
    pub(super) fn of_host() -> io::Result<Self> {
        Ok(Self {
            root: Root::at(Path::new("/"))?,
            mounts: Vec::new(),
            notices: Vec::new(),
        })
    }

    /// The roots in a list; what can't be read is noted.
    pub(super) fn certificates(&mut self, path: &str) -> Vec<CertificateDer<'static>> {
        match self.find(Path::new(path), STORE_LIMIT) {
            Ok(found) => certificates::from_pem(&found.bytes),
            Err(error) => {
                self.note(Path::new(path), &error);
                Vec::new()
            }
        }
    }

    /// Those of these lists that are in the image's own root, each once, free of links.
    pub(super) fn lists(&self, paths: &[&str]) -> Vec<PathBuf> {
        let found = paths.iter().filter_map(|path| {
            let found = self.find(Path::new(path), STORE_LIMIT).ok()?;
            Some(found.path).filter(|path| self.covering(path).is_none())
        });
        found.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The content of a file of the image's own that everybody in it may read; of none that a link leads
    /// to, or that is mounted: the one who reads it in the container may be somebody who can't read that.
    pub(super) fn read(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let found = self.root.read(Path::new(path), limit).ok()?;
        let is_its_own = found.path == Path::new(path) && self.covering(&found.path).is_none();
        (is_its_own && found.meta.mode() & 0o004 != 0).then_some(found.bytes)
    }

    /// What its Javas trust. `home`: where one is, besides the usual places.
    pub(super) fn java(&mut self, home: Option<&Path>) -> Vec<JavaStore> {
        let mut homes: Vec<PathBuf> = home.map(Path::to_owned).into_iter().collect();
        for place in JAVA_PLACES {
            let names = self.root.list(Path::new(place), MOST_FOLDERS);
            let folders = names.into_iter().flatten();
            homes.extend(folders.map(|name| Path::new(place).join(name)));
        }
        let mut stores: Vec<JavaStore> = Vec::new();
        let mut read = 0;
        for path in homes
            .iter()
            .flat_map(|home| STORES.map(|store| home.join(store)))
        {
            if stores.len() == MOST_STORES || read == MOST_READ {
                break;
            }
            match self.find(&path, STORE_LIMIT) {
                Err(error) if is_absence(&error) => {}
                Err(error) => {
                    read += 1;
                    self.note(&path, &error);
                }
                Ok(found) => {
                    read += 1;
                    if stores.iter().all(|store| store.path != found.path) {
                        stores.extend(self.java_store(found));
                    }
                }
            }
        }
        stores
    }

    fn java_store(&mut self, store: Found) -> Option<JavaStore> {
        // A link may lead to anything, and what is no store isn't to be covered by one.
        if !BEGINS.iter().any(|begin| store.bytes.starts_with(begin)) {
            let path = shown(&store.path);
            self.say(format!("the image's {path} is no store of Java's"));
            return None;
        }
        if KERNELS
            .iter()
            .any(|kernels| store.path.starts_with(kernels))
        {
            return None;
        }
        if store.path.starts_with(RENAMED_OVER) {
            self.notices.push(format!(
                "Java in the image doesn't trust the gateway, as its store {} is one that the system replaces",
                shown(&store.path)
            ));
            return None;
        }
        let without_password = || {
            let roots = der::roots_within(&store.bytes).into_iter().enumerate();
            let entry = |(number, certificate)| jks::Entry {
                alias: format!("image:{number}"),
                created: 0,
                certificate,
            };
            roots.map(entry).collect()
        };
        Some(JavaStore {
            entries: jks::read(&store.bytes).unwrap_or_else(without_password),
            path: store.path,
            // Whoever may write to it may do so still; set-user-ID means nothing here.
            mode: store.meta.mode() & 0o666 | 0o444,
            user: store.meta.uid(),
            group: store.meta.gid(),
        })
    }

    /// Finds a file where its container would: what a mount covers is there.
    fn find(&self, path: &Path, limit: u64) -> io::Result<Found> {
        if self.covering(path).is_some() {
            return self.find_mounted(path, limit);
        }
        let found = self.root.read(path, limit)?;
        // A link may have led to where a mount is.
        match self.covering(&found.path) {
            Some(_) => self.find_mounted(&found.path.clone(), limit),
            None => Ok(found),
        }
    }

    fn find_mounted(&self, path: &Path, limit: u64) -> io::Result<Found> {
        let mount = self.covering(path).ok_or(io::ErrorKind::NotFound)?;
        let source = mount.source.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let below = path
            .strip_prefix(&mount.destination)
            .map_err(io::Error::other)?;
        let found = Root::at(source)?.read(below, limit)?;
        let within = found.path.strip_prefix("/").map(Path::to_owned);
        let within = within.map_err(io::Error::other)?;
        let path = if within == Path::new("") {
            mount.destination.clone()
        } else {
            mount.destination.join(within)
        };
        Ok(Found { path, ..found })
    }

    /// What is mounted where a path is: the last of those, which covers the others.
    fn covering(&self, path: &Path) -> Option<&Mounted> {
        self.mounts
            .iter()
            .rfind(|mount| path.starts_with(&mount.destination))
    }

    /// Says it once: several links may lead to one file.
    fn say(&mut self, notice: String) {
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    fn note(&mut self, path: &Path, error: &io::Error) {
        if !is_absence(error) {
            let path = shown(path);
            self.notices
                .push(format!("the image's {path} is not read for roots: {error}"));
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
}

/// A path, for people to read: it may hold anything.
fn shown(path: &Path) -> String {
    clean(&path.to_string_lossy(), MAX_PATH_SHOWN)
}
