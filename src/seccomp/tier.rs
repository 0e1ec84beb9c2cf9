//! Tiers: how much a container may nest inside of itself, and the calls that each needs beyond an
//! engine's default profile.
//!
//! The grants were found by running the programs (the tests in `tests/docker` run them again). They
//! name old system calls only: runc answers ENOSYS for calls newer than the newest one that the
//! profile names (`patchbpf`), and naming a new one would turn ENOSYS into EPERM for all between.

/// Flags of `clone(2)` and `unshare(2)` that make namespaces (`linux/sched.h`); CLONE_NEWTIME is
/// not among them, as its bit is part of clone's exit signal.
pub mod flags {
    /// CLONE_NEWNS, a mount namespace.
    pub const MOUNT: u64 = 0x0002_0000;
    /// CLONE_NEWUSER.
    pub const USER: u64 = 0x1000_0000;
    /// CLONE_NEWPID.
    pub const PID: u64 = 0x2000_0000;
    /// CLONE_NEWNET.
    pub const NET: u64 = 0x4000_0000;
    /// All seven that `clone` knows: cgroup, uts and ipc besides those above.
    pub const ALL: u64 = 0x7e02_0000;
}

/// How much a container may nest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// `nsjail`: `clone` with a user and a network namespace, which is what a program that jails
    /// its child's network needs.
    Nsjail,
    /// `unshare`: the same by `unshare(2)`, too, as unshare(1) does it.
    Unshare,
    /// `chromium`: user, network and pid namespaces by `clone`, a user namespace by `unshare`: a
    /// browser's own sandbox.
    Chromium,
    /// `bwrap`: every namespace, and the mounts that bubblewrap makes in them.
    Bwrap,
    /// `seed`: `clone` with any flags, as the rule is often pasted by hand.
    Seed,
}

/// One call that a tier grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The system call.
    pub syscall: &'static str,
    /// With which flags; none: with any arguments.
    pub flags: Option<Flags>,
    /// What it opens, for people.
    pub opens: &'static str,
}

/// A limit on a call's flags argument: none of the `forbidden` bits may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// Bits that must be zero.
    pub forbidden: u64,
    /// Which argument holds them.
    pub argument: u32,
    /// Which one holds them on s390 and s390x, whose `clone` has its arguments in another order
    /// (`clone(2)`).
    pub argument_on_s390: u32,
}

/// `clone` with no namespace flags but `allowed`.
const fn clone(allowed: u64, opens: &'static str) -> Grant {
    let flags = Flags {
        forbidden: flags::ALL & !allowed,
        argument: 0,
        argument_on_s390: 1,
    };
    Grant {
        syscall: "clone",
        flags: Some(flags),
        opens,
    }
}

/// `unshare` with no flags but `allowed`. It reads 32 bits of its argument.
const fn unshare(allowed: u64, opens: &'static str) -> Grant {
    let flags = Flags {
        forbidden: 0xffff_ffff & !allowed,
        argument: 0,
        argument_on_s390: 0,
    };
    Grant {
        syscall: "unshare",
        flags: Some(flags),
        opens,
    }
}

/// A call with any arguments.
const fn any(syscall: &'static str, opens: &'static str) -> Grant {
    Grant {
        syscall,
        flags: None,
        opens,
    }
}

const CLONE_USER_NET: Grant = clone(
    flags::USER | flags::NET,
    "any process may have all capabilities over new, unconnected user and network namespaces: the kernel's code for \
     packet filters, interfaces and routes comes into its reach",
);

const NSJAIL: &[Grant] = &[CLONE_USER_NET];

const UNSHARE: &[Grant] = &[
    CLONE_USER_NET,
    unshare(
        flags::USER | flags::NET,
        "the same, for the calling process itself, and user namespaces within each other",
    ),
];

const CHROMIUM: &[Grant] = &[
    clone(
        flags::USER | flags::NET | flags::PID,
        "any process may have all capabilities over new user, network and pid namespaces",
    ),
    unshare(
        flags::USER,
        "user namespaces for the calling process itself, and within each other",
    ),
];

const BWRAP: &[Grant] = &[
    any("clone", "namespaces of every kind"),
    unshare(
        flags::USER,
        "user namespaces for the calling process itself, and within each other",
    ),
    any(
        "mount",
        "in a mount namespace of its own: bind mounts, tmpfs, overlay, and the kernel's code for them",
    ),
    any(
        "umount2",
        "takes such mounts away again; what the engine mounted stays locked",
    ),
    any(
        "pivot_root",
        "changes the root of a mount namespace of its own",
    ),
];

const SEED: &[Grant] = &[any(
    "clone",
    "namespaces of every kind, at a process's birth",
)];

impl Tier {
    /// All of them, from the narrowest.
    pub const ALL: [Self; 5] = [
        Self::Nsjail,
        Self::Unshare,
        Self::Chromium,
        Self::Bwrap,
        Self::Seed,
    ];

    /// Its word, in options and settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nsjail => "nsjail",
            Self::Unshare => "unshare",
            Self::Chromium => "chromium",
            Self::Bwrap => "bwrap",
            Self::Seed => "seed",
        }
    }

    /// The tier that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == word)
    }

    /// What it grants.
    #[must_use]
    pub fn grants(self) -> &'static [Grant] {
        match self {
            Self::Nsjail => NSJAIL,
            Self::Unshare => UNSHARE,
            Self::Chromium => CHROMIUM,
            Self::Bwrap => BWRAP,
            Self::Seed => SEED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_are_those_that_were_tried() {
        let forbidden =
            |tier: Tier, at: usize| tier.grants()[at].flags.map(|flags| flags.forbidden);
        assert_eq!(forbidden(Tier::Nsjail, 0), Some(0x2e02_0000));
        assert_eq!(forbidden(Tier::Unshare, 1), Some(0xafff_ffff));
        assert_eq!(forbidden(Tier::Chromium, 0), Some(0x0e02_0000));
        assert_eq!(forbidden(Tier::Chromium, 1), Some(0xefff_ffff));
        assert_eq!(forbidden(Tier::Seed, 0), None);
    }

    #[test]
    fn every_word_names_its_tier_and_no_other_does() {
        for tier in Tier::ALL {
            assert_eq!(Tier::parse(tier.name()), Some(tier));
        }
        for word in ["", "none", "Nsjail", "nsjail ", "nsjail\0"] {
            assert_eq!(Tier::parse(word), None, "{word:?}");
        }
    }

    #[test]
    fn every_tier_names_each_call_once() {
        for tier in Tier::ALL {
            let mut names: Vec<_> = tier.grants().iter().map(|grant| grant.syscall).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), tier.grants().len(), "{}", tier.name());
        }
    }
}
