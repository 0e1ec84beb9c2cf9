//! Docker: the runtime's entry in `daemon.json`, and the word to a running dockerd.
//!
//! Plans only ([`Plan`]); nothing is changed here. What a maintainer must not forget, tried with dockerd 20.10.24:
//! - a reload (SIGHUP) **replaces** all runtimes but `runc` by the file's, so those of `--add-runtime` are lost (and its
//!   alias `io.containerd.runc.v2` until the next start); without the key `runtimes` it replaces nothing;
//! - `dns` is read at start only, and dockerd doesn't start at all where `--dns` is given too;
//! - nor does it start where `default-runtime` names a runtime that isn't there.
//!
//! Why `dns`: containers on user-defined networks ask Docker's embedded resolver, which asks the servers of the host's
//! resolv.conf from the *host's* network (28 and later: always; before: where they are on loopback), past every filter.
//! Servers named in `dns` are asked through the container's network, in every version. So it is set wherever it is
//! absent: which version will read the file is unknown while none runs, and where it isn't needed it says what dockerd
//! would use anyway.

pub mod daemon_json;
pub mod dockerd;
pub mod resolvers;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use self::daemon_json::{DaemonJson, Malformed};
use self::dockerd::Daemon;
use super::binary::{self, BinaryError, NameError, PolicyName};
use super::step::{Step, missing_directories};

/// Where things are on this host.
#[derive(Debug)]
pub struct Places {
    /// This program's file.
    pub binary: PathBuf,
    /// dockerd's configuration file.
    pub daemon_config: PathBuf,
    /// The directory of policy files.
    pub policies: PathBuf,
    /// The directory with an entry for each running container of ours.
    pub running: PathBuf,
    /// Where the host's DNS servers are written, the best first.
    pub resolv_confs: Vec<PathBuf>,
}

/// The name that `docker run --runtime=` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeName(String);

/// What is to be done, in order, and what the user should know afterwards.
#[derive(Debug, Default)]
pub struct Plan {
    /// Changes; none where everything is as wanted.
    pub steps: Vec<Step>,
    /// One remark each.
    pub notes: Vec<String>,
}

/// Why nothing can be done.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Our own file won't do.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// A file or `/proc` can't be read.
    #[error("can't read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The configuration isn't what dockerd could read.
    #[error("{path} is left alone")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The name belongs to another runtime.
    #[error("the runtime `{name}` is {path} and not ours: choose another --name")]
    Foreign {
        /// The runtime's name.
        name: RuntimeName,
        /// Its path.
        path: String,
    },
    /// Without the runtime dockerd would not start.
    #[error("`{0}` is dockerd's default runtime, without which it doesn't start: change `default-runtime` first")]
    IsDefault(RuntimeName),
    /// JSON has no word for the path.
    #[error("{0} isn't UTF-8")]
    NotText(PathBuf),
}

/// Plans that dockerd offers the runtime `name`, which follows `policy`.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn install(places: &Places, name: &RuntimeName, policy: &PolicyName) -> Result<Plan, DockerError> {
    let binary = binary::trusted(&places.binary)?;
    let (path, link) = binary::path_for(&binary, policy)?;
    let mut file = ConfigFile::read(&places.daemon_config)?;
    let daemons = running(&file.path)?;
    let mut plan = Plan::default();

    plan.steps.extend(missing_directories(&places.policies));
    plan.steps.extend(link);
    let runtime = file.add_runtime(name, &path)?;
    let dns = file.add_dns(&places.resolv_confs, &daemons, &mut plan);
    plan.write(file);
    if runtime {
        plan.reload(&daemons);
    }
    if dns && !daemons.is_empty() {
        plan.notes.push(format!("`dns` counts once dockerd is started anew: {RESTART}"));
    }
    plan.name_missing_policy(&places.policies, policy);
    Ok(plan)
}

/// Plans that dockerd doesn't offer the runtime `name` any more.
///
/// # Errors
/// Everything that speaks against it, before anything is touched.
pub fn uninstall(places: &Places, name: &RuntimeName) -> Result<Plan, DockerError> {
    let mut file = ConfigFile::read(&places.daemon_config)?;
    let daemons = running(&file.path)?;
    let mut plan = Plan::default();

    let Some(path) = file.remove_runtime(name, &daemons)? else { return Ok(plan) };
    let unused = !file.json.mentions(&path);
    plan.keep_dns(&file.json);
    plan.write(file);
    plan.reload(&daemons);
    if unused {
        plan.remove_link(Path::new(&path), &places.running);
    }
    Ok(plan)
}

const RESTART: &str = "systemctl restart docker";

fn running(config: &Path) -> Result<Vec<Daemon>, DockerError> {
    dockerd::reading(config).map_err(|source| DockerError::Read { path: "/proc".into(), source })
}

/// The configuration file, and what has been changed in it so far.
struct ConfigFile {
    path: PathBuf,
    before: Option<String>,
    json: DaemonJson,
    changes: Vec<String>,
}

