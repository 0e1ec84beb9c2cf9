//! What nobody may ask of the kernel who is filtered: to have the host's own programs look something up.
//!
//! `request_key(2)` does that where it is given anything to call out with (`callout_info`): the kernel runs
//! `/sbin/request-key` as the host's root, in the host's namespaces, and for the type `dns_resolver` that
//! asks the host's name servers, with the caller's bytes in the name. No namespace bounds it. Engines'
//! default profiles deny the call; who has none, or one's own, isn't kept from it by anything else.
//! Keys that are there already are found as ever.

#[cfg(target_arch = "x86_64")]
use super::call_filter::X32;
use super::call_filter::{CallVerdict, Rules};

/// The argument `callout_info`, null.
const NO_CALLOUT: (u32, u64, u64) = (2, u64::MAX, 0);

/// As Docker's default profile answers.
const DENIED: CallVerdict = CallVerdict::Errno(libc::EPERM);

/// The call's number for 32-bit programs.
#[cfg(target_arch = "x86_64")]
const OF_32_BITS: u32 = 287;
/// As above.
#[cfg(target_arch = "aarch64")]
const OF_32_BITS: u32 = 310;

/// Denies them to programs of this machine's own kind.
pub fn deny(rules: &mut Rules) {
    deny_numbered(rules, libc::SYS_request_key);
}

fn deny_numbered(rules: &mut Rules, call: libc::c_long) {
    rules.add(call, &[NO_CALLOUT], CallVerdict::Allow);
    rules.add(call, &[], DENIED);
}

/// Denies them to programs of every kind, and nothing else to any.
#[must_use]
pub fn denied_alone() -> Rules {
    let mut rules = Rules::new(CallVerdict::Allow, CallVerdict::Allow);
    deny(&mut rules);
    #[cfg(target_arch = "x86_64")]
    deny_numbered(&mut rules, libc::c_long::from(X32) | libc::SYS_request_key);
    rules.add_of_32_bits(OF_32_BITS, &[NO_CALLOUT], CallVerdict::Allow);
    rules.add_of_32_bits(OF_32_BITS, &[], DENIED);
    rules
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use test_support::cbpf;

    use super::*;

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    fn allows(machine: u32, call: u32, callout: u64) -> bool {
        let program = denied_alone().program().unwrap();
        let mut words = [0; cbpf::WORDS];
        words[0] = call;
        words[1] = machine;
        words[8] = u32::try_from(callout & 0xffff_ffff).unwrap();
        words[9] = u32::try_from(callout >> 32).unwrap();
        match cbpf::evaluate(program.instructions(), &words).unwrap() {
            libc::SECCOMP_RET_ALLOW => true,
            verdict => {
                assert_eq!(verdict, libc::SECCOMP_RET_ERRNO | 1);
                false
            }
        }
    }

    #[test]
    fn a_key_is_found_and_nobody_is_called_for_one_by_programs_of_any_kind() {
        let all = [(X86_64, 249), (X86_64, 0x4000_0000 | 249), (I386, 287)];
        for (machine, call) in all {
            assert!(allows(machine, call, 0), "{machine:x} {call}");
            for callout in [1, 1 << 32, 0x7fff_ffff_0000_0000, u64::MAX] {
                assert!(!allows(machine, call, callout), "{machine:x} {call}");
            }
        }
    }

    #[test]
    fn every_other_call_is_made() {
        for machine in [X86_64, I386, 0xc000_00b7] {
            let kept = |call: &u32| {
                !matches!((machine, *call & !0x4000_0000), (X86_64, 249) | (I386, 287))
            };
            let numbers = (0..600).flat_map(|call| [call, 0x4000_0000 | call]);
            for call in numbers.chain([u32::MAX]).filter(kept) {
                assert!(allows(machine, call, u64::MAX), "{machine:x} {call}");
            }
        }
    }
}
