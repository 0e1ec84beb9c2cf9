//! When the host's files are read, and what is never taken for a policy.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Instant;

use tempfile::TempDir;

use super::*;

/// A host's folder of settings, with a policy.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir(host.at("policies")).unwrap();
        host.write("config.toml", "reload = \"auto\"\n");
        host.write("policies/default.yaml", "allow: [domain=a.test]\n");
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let mut file = File::create(self.at(name)).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        drop(file);
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(self.at(name), mode).unwrap();
    }

    /// What its files say now to a container that was started before.
    fn found(&self) -> Found {
        let settings = settings::Settings::default();
        let started = PolicySource {
            name: settings.policy.to_string(),
            ..PolicySource::default()
        };
        let in_force = PolicySource {
            allow: vec!["domain=before.test".to_owned()],
            ..started.clone()
        };
        self.found_under(&started, &in_force, None)
    }

    /// The same to one that was started with one policy, and has another.
    fn found_under(
        &self,
        started: &PolicySource,
        in_force: &PolicySource,
        applied: Option<&str>,
    ) -> Found {
        look(&self.at("config.toml"), before(started, in_force, applied))
    }

    fn news(&self) -> News {
        News::of(&self.at("config.toml"))
    }
}

fn before(started: &PolicySource, in_force: &PolicySource, applied: Option<&str>) -> Before {
    Before {
        in_force: in_force.clone(),
        started: started.clone(),
        applied: applied.map(PathBuf::from),
    }
}

fn rules(found: &Found) -> &[String] {
    &source(found).allow
}

fn source(found: &Found) -> &PolicySource {
    match found {
        Found::New(wanted) => &wanted.source,
        other => panic!("{other:?}"),
    }
}

fn mistake(found: Found) -> String {
    match found {
        Found::Mistaken(why) => why,
        other => panic!("{other:?}"),
    }
}

/// Whether something is told of, and all is quiet, within a second.
async fn is_told(news: &mut News) -> bool {
    timeout(Duration::from_secs(1), news.arrive()).await.is_ok()
}

