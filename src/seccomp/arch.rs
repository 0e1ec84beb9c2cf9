//! Architectures and system calls by the numbers that a filter's program sees, as libseccomp and
//! the kernel have them.
//!
//! The fact to remember: runc and crun only ever *add* architectures. The machine's own is
//! filtered, too, whether the filter names it or not.

use std::str::FromStr;

use libseccomp::{ScmpArch, ScmpSyscall};

use super::filter::{Architecture, Filter};

/// What stands in a call's `arch` word (`AUDIT_ARCH_…` in linux/audit.h).
const WORDS: [(&str, u32); 23] = [
    ("SCMP_ARCH_X86", 0x4000_0003),
    ("SCMP_ARCH_X86_64", 0xc000_003e),
    // Calls of x32 are x86_64's with a bit in their number.
    ("SCMP_ARCH_X32", 0xc000_003e),
    ("SCMP_ARCH_ARM", 0x4000_0028),
    ("SCMP_ARCH_AARCH64", 0xc000_00b7),
    ("SCMP_ARCH_LOONGARCH64", 0xc000_0102),
    ("SCMP_ARCH_M68K", 0x0000_0004),
    ("SCMP_ARCH_MIPS", 0x0000_0008),
    ("SCMP_ARCH_MIPSEL", 0x4000_0008),
    ("SCMP_ARCH_MIPS64", 0x8000_0008),
    ("SCMP_ARCH_MIPSEL64", 0xc000_0008),
    ("SCMP_ARCH_MIPS64N32", 0xa000_0008),
    ("SCMP_ARCH_MIPSEL64N32", 0xe000_0008),
    ("SCMP_ARCH_PARISC", 0x0000_000f),
    ("SCMP_ARCH_PARISC64", 0x8000_000f),
    ("SCMP_ARCH_PPC", 0x0000_0014),
    ("SCMP_ARCH_PPC64", 0x8000_0015),
    ("SCMP_ARCH_PPC64LE", 0xc000_0015),
    ("SCMP_ARCH_S390", 0x0000_0016),
    ("SCMP_ARCH_S390X", 0x8000_0016),
    ("SCMP_ARCH_RISCV64", 0xc000_00f3),
    ("SCMP_ARCH_SHEB", 0x0000_002a),
    ("SCMP_ARCH_SH", 0x4000_002a),
];
/// `__AUDIT_ARCH_LE` (linux/audit.h).
const LITTLE_ENDIAN: u32 = 0x4000_0000;
/// `__X32_SYSCALL_BIT` (asm/unistd.h).
const X32: u32 = 0x4000_0000;
/// The arch word of x86_64 and x32.
const X86_64: u32 = 0xc000_003e;

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

    /// What libseccomp calls it. A name that the crate doesn't know doesn't occur: it has all of
    /// [`Architecture`]'s.
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

/// The machines whose calls a filter judges: those that it names, and this one. Calls of all others
/// kill.
///
/// A filter that begins with one of the other byte order is not for this machine (libseccomp mixes
/// no orders in a program, and runc refuses it here): it is taken as for the machines it names
/// alone.
#[must_use]
pub fn judged_by(filter: &Filter) -> Vec<Machine> {
    let own = own();
    let mut judged: Vec<Machine> = Vec::new();
    let named = filter.architectures.iter().filter_map(|named| of(*named));
    for machine in named.chain(own) {
        let stranger = |first: &Machine| {
            Some(machine) == own && first.is_big_endian() != machine.is_big_endian()
        };
        if !judged.contains(&machine) && !judged.first().is_some_and(stranger) {
            judged.push(machine);
        }
    }
    judged
}

/// Whether a filter is for machines whose bytes are in another order than this one's.
#[must_use]
pub fn is_of_other_byte_order(filter: &Filter) -> bool {
    let first = filter.architectures.first().and_then(|named| of(*named));
    first
        .zip(own())
        .is_some_and(|(first, own)| first.is_big_endian() != own.is_big_endian())
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

fn of(architecture: Architecture) -> Option<Machine> {
    if architecture.name() == "SCMP_ARCH_NATIVE" {
        return own();
    }
    machines().find(|machine| machine.architecture == architecture)
}

fn machines() -> impl Iterator<Item = Machine> {
    WORDS.into_iter().filter_map(|(name, word)| {
        Some(Machine {
            architecture: Architecture::parse(name)?,
            word,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(named: &[&str]) -> Vec<&'static str> {
        let filter =
            Filter::read(&json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": named}))
                .unwrap();
        judged_by(&filter)
            .into_iter()
            .map(|machine| machine.architecture.name())
            .collect()
    }

    #[test]
    fn the_machines_own_calls_are_judged_whether_named_or_not() {
        let own = own().unwrap().architecture.name();
        assert_eq!(judged(&[]), [own]);
        assert_eq!(judged(&[own, "SCMP_ARCH_NATIVE", own]), [own]);
        assert_eq!(judged(&["SCMP_ARCH_RISCV64"]), ["SCMP_ARCH_RISCV64", own]);
        assert_eq!(judged(&["SCMP_ARCH_S390X"]), ["SCMP_ARCH_S390X"]);
    }

    #[test]
    fn numbers_are_those_that_a_program_sees() {
        let number =
            |name: &str, call: &str| of(Architecture::parse(name).unwrap()).unwrap().number(call);
        assert_eq!(number("SCMP_ARCH_X86_64", "clone"), Some(56));
        assert_eq!(number("SCMP_ARCH_X32", "clone"), Some(0x4000_0038));
        assert_eq!(number("SCMP_ARCH_X86", "clone"), Some(120));
        assert_eq!(number("SCMP_ARCH_MIPS", "clone"), Some(4120));
        assert_eq!(number("SCMP_ARCH_AARCH64", "fork"), None);
        assert_eq!(number("SCMP_ARCH_X86_64", "no_such_call"), None);
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
