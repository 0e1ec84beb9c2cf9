//! The limits of a filter: one table of files and values, for both versions of control groups.

/// What bounds one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    /// Memory, that of sockets too.
    Memory,
    /// Time.
    Cpu,
    /// Processes and threads.
    Pids,
}

impl Controller {
    /// Those that a filter needs.
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// The kernel's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    /// One of ours by the kernel's name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|controller| controller.name() == name)
    }
}

/// Threads: the event loops of keeper and filter, the one that lives in the gateway for a container
/// with the host's network, and those that enter a namespace for one task each. Five were the most
/// that was seen.
pub(super) const TASKS: u64 = 16;

/// Of 100, as much as a container has: what waits for its filter is the container's own work.
/// Together they weigh no more than two containers.
pub(super) const CPU_WEIGHT: u64 = 100;
/// The same as the first version counts, of 1024.
const CPU_SHARES: u64 = 1024;

/// The part of a filter's memory that its sockets' queues may have, where the kernel counts those
/// apart (the first version) and so can't bound both together: the filter does that itself
/// (`proxy/budget.rs`). All of its memory may be the process's, as a container can drive it there,
/// and a process that runs into its limit is killed; sockets are only slowed, as TCP drops and
/// sends again.
const SOCKETS_PART: u64 = 2;

/// One file of a group and what it is to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub file: &'static str,
    pub value: u64,
    /// Whether kernels may lack it, and it be done without.
    pub optional: bool,
}

const fn limit(file: &'static str, value: u64) -> Limit {
    Limit {
        file,
        value,
        optional: false,
    }
}

const fn if_there(file: &'static str, value: u64) -> Limit {
    Limit {
        file,
        value,
        optional: true,
    }
}

/// The limits of one controller of the first version. Order counts: memory and swap together can't
/// be less than memory.
pub(super) fn first(controller: Controller, memory: u64) -> Vec<Limit> {
    let sockets = memory / SOCKETS_PART;
    match controller {
        Controller::Memory => vec![
            limit("memory.limit_in_bytes", memory),
            // Missing where swap isn't accounted for; then this group at least prefers not to.
            if_there("memory.memsw.limit_in_bytes", memory),
            if_there("memory.swappiness", 0),
            if_there("memory.kmem.tcp.limit_in_bytes", sockets),
        ],
        Controller::Cpu => vec![limit("cpu.shares", CPU_SHARES)],
        Controller::Pids => vec![limit("pids.max", TASKS)],
    }
}

/// The limits of one controller of the second version, in which memory is that of sockets, too.
pub(super) fn second(controller: Controller, memory: u64) -> Vec<Limit> {
    match controller {
        Controller::Memory => vec![
            limit("memory.max", memory),
            // Missing in kernels without swap, and before 4.19.
            if_there("memory.swap.max", 0),
        ],
        Controller::Cpu => vec![limit("cpu.weight", CPU_WEIGHT)],
        Controller::Pids => vec![limit("pids.max", TASKS)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_bounds_the_sockets_apart_and_the_process_by_the_whole() {
        let memory = first(Controller::Memory, 64 << 20);
        let value = |file: &str| {
            memory
                .iter()
                .find(|limit| limit.file == file)
                .unwrap()
                .value
        };
        assert_eq!(value("memory.limit_in_bytes"), 64 << 20);
        assert_eq!(value("memory.kmem.tcp.limit_in_bytes"), 32 << 20);
        assert_eq!(
            value("memory.memsw.limit_in_bytes"),
            value("memory.limit_in_bytes")
        );
    }
}
