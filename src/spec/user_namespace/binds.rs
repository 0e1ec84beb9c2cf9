//! Bind mounts in a user namespace that is added: what they keep of the mounts that they come from.
//!
//! The container's mount namespace is a copy that belongs to a lesser user namespace, so the flags
//! and the access-time mode of every mount in it are locked, and mounts can't be separated from
//! those on top of them (`mount_namespaces(7)`, "Restrictions on mount namespaces"). A runtime that
//! mounts with options takes away the flags that it isn't told of, and then fails.

use serde_json::Value;

/// Where a bind mount comes from, as the host has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindSource {
    /// The options of the mount that it is on, as in `proc_pid_mountinfo(5)`.
    pub options: Vec<String>,
    /// Whether it is a folder or a file, from which a program can be started.
    pub executable: bool,
    /// Whether something is mounted below it.
    pub mounts_below: bool,
}

/// Flags that can't be taken away, and the options that ask for that.
const LOCKED: [(&str, &str); 5] = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("nosymfollow", "symfollow"),
];

/// Access-time modes, which can't be changed.
const ACCESS_TIMES: [&str; 8] = [
    "noatime",
    "atime",
    "nodiratime",
    "diratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// Options for the mounts below as well that nobody can count on: they take something away, or
/// change access times.
const DEEP: [&str; 13] = [
    "rrw",
    "rsuid",
    "rdev",
    "rexec",
    "rsymfollow",
    "rnoatime",
    "ratime",
    "rnodiratime",
    "rdiratime",
    "rrelatime",
    "rnorelatime",
    "rstrictatime",
    "rnostrictatime",
];

/// Options that are no reason to mount a second time: what is bound, and propagation.
const NOT_FLAGS: [&str; 16] = [
    "bind",
    "rbind",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
    "rro",
    "rnosuid",
    "rnodev",
    "rnoexec",
    "rnosymfollow",
    "",
];

/// A bind mount of a spec beside its source.
pub(super) struct BindMount<'a> {
    options: Vec<&'a str>,
    source: &'a BindSource,
}

impl<'a> BindMount<'a> {
    pub(super) fn new(mount: &'a Value, source: &'a BindSource) -> Self {
        Self {
            options: options(mount),
            source,
        }
    }

    /// What is different in a user namespace, each as the end of a sentence that begins with the
    /// mount. `as_on_host`: the runtime mounts the source as it is on the host, and nothing below
    /// it.
    pub(super) fn differences(&self, as_on_host: bool) -> Vec<String> {
        let recursive = self.asks("rbind");
        let mut found: Vec<String> = self
            .kept(as_on_host)
            .filter(|(flag, opposite)| self.is_missed(flag, opposite))
            .map(|(flag, _)| format!("is {flag} like its source"))
            .collect();
        if let Some(asked) = self.options.iter().find(|asked| self.is_refused(asked)) {
            found.push(format!("can't be mounted with {asked}"));
        }
        if !recursive && self.source.mounts_below {
            found.push("can't be mounted without the mounts below its source".to_owned());
        }
        if as_on_host {
            let ignored = LOCKED
                .iter()
                .find(|(flag, _)| *flag != "ro" && self.asks(flag) && !self.locked(flag));
            found.extend(ignored.map(|(flag, _)| format!("is mounted without {flag}")));
            if recursive && self.source.mounts_below {
                found.push("lacks the mounts below its source".to_owned());
            }
        }
        found
    }

    /// The options with which it can be mounted in a user namespace.
    pub(super) fn fitting(&self) -> Vec<String> {
        let kept = self.kept(false).map(|(flag, _)| flag);
        let asked = self.options.iter().copied();
        asked
            .filter(|asked| !self.is_refused(asked))
            .chain(kept)
            .map(str::to_owned)
            .collect()
    }

    /// Flags of the source that the mount keeps, and that it wouldn't have elsewhere.
    fn kept(&self, as_on_host: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
        let replaced = as_on_host || self.is_remounted();
        LOCKED
            .into_iter()
            .filter(move |(flag, _)| replaced && self.locked(flag) && !self.asks(flag))
    }

    /// Whether somebody misses what a kept flag takes away. Not without being told do programs rely
    /// on device nodes, or on set-user-ID programs, of a file system that is mounted without them.
    fn is_missed(&self, flag: &str, opposite: &str) -> bool {
        match flag {
            "nosuid" | "nodev" => self.asks(opposite),
            "noexec" => self.source.executable,
            _ => true,
        }
    }

    /// Whether the mount would fail for an option.
    fn is_refused(&self, asked: &str) -> bool {
        let same = match asked {
            "noatime" | "nodiratime" | "relatime" => self.locked(asked),
            "strictatime" | "norelatime" => {
                !["noatime", "relatime"].iter().any(|mode| self.locked(mode))
            }
            // What is so unless it is asked for otherwise.
            "atime" | "diratime" | "nostrictatime" => !["noatime", "nodiratime"]
                .iter()
                .any(|mode| self.locked(mode)),
            _ => true,
        };
        DEEP.contains(&asked) || ACCESS_TIMES.contains(&asked) && !same
    }

    /// Whether a runtime mounts it once more, for its options.
    fn is_remounted(&self) -> bool {
        self.options
            .iter()
            .any(|asked| !NOT_FLAGS.contains(asked) && !DEEP.contains(asked))
    }

