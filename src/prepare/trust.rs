//! Has a container whose TLS may be intercepted trust its gateway: reads the roots of its image and of
//! the host, merges them into files of our own, and has them mounted.
//!
//! Invariant: an image is anybody's. It is read as [`Root`] does, and of what it holds only what parses
//! as a certificate goes on; what can't be read is left out, and said.

mod image;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustls::pki_types::CertificateDer;

use self::image::{Image, JavaStore};
use super::namespaces;
use crate::certificates::{self, jks};
use crate::container::bundle::Bundle;
use crate::container::plan::{GatewayOwner, StoreFormat, TrustPlan};
use crate::container::trust::{Owner, STORE_LIMIT, TrustFiles};
use crate::policy::{Policy, PolicySource, text};
use crate::settings::{self, Settings};
use crate::spec::trust::{self, AUTHORITY, TrustMount};
use crate::spec::{Spec, network};
use crate::sys::rooted::Root;

/// Where systems have their roots in one file: Debian and Alpine, Fedora, openSUSE, others. (Go looks
/// there, too.)
const LISTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-bundle.crt",
];

/// The most that is read of an image's `/etc/wgetrc`.
const WGETRC_LIMIT: u64 = 64 << 10;

/// What a container gets, and what is to be said of it.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// What its gateway needs; none where nothing can be intercepted.
    pub(crate) plan: Option<TrustPlan>,
    /// What of its image could not be read.
    pub(crate) notices: Vec<String>,
}

/// Whether a container's gateway can intercept TLS: by the policy that it will have, or, where it is
/// another's, has.
///
/// # Errors
/// The policy has mistakes, or that gateway can't be found out.
pub(crate) fn is_needed(
    gateway: GatewayOwner,
    spec: &Spec,
    policy: &PolicySource,
) -> anyhow::Result<bool> {
    match (gateway, network::path(spec)?) {
        (GatewayOwner::Joined, Some(path)) => {
            Ok(namespaces::gateway(&path)?.is_some_and(|owner| owner.plan.trust.is_some()))
        }
        _ => may_intercept(policy),
    }
}

/// Has the container trust its gateway. `jails_mount`: it may nest jails with mounts of their own.
///
/// # Errors
/// There are no roots to verify servers with, `extra-ca` names something else, or files can't be made.
pub(crate) fn provide(
    settings: &Settings,
    spec: &mut Spec,
    bundle: &Bundle,
    state: &Path,
    jails_mount: bool,
) -> anyhow::Result<Trust> {
    let (roots, hosts) = servers(settings)?;
    let mut image = Image::open(spec, &bundle.directory)?;
    let lists = LISTS.iter().map(|list| image.certificates(list));
    let own: Vec<_> = lists.chain([hosts]).collect();
    let all = certificates::union(own);
    let (user, group) = trust::root(spec);
    let root = Owner { user, group };
    let files = TrustFiles::create(state, root)
        .context("can't make the files by which it trusts its gateway")?;
    let given = Given {
        files: &files,
        image: &mut image,
        all: &all,
        root,
    };
    let made = given.make(spec, jails_mount);
    // Nobody knows of them then.
    let (stores, variables) = made.inspect_err(|_| drop(crate::container::trust::remove(state)))?;
    let plan = TrustPlan {
        roots,
        stores,
        variables,
    };
    Ok(Trust {
        plan: Some(plan),
        notices: image.notices,
    })
}

/// Refuses a container to which nothing can be given any more, if its policy can have TLS intercepted.
///
/// # Errors
/// That it can.
pub(crate) fn refuse_if_needed(policy: &PolicySource) -> anyhow::Result<()> {
    ensure!(
        !may_intercept(policy)?,
        "policy {} has rules for requests within TLS (method, path), for which the container has to trust its gateway: a hook can't \
         give it the certificate; run it with boundary-shim as its runtime",
        policy.name
    );
    Ok(())
}

