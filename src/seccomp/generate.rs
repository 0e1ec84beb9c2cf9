//! Makes what `gen-seccomp` writes: a profile with a tier's calls added, and the proof that nothing
//! else changed.

use serde_json::Value;

use super::Fault;
use super::docker::profile::Profile;
use super::docker::resolve::{Arch, Target, is_mapped, resolve};
use super::filter::Filter;
use super::patch::{self, Changes, PatchError};
use super::proof::compile::is_of_other_byte_order;
use super::proof::verify::{Unverified, verify};
use super::tier::Tier;

/// What containers hold where nobody says otherwise, in Docker, containerd and Kubernetes.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The form that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Docker's: rules go on depending on capabilities, architecture and kernel.
    Docker,
    /// The OCI specification's, for one kind of container on one kind of machine.
    Oci,
}

/// A profile made.
#[derive(Debug)]
pub struct Generated {
    /// What is to be written.
    pub profile: Value,
    /// What was changed, for people.
    pub changes: Changes,
}

/// Why none was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The base says nothing at all.
    #[error("it has neither a default action nor rules, which means no filter at all")]
    Unconfined,
    /// It can't be given what the tier needs.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// What came of it can't be read: our fault, or a word that only runc would have stumbled over.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The programs that libseccomp 2.5 makes for machines of the other byte order jump to wrong
    /// places: nothing can be proved with those.
    #[error(
        "a profile for machines of the other byte order can't be checked here: run this on such a machine"
    )]
    OtherByteOrder,
    /// It can't be proved that the patched profile is what was promised.
    #[error("the self-check failed")]
    Unverified(#[from] Unverified),
}

/// Where a profile comes from, which decides how much there is to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `catalogue`: the tests prove what becomes of it, so it is proved here only as most
    /// containers of this machine get it.
    Ours,
    /// Somebody's own file: it is proved for every architecture that it names, for containers of
    /// few capabilities and of many.
    Theirs,
}

/// Makes a profile: `base` with the tier's calls, in the form asked for, and proved. `here` is for
/// whom it is resolved, and for which machine it is proved at least.
///
/// # Errors
/// [`GenerateError`].
pub fn generate(
    base: &Profile,
    origin: Origin,
    tier: Tier,
    form: Form,
    here: &Target<'_>,
) -> Result<Generated, GenerateError> {
    if base.is_unconfined() {
        return Err(GenerateError::Unconfined);
    }
    let (patched, changes) = patch::docker(base, tier)?;
    let resolved = resolve(&patched, here).ok_or(GenerateError::Unconfined)?;
    match form {
        Form::Oci => prove(base, &patched, tier, here)?,
        Form::Docker => prove_all(base, origin, here, |machine| {
            prove(base, &patched, tier, machine)
        })?,
    }
    let profile = if form == Form::Oci {
        resolved
    } else {
        patched.tree().clone()
    };
    Ok(Generated { profile, changes })
}

/// Proves that for one kind of container on one machine the patched profile is the base with the
/// tier's calls allowed.
fn prove(
    base: &Profile,
    patched: &Profile,
    tier: Tier,
    to: &Target<'_>,
) -> Result<(), GenerateError> {
    let filter = |profile| resolve(profile, to).ok_or(GenerateError::Unconfined);
    let (before, after) = (
        Filter::read(&filter(base)?)?,
        Filter::read(&filter(patched)?)?,
    );
    if is_of_other_byte_order(&after) {
        return Err(GenerateError::OtherByteOrder);
    }
    Ok(verify(&before, &after, tier)?)
}

/// Proves all that is to be proved of a profile which goes on depending on capabilities and
/// architectures. Machines of the other byte order are passed over: they get what was proved for
/// these.
fn prove_all(
    base: &Profile,
    origin: Origin,
    here: &Target<'_>,
    prove: impl Fn(&Target<'_>) -> Result<(), GenerateError>,
) -> Result<(), GenerateError> {
    prove(here)?;
    if origin == Origin::Ours {
        return Ok(());
    }
    let everything: Vec<String> = here
        .bounding
        .iter()
        .chain(base.capabilities())
        .cloned()
        .collect();
    let machines = Arch::all().map(|architecture| Target {
        architecture,
        ..*here
    });
    for machine in machines
        .filter(|machine| machine.architecture == here.architecture || is_mapped(base, machine))
    {
        for bounding in [here.bounding, &everything] {
            match prove(&Target {
                bounding,
                ..machine
            }) {
                Err(GenerateError::OtherByteOrder) => {}
                outcome => outcome?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
