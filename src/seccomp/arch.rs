//! Architectures, in the one table that there is of them: by the names that files have
//! (libseccomp's), by the word that a filter's program sees, and by Docker's names; and the numbers
//! of system calls there, which libseccomp knows.

use std::str::FromStr;

use libseccomp::{ScmpArch, ScmpSyscall};

/// An architecture, by its name in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Architecture(&'static str);

/// What stands in files for the machine's own.
const NATIVE: &str = "SCMP_ARCH_NATIVE";

struct Row {
    /// libseccomp's name, with `SCMP_ARCH_` in front.
    name: &'static str,
    /// What stands in a call's `arch` word (`AUDIT_ARCH_…` in linux/audit.h).
    word: u32,
    docker: Option<DockerNames>,
}

/// What an architecture that dockerd runs on is called there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DockerNames {
    /// Go's name, as Docker's image platforms have it.
    pub go: &'static str,
    /// The kernel's (`uname -m`).
    pub kernel: &'static str,
    /// dockerd's word in `includes` and `excludes`.
    pub word: &'static str,
    /// Whether `archMap` can have an entry for it.
    pub is_mapped: bool,
    /// Whether dockerd knows it from version 23 on only.
    pub is_new_in_23: bool,
}

/// All that libseccomp 2.6 knows (`seccomp_arch_resolve_name(3)`). Those with Docker's names are
/// `goToNative` and `nativeToSeccomp` of github.com/moby/profiles, as far as Go makes programs for
/// Linux there.
///
/// dockerd goes from Go's name to its word, and with that to the name in `archMap`. On two the
/// second table hasn't the word that the first one gives: loong64 (`loongarch64`, the table says
/// `loong64`) and mipsle (`mipsel`, `mipsle`). So no entry of `archMap` is ever for them; their
/// filters know only the machine's own architecture.
const TABLE: [Row; 23] = [
    of_docker(
        "SCMP_ARCH_X86_64",
        0xc000_003e,
        ["amd64", "x86_64", "amd64"],
    ),
    of_docker("SCMP_ARCH_X86", 0x4000_0003, ["386", "i686", "x86"]),
    of_docker(
        "SCMP_ARCH_AARCH64",
        0xc000_00b7,
        ["arm64", "aarch64", "arm64"],
    ),
    of_docker("SCMP_ARCH_ARM", 0x4000_0028, ["arm", "armv7l", "arm"]),
    of_docker(
        "SCMP_ARCH_PPC64LE",
        0xc000_0015,
        ["ppc64le", "ppc64le", "ppc64le"],
    ),
    of_docker("SCMP_ARCH_PPC64", 0x8000_0015, ["ppc64", "ppc64", "ppc64"]),
    of_docker("SCMP_ARCH_S390X", 0x8000_0016, ["s390x", "s390x", "s390x"]),
    of_docker(
        "SCMP_ARCH_MIPS64",
        0x8000_0008,
        ["mips64", "mips64", "mips64"],
    ),
    of_docker(
        "SCMP_ARCH_MIPSEL64",
        0xc000_0008,
        ["mips64le", "mips64el", "mipsel64"],
    ),
    of_docker(
        "SCMP_ARCH_MIPSEL",
        0x4000_0008,
        ["mipsle", "mipsel", "mipsel"],
    )
    .unmapped(),
    of_docker(
        "SCMP_ARCH_RISCV64",
        0xc000_00f3,
        ["riscv64", "riscv64", "riscv64"],
    )
    .new_in_23(),
    of_docker(
        "SCMP_ARCH_LOONGARCH64",
        0xc000_0102,
        ["loong64", "loongarch64", "loongarch64"],
    )
    .unmapped()
    .new_in_23(),
    // Calls of x32 are x86_64's with a bit in their number.
    other("SCMP_ARCH_X32", 0xc000_003e),
    other("SCMP_ARCH_M68K", 0x0000_0004),
    other("SCMP_ARCH_MIPS", 0x0000_0008),
    other("SCMP_ARCH_MIPS64N32", 0xa000_0008),
    other("SCMP_ARCH_MIPSEL64N32", 0xe000_0008),
    other("SCMP_ARCH_PARISC", 0x0000_000f),
    other("SCMP_ARCH_PARISC64", 0x8000_000f),
    other("SCMP_ARCH_PPC", 0x0000_0014),
    other("SCMP_ARCH_S390", 0x0000_0016),
    other("SCMP_ARCH_SHEB", 0x0000_002a),
    other("SCMP_ARCH_SH", 0x4000_002a),
];

const fn other(name: &'static str, word: u32) -> Row {
    Row {
        name,
        word,
        docker: None,
    }
}

const fn of_docker(name: &'static str, word: u32, [go, kernel, dockerd]: [&'static str; 3]) -> Row {
    Row {
        name,
        word,
        docker: Some(DockerNames {
            go,
            kernel,
            word: dockerd,
            is_mapped: true,
            is_new_in_23: false,
        }),
    }
}

impl Row {
    const fn unmapped(mut self) -> Self {
        if let Some(names) = &mut self.docker {
            names.is_mapped = false;
        }
        self
    }

    const fn new_in_23(mut self) -> Self {
        if let Some(names) = &mut self.docker {
            names.is_new_in_23 = true;
        }
        self
    }
}