fn may_intercept(policy: &PolicySource) -> anyhow::Result<bool> {
    let compiled = Policy::compile(policy)
        .map_err(|all| text::all_of(&all).context(format!("policy {}", policy.name)))?;
    Ok(compiled.may_intercept())
}

/// The roots that this host verifies servers with.
///
/// # Errors
/// There are none.
pub(crate) fn host_roots() -> anyhow::Result<Vec<CertificateDer<'static>>> {
    servers(&Settings::default()).map(|(_, roots)| roots)
}

/// What this host's Javas trust. `home`: where one is, besides the usual places.
pub(crate) fn host_java_roots(home: Option<&Path>) -> Vec<CertificateDer<'static>> {
    let stores = Image::of_host().map(|mut host| host.java(home));
    let entries = stores.into_iter().flatten().flat_map(|store| store.entries);
    entries.map(|entry| entry.certificate).collect()
}

/// The settings by which programs that know no variable for roots trust a gateway whose files are in
/// this place, each with its name; for programs of this host.
pub(crate) fn settings_of(place: &Path) -> [(&'static str, Vec<u8>); 2] {
    let own =
        Root::at(Path::new("/")).and_then(|root| root.read("/etc/wgetrc".as_ref(), WGETRC_LIMIT));
    let own = own.map(|found| found.bytes).unwrap_or_default();
    [
        (trust::WGETRC, trusting_wgetrc(own, place)),
        (trust::APT, apt(place).into_bytes()),
    ]
}

/// The files with the roots that servers are verified with, and which of those are the host's own.
fn servers(settings: &Settings) -> anyhow::Result<(Vec<PathBuf>, Vec<CertificateDer<'static>>)> {
    let found: BTreeMap<_, _> = LISTS
        .iter()
        .filter_map(|path| hosts(Path::new(path)))
        .collect();
    let extra = settings.extra_ca.iter().map(|path| extra(path));
    let extra = extra.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(
        !found.is_empty() || !extra.is_empty(),
        "the policy has TLS intercepted, and the host has no roots to verify servers with ({}): install its package ca-certificates, or \
         set extra-ca in the host's configuration",
        LISTS.join(", ")
    );
    let (mut paths, own): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    paths.extend(extra);
    Ok((paths, certificates::union(own)))
}

/// A file of the host's, free of links, with the roots in it; none where there are none.
fn hosts(path: &Path) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let found = Root::at(Path::new("/"))
        .ok()?
        .read(path, STORE_LIMIT)
        .ok()?;
    let roots = certificates::from_pem(&found.bytes);
    (!roots.is_empty()).then_some((found.path, roots))
}

/// Checks a file of `extra-ca`, as a container's start does.
///
/// # Errors
/// Why no container would start that trusts its gateway.
pub(crate) fn check_extra(path: &Path) -> anyhow::Result<()> {
    extra(path).map(drop)
}

fn extra(path: &Path) -> anyhow::Result<PathBuf> {
    let told = || format!("extra-ca: {}", path.display());
    let text = settings::read_trusted(path).with_context(told)?;
    let text = text.context("does not exist").with_context(told)?;
    let roots = certificates::from_pem(text.as_bytes());
    ensure!(
        !roots.is_empty(),
        "{}: no certificate in it (expected PEM)",
        told()
    );
    Ok(path.to_owned())
}

/// What the files of one container are made of.
struct Given<'a> {
    files: &'a TrustFiles,
    image: &'a mut Image,
    all: &'a [CertificateDer<'static>],
    root: Owner,
}

type Made = (Vec<(PathBuf, StoreFormat)>, Vec<String>);

