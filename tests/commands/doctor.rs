//! What doctor says of the runtime with Docker, held against what then happens; and its lines, typed until
//! nothing is missing.

use serde_json::Value;
use test_support::bed::Bed;

use crate::typed;

/// A host as it is before `install docker`, after it, and after dockerd was started anew.
pub(crate) fn agrees(bed: &Bed) {
    bed.exec(&["boundary-shim", "uninstall", "docker"]);
    bed.restart_docker();
    typed(bed, "docker network create doctors").must_succeed();
    let runs = |network: &str| {
        let words = format!("docker run --rm --network {network} --runtime=boundary bed true");
        typed(bed, &words).code == 0
    };
    let mut lines = Vec::new();
    loop {
        let answer = typed(bed, "boundary-shim doctor --json");
        let report: Value = serde_json::from_str(&answer.stdout).unwrap();
        let way = &report["ways"][0];
        assert_eq!(way["name"], "runtime");
        assert_eq!(way["command"], "docker run --runtime=boundary IMAGE");
        let happens = ["bridge", "doctors"].map(runs);
        let said = way["works"].as_bool().unwrap();
        assert_eq!(happens, [said; 2], "after {lines:?}: {way}");
        // containerd's follows, which is here, too.
        let Some(line) = way["fixes"][0]["line"].as_str() else {
            break;
        };
        assert!(lines.len() < 3, "no help: {lines:?}, {way}");
        typed(bed, line).must_succeed();
        lines.push(line.to_owned());
    }
    typed(bed, "docker network rm doctors").must_succeed();
    assert_eq!(
        lines,
        ["boundary-shim install docker", "systemctl restart docker"]
    );
}