/// `__AUDIT_ARCH_LE` (linux/audit.h).
const LITTLE_ENDIAN: u32 = 0x4000_0000;
/// `__X32_SYSCALL_BIT` (asm/unistd.h).
const X32: u32 = 0x4000_0000;
/// The arch word of x86_64 and x32.
const X86_64: u32 = 0xc000_003e;

impl Architecture {
    /// The architecture of a name as it stands in files, `SCMP_ARCH_X86_64`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut known = TABLE.iter().map(|row| row.name).chain([NATIVE]);
        known.find(|known| *known == name).map(Self)
    }

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Whether `clone` has its flags in the second argument there.
    #[must_use]
    pub fn is_s390(self) -> bool {
        matches!(self.0, "SCMP_ARCH_S390" | "SCMP_ARCH_S390X")
    }

    /// Whether it is the machine's own, whichever that is.
    #[must_use]
    pub fn is_native(self) -> bool {
        self.0 == NATIVE
    }

    /// What a program sees of it. None where the machine's own is meant, and we don't know that.
    #[must_use]
    pub fn machine(self) -> Option<Machine> {
        if self.is_native() {
            return own();
        }
        machines().find(|machine| machine.architecture == self)
    }
}

/// The architectures that dockerd runs on.
pub fn dockers() -> impl Iterator<Item = (Architecture, DockerNames)> {
    let rows = TABLE.iter();
    rows.filter_map(|row| Some((Architecture(row.name), row.docker?)))
}

/// An architecture as a filter's program meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// What files call it.
    pub architecture: Architecture,
    /// What stands in the `arch` word of its calls.
    pub word: u32,
}

impl Machine {
    /// Whether its bytes are in the order from the most significant.
    #[must_use]
    pub fn is_big_endian(self) -> bool {
        self.word & LITTLE_ENDIAN == 0
    }

    /// The number of a call there, as it stands in the `nr` word; none where it has no such call,
    /// or libseccomp knows none.
    #[must_use]
    pub fn number(self, syscall: &str) -> Option<u32> {
        let known = ScmpSyscall::from_name_by_arch(syscall, self.for_libseccomp()?).ok()?;
        // Negative ones are libseccomp's own, for calls that other architectures have.
        let number = u32::try_from(known.as_raw_syscall()).ok()?;
        Some(if self.is_x32() { number | X32 } else { number })
    }

    /// What libseccomp calls it. The crate has all names of
    /// the table.
    #[must_use]
    pub fn for_libseccomp(self) -> Option<ScmpArch> {
        ScmpArch::from_str(self.architecture.name()).ok()
    }

    fn is_x32(self) -> bool {
        self.architecture.name() == "SCMP_ARCH_X32"
    }
}

/// The machine that this program runs on. None where libseccomp knows it and we don't.
#[must_use]
pub fn own() -> Option<Machine> {
    let native = ScmpArch::native();
    machines().find(|machine| machine.for_libseccomp() == Some(native))
}

/// What people know a call by: its architecture and its name, or its number.
#[must_use]
pub fn describe(word: u32, number: u32) -> String {
    let x32 = word == X86_64 && number >= X32;
    let Some(machine) = machines().find(|machine| machine.word == word && machine.is_x32() == x32)
    else {
        return format!("architecture {word:#x} call {number}");
    };
    let architecture = machine
        .architecture
        .name()
        .trim_start_matches("SCMP_ARCH_")
        .to_lowercase();
    let by_number = i32::try_from(number).ok().map(ScmpSyscall::from);
    let name = machine
        .for_libseccomp()
        .zip(by_number)
        .and_then(|(arch, call)| call.get_name_by_arch(arch).ok());
    format!(
        "{architecture} {}",
        name.unwrap_or_else(|| format!("call {number}"))
    )
}

fn machines() -> impl Iterator<Item = Machine> {
    TABLE.iter().map(|row| Machine {
        architecture: Architecture(row.name),
        word: row.word,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_a_program_sees() {
        let number = |name: &str, call: &str| {
            Architecture::parse(name)
                .unwrap()
                .machine()
                .unwrap()
                .number(call)
        };
        assert_eq!(number("SCMP_ARCH_X86_64", "clone"), Some(56));
        assert_eq!(number("SCMP_ARCH_X32", "clone"), Some(0x4000_0038));
        assert_eq!(number("SCMP_ARCH_X86", "clone"), Some(120));
        assert_eq!(number("SCMP_ARCH_MIPS", "clone"), Some(4120));
        assert_eq!(number("SCMP_ARCH_AARCH64", "fork"), None);
        assert_eq!(number("SCMP_ARCH_X86_64", "no_such_call"), None);
    }

    #[test]
    fn every_architecture_is_one_to_libseccomp_by_its_own_name() {
        let known: Vec<_> = machines()
            .map(|machine| machine.for_libseccomp().unwrap())
            .collect();
        for (at, arch) in known.iter().enumerate() {
            assert_eq!(known.iter().position(|other| other == arch), Some(at));
        }
    }

    #[test]
    fn a_call_is_described_by_name_where_it_has_one() {
        assert_eq!(describe(0xc000_003e, 56), "x86_64 clone");
        assert_eq!(describe(0xc000_003e, 0x4000_0038), "x32 clone");
        assert_eq!(describe(0x4000_0003, 120), "x86 clone");
        assert_eq!(describe(0xc000_003e, 9999), "x86_64 call 9999");
        assert_eq!(describe(0xc000_003e, u32::MAX), "x32 call 4294967295");
        assert_eq!(describe(7, 56), "architecture 0x7 call 56");
    }
}