    fn asks(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    fn locked(&self, flag: &str) -> bool {
        self.source.options.iter().any(|option| option == flag)
    }
}

/// Whether a mount of a spec is a bind mount: runtimes go by its options (runc ignores its type
/// then).
#[must_use]
pub fn is_bind(mount: &Value) -> bool {
    options(mount)
        .iter()
        .any(|option| matches!(*option, "bind" | "rbind"))
}

/// A mount's options.
pub(super) fn options(mount: &Value) -> Vec<&str> {
    let list = mount.get("options").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(options: &str) -> BindSource {
        BindSource {
            options: options.split(',').map(str::to_owned).collect(),
            executable: true,
            mounts_below: false,
        }
    }

    /// Differences with runc, and with what a mount goes on.
    fn judged(options: &[&str], source: &BindSource) -> (Vec<String>, Vec<String>) {
        let mount = json!({"options": options});
        let bind = BindMount::new(&mount, source);
        (bind.differences(false), bind.fitting())
    }

    /// Each row was seen with runc 1.1.5 and 1.3.6: whether a mount with these options, from a
    /// source with those, starts in a user namespace, and is what it is without one.
    #[test]
    fn what_is_locked_is_kept_and_what_that_costs_is_said() {
        for (options, locked, differences, added) in [
            // Mounted once: whatever the source has, it has anyway.
            ("rbind", "rw,nosuid,nodev,noexec", &[][..], ""),
            ("rbind,rprivate", "ro,noatime", &[], ""),
            ("rbind,rro", "rw,nosuid,nodev,noexec", &[], ""),
            // Nobody misses these.
            ("rbind,ro", "rw,relatime", &[], ""),
            ("rbind,ro", "rw,nosuid,nodev,relatime", &[], "nosuid,nodev"),
            ("rbind,ro,nosuid", "rw,nosuid,noatime", &[], ""),
            ("rbind,rw", "rw,nosuid", &[], "nosuid"),
            // These are missed.
            (
                "rbind,ro",
                "rw,noexec",
                &["is noexec like its source"],
                "noexec",
            ),
            ("rbind,nosuid", "ro", &["is ro like its source"], "ro"),
            (
                "rbind,suid",
                "rw,nosuid",
                &["is nosuid like its source"],
                "nosuid",
            ),
            (
                "rbind,ro",
                "rw,nosymfollow",
                &["is nosymfollow like its source"],
                "nosymfollow",
            ),
        ] {
            let (found, fitting) = judged(
                &options.split(',').collect::<Vec<_>>(),
                &source(&format!("{locked},relatime")),
            );
            assert_eq!(found, differences, "{options} from {locked}");
            let expected: Vec<&str> = options
                .split(',')
                .chain(added.split(',').filter(|word| !word.is_empty()))
                .collect();
            assert_eq!(fitting, expected, "{options} from {locked}");
        }
    }

    #[test]
    fn access_times_can_only_stay_as_they_are() {
        for (asked, locked, works) in [
            ("noatime", "relatime", false),
            ("noatime", "noatime", true),
            ("strictatime", "relatime", false),
            ("strictatime", "", true),
            ("relatime", "relatime", true),
            ("relatime", "noatime", false),
            ("nodiratime", "relatime", false),
            ("norelatime", "relatime", false),
            ("atime", "relatime", true),
            ("atime", "noatime", false),
            ("rnoatime", "relatime", false),
            ("rexec", "relatime", false),
        ] {
            let (differences, fitting) = judged(&["rbind", asked], &source(locked));
            assert_eq!(differences.is_empty(), works, "{asked} from {locked}");
            assert_eq!(
                fitting.contains(&asked.to_owned()),
                works,
                "{asked} from {locked}"
            );
        }
    }

    #[test]
    fn mounts_below_the_source_stay_there() {
        let source = BindSource {
            mounts_below: true,
            ..source("rw")
        };
        assert_eq!(judged(&["rbind"], &source).0, Vec::<String>::new());
        assert_eq!(
            judged(&["bind", "ro"], &source).0,
            ["can't be mounted without the mounts below its source"]
        );
        // Taking them along would show the container more than it was given.
        assert_eq!(judged(&["bind", "ro"], &source).1, ["bind", "ro"]);
    }

    /// A socket isn't started.
    #[test]
    fn nobody_misses_noexec_on_a_socket() {
        let socket = BindSource {
            executable: false,
            ..source("rw,nosuid,nodev,noexec")
        };
        let (differences, fitting) = judged(&["rbind", "ro"], &socket);
        assert_eq!(differences, Vec::<String>::new());
        assert_eq!(fitting, ["rbind", "ro", "nosuid", "nodev", "noexec"]);
    }

    /// Seen with crun 1.8.1.
    #[test]
    fn who_mounts_as_on_the_host_loses_the_options() {
        for (options, source, differences) in [
            (&["rbind"][..], source("rw"), &[][..]),
            (&["rbind", "ro"], source("rw"), &[]),
            (
                &["rbind"],
                source("rw,noexec"),
                &["is noexec like its source"],
            ),
            (
                &["rbind", "noexec"],
                source("rw"),
                &["is mounted without noexec"],
            ),
            (
                &["rbind"],
                BindSource {
                    mounts_below: true,
                    ..source("rw")
                },
                &["lacks the mounts below its source"],
            ),
        ] {
            let mount = json!({"options": options});
            assert_eq!(
                BindMount::new(&mount, &source).differences(true),
                differences,
                "{options:?}"
            );
        }
    }
}