impl Given<'_> {
    /// Makes the files, and has them mounted. Gives the stores that lack only the gateway's
    /// certificate, and the variables that lead to them.
    fn make(self, spec: &mut Spec, jails_mount: bool) -> anyhow::Result<Made> {
        let failed = "can't write the files by which it trusts its gateway";
        let place = trust::place(spec, jails_mount);
        let mut stores = vec![
            (
                self.files.give(AUTHORITY, b"").context(failed)?,
                StoreFormat::Pem,
            ),
            (
                self.files
                    .give(trust::ROOTS, certificates::to_pem(self.all).as_bytes())
                    .context(failed)?,
                StoreFormat::Pem,
            ),
        ];
        let wgetrc = self.wgetrc(place);
        self.files.give(trust::WGETRC, &wgetrc).context(failed)?;
        self.files
            .give(trust::APT, apt(place).as_bytes())
            .context(failed)?;
        let mut mounts = Vec::new();
        if trust::is_read_only(spec) {
            let roots = self.files.folder().join(trust::ROOTS);
            let lists = self.image.lists(&LISTS).into_iter();
            mounts.extend(lists.map(|destination| TrustMount {
                source: roots.clone(),
                destination,
            }));
        }
        let javas = self.image.java(java_home(spec).as_deref());
        for (number, store) in javas.into_iter().enumerate() {
            let content = jks::write(&self.java(&store));
            let (mode, owner) = (store.mode, self.owner(&store));
            let source = self
                .files
                .lend(&format!("java-{number}"), &content, mode, owner)
                .context(failed)?;
            stores.push((source.clone(), StoreFormat::Jks));
            mounts.push(TrustMount {
                source,
                destination: store.path,
            });
        }
        let folder = TrustMount {
            source: self.files.folder(),
            destination: place.to_owned(),
        };
        let variables = trust::add(spec, folder, &mounts)?;
        Ok((stores, variables))
    }

    /// Who has a Java's store: who has the image's, or, where that is nobody in the container, its root.
    fn owner(&self, store: &JavaStore) -> Owner {
        match (store.user, store.group) {
            (0, 0) => self.root,
            (user, group) => Owner { user, group },
        }
    }

    /// What a Java of the image's trusts, and all that other programs do.
    fn java(&self, store: &JavaStore) -> Vec<jks::Entry> {
        let own: HashSet<_> = store
            .entries
            .iter()
            .map(|entry| &entry.certificate)
            .collect();
        let numbered = self.all.iter().enumerate();
        let more = numbered
            .filter(|(_, certificate)| !own.contains(certificate))
            .map(|(number, certificate)| jks::Entry {
                alias: format!("boundary:{number}"),
                created: 0,
                certificate: certificate.clone(),
            });
        store.entries.iter().cloned().chain(more).collect()
    }

    fn wgetrc(&self, place: &Path) -> Vec<u8> {
        let text = self.image.read("/etc/wgetrc", WGETRC_LIMIT);
        trusting_wgetrc(text.unwrap_or_default(), place)
    }
}

/// Settings of wget, and what has it trust the gateway besides the system's roots; where they name a
/// certificate already, they stay.
fn trusting_wgetrc(mut text: Vec<u8>, place: &Path) -> Vec<u8> {
    let names_one = text.split(|byte| *byte == b'\n').any(|line| {
        let command: String = String::from_utf8_lossy(line)
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '=')
            .collect();
        command.to_ascii_lowercase().starts_with("cacertificate=")
    });
    if !names_one {
        let line = format!("\nca_certificate = {}\n", place.join(AUTHORITY).display());
        text.extend(line.bytes());
    }
    text
}

fn apt(place: &Path) -> String {
    format!(
        "Acquire::https::CAInfo \"{}\";\n",
        place.join(trust::ROOTS).display()
    )
}

/// Where a container says that its Java is.
fn java_home(spec: &Spec) -> Option<PathBuf> {
    let entries = spec.get("process")?.get("env")?.as_array()?.iter();
    let mut values = entries.filter_map(|entry| entry.as_str()?.strip_prefix("JAVA_HOME="));
    let home = Path::new(OsStr::new(values.next_back()?));
    home.is_absolute().then(|| home.to_owned())
}

#[cfg(test)]
mod tests;