impl ConfigFile {
    /// Where the path is a link, the file it leads to is meant, so that the link stays one.
    fn read(path: &Path) -> Result<Self, DockerError> {
        let unreadable = |source| DockerError::Read { path: path.to_owned(), source };
        let (path, before) = match path.canonicalize() {
            Ok(real) => (real.clone(), Some(read_bounded(&real).map_err(unreadable)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => (path.to_owned(), None),
            Err(error) => return Err(unreadable(error)),
        };
        let malformed = |source| DockerError::Malformed { path: path.clone(), source };
        let json = DaemonJson::parse(before.as_deref().unwrap_or_default()).map_err(malformed)?;
        Ok(Self { path, before, json, changes: Vec::new() })
    }

    /// Says whether something had to be changed.
    fn add_runtime(&mut self, name: &RuntimeName, path: &Path) -> Result<bool, DockerError> {
        let path = path.to_str().ok_or_else(|| DockerError::NotText(path.to_owned()))?;
        match self.json.runtime(&name.0) {
            Some(found) if found == path => return Ok(false),
            Some(found) if !binary::is_ours(&found) => {
                return Err(DockerError::Foreign { name: name.clone(), path: found });
            }
            Some(found) => self.changes.push(format!("runtime {name}: {path} (was {found})")),
            None => self.changes.push(format!("runtime {name}: {path}")),
        }
        self.json.set_runtime(&name.0, path);
        Ok(true)
    }

    /// Says whether something had to be changed.
    fn add_dns(&mut self, resolv_confs: &[PathBuf], daemons: &[Daemon], plan: &mut Plan) -> bool {
        if !self.json.dns().is_empty() || daemons.iter().any(|daemon| !daemon.flag("--dns").is_empty()) {
            return false;
        }
        let servers = resolvers::of_host(resolv_confs);
        if servers.is_empty() {
            plan.notes.push(
                "`dns` isn't set: this host names no DNS server that a container could ask. Add `\"dns\": [\"ADDRESS\"]` \
                 yourself, or containers on user-defined networks are refused"
                    .to_owned(),
            );
            return false;
        }
        self.json.set_dns(&servers);
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        self.changes.push(format!(
            "dns {}: this host's servers, named so that Docker's resolver asks them through the container's network, \
             where the filter is, and not from the host's",
            servers.join(", ")
        ));
        if daemons.is_empty() {
            plan.notes
                .push("should dockerd be started with --dns, remove `dns`: it doesn't start with both".to_owned());
        }
        true
    }

    /// Gives the path that the runtime had; none where there is no such runtime.
    fn remove_runtime(&mut self, name: &RuntimeName, daemons: &[Daemon]) -> Result<Option<String>, DockerError> {
        let Some(path) = self.json.runtime(&name.0) else { return Ok(None) };
        if !binary::is_ours(&path) {
            return Err(DockerError::Foreign { name: name.clone(), path });
        }
        let by_flag = |daemon: &Daemon| daemon.flag("--default-runtime").contains(&name.0.as_str());
        if self.json.default_runtime().is_some_and(|default| default == name.0) || daemons.iter().any(by_flag) {
            return Err(DockerError::IsDefault(name.clone()));
        }
        self.json.remove_runtime(&name.0);
        self.changes.push(format!("no runtime {name} (was {path})"));
        Ok(Some(path))
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    /// Far above any real one; a device or a mistaken path is not read to its end.
    const LARGEST: u64 = 1024 * 1024;
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= LARGEST) {
        Ok(text)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

impl Plan {
    fn write(&mut self, file: ConfigFile) {
        let ConfigFile { path, before, json, changes } = file;
        if changes.is_empty() {
            return;
        }
        self.steps.extend(path.parent().map(missing_directories).unwrap_or_default());
        self.steps.push(Step::Write { path, before, after: json.text(), changes });
    }

    /// Where a reload would take runtimes away that aren't ours, the user is told to restart instead.
    fn reload(&mut self, daemons: &[Daemon]) {
        for daemon in daemons {
            if daemon.flag("--add-runtime").is_empty() {
                self.steps.push(Step::Reload(daemon.clone()));
            } else {
                self.notes.push(format!(
                    "dockerd (pid {}) was not told: a reload would drop the runtimes of its --add-runtime. Instead: {RESTART}",
                    daemon.pid()
                ));
            }
        }
        if daemons.is_empty() {
            self.notes.push("no dockerd that reads this file is running: it counts from its next start".to_owned());
        }
    }

    fn name_missing_policy(&mut self, policies: &Path, policy: &PolicyName) {
        let file = policies.join(format!("{policy}.yaml"));
        if !file.exists() {
            let file = file.display();
            self.notes.push(format!(
                "no policy yet, so everything is denied. To begin one: printf 'allow:\\n  - domain=example.com\\n' | sudo tee {file}"
            ));
        }
    }

    fn keep_dns(&mut self, json: &DaemonJson) {
        let servers = json.dns();
        if !servers.is_empty() {
            self.notes.push(format!("`dns` stays ({}): whose it is can't be told", servers.join(", ")));
        }
    }

    /// A running container is stopped and removed through the path it was made with, so the link stays as long.
    fn remove_link(&mut self, link: &Path, running: &Path) {
        if !binary::is_link(link) {
            return;
        }
        if std::fs::read_dir(running).is_ok_and(|mut entries| entries.next().is_some()) {
            let link = link.display();
            self.notes.push(format!("{link} stays: containers are running that may need it to be stopped"));
        } else {
            self.steps.push(Step::Unlink(link.to_owned()));
        }
    }
}

impl FromStr for RuntimeName {
    type Err = NameError;

    /// dockerd keeps `runc` and its aliases to itself.
    fn from_str(name: &str) -> Result<Self, NameError> {
        binary::check_spelling(name)?;
        if name == "runc" || name.starts_with("io.containerd.") {
            return Err(NameError::Taken(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "docker/tests.rs"]
mod tests;
