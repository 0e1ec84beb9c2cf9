//! Puts together what is reported: of the place, of this process, of the host, and of each way.
//!
//! Pure.

use super::facts::Facts;
use super::finding::Finding;
use super::host::HostFindings;
use super::report::{Report, Way};
use super::{place, process, ways};

/// Judges all facts.
pub(super) fn report(facts: &Facts) -> Report {
    let here = facts.here.as_ref();
    let place = here.map(|here| place::recognise(&here.traces));
    let host = facts.host.as_ref().map(HostFindings::of);
    let ways = match (here, &place) {
        (Some(here), Some(place)) => {
            ways::ways(here, place, facts.host.as_ref().zip(host.as_ref()))
        }
        _ => Vec::new(),
    };
    let mut findings: Vec<Finding> = place.iter().flat_map(place::findings).collect();
    findings.extend(
        here.into_iter()
            .flat_map(|here| process::findings(&here.process)),
    );
    findings.extend(host.into_iter().flat_map(HostFindings::all));
    findings.extend(nothing_works(&ways, &findings));
    Report {
        healthy: !findings.iter().any(Finding::is_broken),
        container: place
            .as_ref()
            .and_then(|place| place.container)
            .map(place::ContainerKind::name),
        platforms: place
            .into_iter()
            .flat_map(|place| place.platforms)
            .map(place::Platform::name)
            .collect(),
        facts: here.map(|here| here.process.clone()),
        ways,
        findings,
    }
}

/// Where there is no way at all, and nothing else has said so.
fn nothing_works(ways: &[Way], findings: &[Finding]) -> Option<Finding> {
    let works = ways.iter().any(|way| way.works == Some(true));
    let said = findings.iter().any(Finding::is_broken);
    (!ways.is_empty() && !works && !said).then(|| {
        Finding::broken(
            "ways: nothing can be filtered here",
            "see below what stands in the way of each, and what mends it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_way_works_that_is_a_problem_and_only_once() {
        let way = |works| Way {
            name: "notify",
            command: "",
            works,
            why: None,
            warnings: Vec::new(),
            fixes: Vec::new(),
        };
        let broken = |ways: &[Way], findings: &[Finding]| nothing_works(ways, findings).is_some();
        assert!(broken(&[way(None), way(Some(false))], &[]));
        assert!(!broken(&[way(Some(false)), way(Some(true))], &[]));
        assert!(!broken(&[way(Some(false))], &[Finding::broken("x", "y")]));
        assert!(!broken(&[], &[]), "one engine was asked about");
    }
}