#[tokio::test]
async fn every_way_of_changing_a_file_is_told_of_once_it_is_complete() {
    let host = Host::new();
    let file = host.at("policies/default.yaml");
    let ways: [(&str, &dyn Fn()); 6] = [
        ("truncated and written", &|| {
            host.write("policies/default.yaml", "allow: [domain=b.test]")
        }),
        ("renamed over it", &|| {
            host.write("policies/.new", "allow: [domain=b.test]");
            fs::rename(host.at("policies/.new"), &file).unwrap();
        }),
        ("its rights", &|| {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("a link that is swapped", &|| {
            // As a volume of a ConfigMap.
            for version in ["..1", "..2"] {
                fs::create_dir_all(host.at(&format!("policies/{version}"))).unwrap();
                host.write(
                    &format!("policies/{version}/default.yaml"),
                    "allow: [domain=b.test]",
                );
            }
            let _ = fs::remove_file(host.at("policies/..data"));
            symlink("..1", host.at("policies/..data")).unwrap();
            fs::remove_file(&file).unwrap();
            symlink("..data/default.yaml", &file).unwrap();
            symlink("..2", host.at("policies/..tmp")).unwrap();
            fs::rename(host.at("policies/..tmp"), host.at("policies/..data")).unwrap();
        }),
        ("the settings", &|| {
            host.write("config.toml", "reload = \"auto\"\ndenied-note = \"x\"\n")
        }),
        ("a folder that comes", &|| {
            fs::create_dir(host.at("ceiling.d")).unwrap()
        }),
    ];
    let mut news = host.news();
    for (way, change) in ways {
        change();
        assert!(is_told(&mut news).await, "{way}");
        assert_eq!(rules(&host.found()), ["domain=b.test"], "{way}");
        assert!(news.holds(&host.found()), "{way}");
    }
    assert!(!is_told(&mut news).await, "nothing was changed");
    // The folder that came is watched, too, and what a link leads to in it.
    host.write("ceiling.d/corp.yaml", "deny: [domain=x.test]");
    assert!(is_told(&mut news).await);
}

#[tokio::test]
async fn what_is_half_written_is_not_read() {
    let host = Host::new();
    let mut news = host.news();
    let mut file = File::create(host.at("policies/default.yaml")).unwrap();
    write!(file, "allow:\n- domain=b.test\n").unwrap();
    assert!(!is_told(&mut news).await, "it is still open");
    // Another file is complete meanwhile.
    host.write("policies/npm.yaml", "allow: []");
    assert!(!is_told(&mut news).await);
    write!(file, "deny:\n- domain=c.test\n").unwrap();
    drop(file);
    let began = Instant::now();
    assert!(is_told(&mut news).await);
    assert!(began.elapsed() >= QUIET);
}

#[tokio::test]
async fn what_is_changed_while_it_is_read_is_read_again() {
    let host = Host::new();
    let mut news = host.news();
    host.write("policies/default.yaml", "allow: [domain=b.test]");
    assert!(is_told(&mut news).await);
    let found = host.found();
    host.write("policies/default.yaml", "allow: [domain=c.test]");
    assert!(!news.holds(&found));
    news.settle().await;
    assert!(news.holds(&host.found()));
    // Where nothing tells, it has to be found twice.
    let mut polled = News::Polled(None);
    assert!(!polled.holds(&found) && polled.holds(&found) && !polled.holds(&host.found()));
}

#[test]
fn it_waits_while_files_are_swapped() {
    let host = &Host::new();
    let lock = &host.at("lock");
    let swapping = state::swapping_policies(lock).unwrap();
    let started = PolicySource {
        name: "default".to_owned(),
        ..PolicySource::default()
    };
    std::thread::scope(|scope| {
        let before = before(&started, &started, None);
        let found = scope.spawn(|| undisturbed(&host.at("config.toml"), before, lock));
        test_support::lock::until_wanted(&swapping);
        host.write("policies/default.yaml", "allow: [domain=b.test]\n");
        drop(swapping);
        assert_eq!(rules(&found.join().unwrap()), ["domain=b.test"]);
    });
}

#[test]
fn what_is_no_policy_of_roots_own_is_a_mistake() {
    let host = Host::new();
    assert_eq!(rules(&host.found()), ["domain=a.test"]);
    host.write("policies/default.yaml", " \n");
    assert!(mistake(host.found()).contains("is empty"));
    host.write("policies/default.yaml", "alow: []");
    assert!(mistake(host.found()).contains("alow: unknown key"));
    host.write(
        "policies/default.yaml",
        "allow: [domain=a.test]\ninclude: [npm]\n",
    );
    host.write("policies/npm.yaml", "");
    assert!(mistake(host.found()).contains("policy npm: is empty"));
    fs::set_permissions(
        host.at("policies/npm.yaml"),
        fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    assert!(mistake(host.found()).contains("writable by others"));
    if geteuid().is_root() {
        std::os::unix::fs::chown(host.at("policies/default.yaml"), Some(1000), None).unwrap();
        assert!(mistake(host.found()).contains("owned by user 1000, not by root"));
    }
    fs::remove_file(host.at("policies/default.yaml")).unwrap();
    assert!(mistake(host.found()).contains("does not exist"));
    host.write("config.toml", "");
    assert!(mistake(host.found()).contains("config.toml: is empty"));
    host.write("config.toml", "reload = \"manual\"");
    assert_eq!(host.found(), Found::Same, "not any more");
}

/// Nobody knows whether it was taken away, or is about to be written again.
#[test]
fn without_a_file_that_is_missing_no_policy_is_put_into_force() {
    let host = Host::new();
    for folder in ["ceiling.d", "presets.d"] {
        fs::create_dir(host.at(folder)).unwrap();
    }
    host.write("policies/default.yaml", "include: [npm]\n");
    let (npm, layer) = ("policies/npm.yaml", "ceiling.d/corp.yaml");
    let [allowing, bounding] = ["allow: [domain=npm.test]", "deny: [domain=x.test]"];
    host.write("presets.d/npm.yaml", "allow: [domain=*.test]");
    host.write(npm, allowing);
    host.write(layer, bounding);
    let first = host.found();
    let before = source(&first);
    let found = || host.found_under(before, before, None);
    assert_eq!(found(), Found::Same);
    let without = |name: &str| {
        fs::remove_file(host.at(name)).unwrap();
        let why = mistake(found());
        let file = name.trim_start_matches("policies/");
        assert!(why.starts_with(&format!("{file} is missing")), "{why}");
    };
    without(layer);
    let applied = host.found_under(before, before, Some("/other.yaml"));
    assert!(mistake(applied).contains(layer));
    fs::remove_dir(host.at("ceiling.d")).unwrap();
    assert!(mistake(found()).contains(layer));
    fs::create_dir(host.at("ceiling.d")).unwrap();
    host.write(layer, bounding);
    without(npm);
    host.write(npm, allowing);
    assert_eq!(found(), Found::Same);
    // What else was changed counts, and the layer goes on bounding it.
    fs::remove_file(host.at(layer)).unwrap();
    host.write("policies/default.yaml", "allow: [domain=b.test]\n");
    let narrowed = found();
    assert_eq!(
        (rules(&narrowed), &source(&narrowed).layers),
        (&["domain=b.test".to_owned()][..], &before.layers)
    );
    let again = host.found_under(before, source(&narrowed), None);
    assert!(mistake(again).contains("ceiling.d/corp.yaml is missing, and bounds it"));
    host.write(layer, bounding);
    // What is there says what counts.
    host.write("ceiling.d/more.yaml", bounding);
    let now = found();
    assert_eq!(
        (rules(&now), source(&now).layers.len()),
        (&["domain=b.test".to_owned()][..], 2)
    );
    // Somebody said that it counts without them.
    let now = source(&now);
    fs::remove_file(host.at(npm)).unwrap();
    assert_eq!(host.found_under(before, now, None), Found::Same);
}

#[test]
fn what_a_layer_or_a_ceiling_includes_is_missed_too() {
    let host = Host::new();
    for folder in ["ceiling.d", "presets.d"] {
        fs::create_dir(host.at(folder)).unwrap();
    }
    host.write(
        "config.toml",
        "reload = \"auto\"\n[annotations]\nceiling = \"limit\"\n",
    );
    // Its own name is that of what it includes.
    host.write("ceiling.d/npm.yaml", "include: [npm]\n");
    host.write("policies/limit.yaml", "include: [wide]\n");
    let narrow = "allow: [domain=npm.test]";
    for name in ["npm", "wide"] {
        host.write(&format!("policies/{name}.yaml"), narrow);
        host.write(&format!("presets.d/{name}.yaml"), "allow: [domain=*.test]");
    }
    let settings = settings::load(Some(&host.at("config.toml"))).unwrap();
    let annotated = [("boundary.allow".to_owned(), "domain=a.test".to_owned())];
    let named = select::Named {
        policy: None,
        mode: None,
    };
    let read = settings::read_trusted;
    let before = select::select(&settings, named, &annotated.into(), read).unwrap();
    for name in ["npm", "wide"] {
        let file = format!("policies/{name}.yaml");
        fs::remove_file(host.at(&file)).unwrap();
        let why = mistake(host.found_under(&before, &before, None));
        assert!(why.starts_with(&format!("{name}.yaml is missing")), "{why}");
        host.write(&file, narrow);
    }
    assert_eq!(host.found_under(&before, &before, None), Found::Same);
}
