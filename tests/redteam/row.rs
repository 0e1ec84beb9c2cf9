//! One attack: a row of SECURITY.md.

use std::time::Duration;

use crate::pairing::{Circumstances, Family, Nesting, User};
use crate::scene::Scene;

/// The name that somebody approves in some rows, and no rule is for.
pub(crate) const APPROVED: &str = "asked.chain.test";

/// An attack, and what is said to stand in its way.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Its name, as a test's.
    pub(crate) name: &'static str,
    /// What is attacked, for people.
    pub(crate) attack: &'static str,
    /// Why it doesn't work, in one line.
    pub(crate) defence: &'static str,
    /// What of the circumstances it needs.
    pub(crate) needs: &'static [Need],
    /// The attack: a shell script that runs in the container; what it prints is shown where the row
    /// fails.
    pub(crate) script: fn(&Scene<'_>) -> String,
    /// What the host does while it runs.
    pub(crate) meanwhile: Meanwhile,
    /// Which of the bed's settings hold, by the end of the runtime's name.
    pub(crate) settings: &'static str,
    /// Without what it must get the secret out.
    pub(crate) control: Control,
    /// For how long something may still come out afterwards: timers of kernels.
    pub(crate) linger: Duration,
    /// Where the secret has got out.
    pub(crate) counts: Counts,
    /// What the record must tell of it.
    pub(crate) recorded: Option<Trace>,
    /// What the script may take, in seconds.
    pub(crate) seconds: u64,
    /// Whether it ends the container's own network: then nothing shows afterwards that the judge
    /// sees.
    pub(crate) silences: bool,
    /// Whether nothing else may run meanwhile: it takes all of the machine.
    pub(crate) alone: bool,
}

/// What happens outside of the container during an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Nothing,
    /// The container's proxy is killed as soon as the script has printed a line.
    ProxyIsKilled,
    /// Somebody approves whatever is pending of the container that reads as [`APPROVED`].
    SomebodyApproves,
    /// Once the script has made `/tmp/ready`, the host runs this script of bash's with the container's
    /// name; then there is `/tmp/done`.
    TheHost(&'static str),
}

/// What a row is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// The same without the filter.
    NoFilter,
    /// The same with the filter, under these settings, while the host does this.
    Filtered(&'static str, Meanwhile),
}

/// Where a secret must not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    Anywhere,
    /// The policy lets it go elsewhere.
    AtTheAttackers,
}

/// By what an attempt is found in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    Secret,
    Target,
    /// By its verdict: what it says is never read as far as the secret.
    Denied,
}

/// What an attack can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is about one protocol.
    Only(Family),
    /// CAP_NET_ADMIN over its own network, which nesting gives, to every user.
    NetAdmin,
    /// Only without any capability is there something to show.
    Unprivileged,
}

/// Most rows: nothing special.
pub(crate) const ROW: Row = Row {
    name: "",
    attack: "",
    defence: "",
    needs: &[],
    script: |_| String::new(),
    meanwhile: Meanwhile::Nothing,
    settings: "",
    control: Control::NoFilter,
    linger: Duration::from_secs(1),
    counts: Counts::Anywhere,
    recorded: None,
    seconds: 60,
    silences: false,
    alone: false,
};

impl Row {
    /// Why it can't run so, if it can't.
    pub(crate) fn hindrance(&self, circumstances: &Circumstances) -> Option<&'static str> {
        self.needs
            .iter()
            .find_map(|need| need.hindrance(circumstances))
    }
}

impl Need {
    fn hindrance(self, circumstances: &Circumstances) -> Option<&'static str> {
        match self {
            Self::Only(Family::V4) => {
                (circumstances.family == Family::V6).then_some("there is nothing like it in IPv6")
            }
            Self::Only(Family::V6) => {
                (circumstances.family == Family::V4).then_some("there is nothing like it in IPv4")
            }
            Self::NetAdmin => (circumstances.nesting == Nesting::None)
                .then_some("without nesting nobody has CAP_NET_ADMIN by default"),
            Self::Unprivileged => (circumstances.user == User::Root)
                .then_some("it is the attack of a user without any capability"),
        }
    }
}
