//! Who names whom, between parts and between files, and the circles in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use crate::tree::{Target, Tree};

/// From, to, and what is named, with the place of it.
#[derive(Debug, Default)]
pub(crate) struct Graph(BTreeMap<String, BTreeMap<String, Vec<Arrow>>>);

#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) named: String,
}

/// The folder or the file's own name, `policy` or `hook`; all fuzz targets are one part.
pub(crate) fn part_of(file: &str) -> &str {
    match file.strip_prefix("src/") {
        Some(name) => name.split(['/', '.']).next().unwrap_or_default(),
        None => file.split('/').next().unwrap_or_default(),
    }
}

impl Graph {
    /// The files that the code of each file uses. That a module passes on what is in its children
    /// is no use of it.
    pub(crate) fn of_files(tree: &Tree) -> Self {
        let mut graph = Self::default();
        for name in &tree.names {
            if let Target::Item { file, path } = &name.target
                && !(name.passed_on && is_below(file, &name.file))
            {
                graph.add(&name.file, file, name.line, &name.file, path);
            }
        }
        graph
    }

    /// The parts that each part names.
    pub(crate) fn of_parts(tree: &Tree) -> Self {
        let mut graph = Self::default();
        for name in &tree.names {
            let (target, named) = match &name.target {
                Target::Item { file, path } => (Some(file), path.clone()),
                Target::Module { file } => (Some(file), file.clone()),
                Target::Foreign(path) => (None, path.join("::")),
            };
            for to in name.through.iter().chain(target) {
                // The crate's root is on the way to everything.
                if to != "src/lib.rs" {
                    graph.add(
                        part_of(&name.file),
                        part_of(to),
                        name.line,
                        &name.file,
                        &named,
                    );
                }
            }
        }
        graph
    }

    fn add(&mut self, from: &str, to: &str, line: usize, file: &str, named: &str) {
        if from == to {
            return;
        }
        let arrows = self.0.entry(from.to_owned()).or_default();
        let arrows = arrows.entry(to.to_owned()).or_default();
        if !arrows.iter().any(|arrow| arrow.named == named) {
            arrows.push(Arrow {
                file: file.to_owned(),
                line,
                named: named.to_owned(),
            });
        }
    }

    /// All that name something of another's.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What one names of the others.
    pub(crate) fn from(&self, from: &str) -> impl Iterator<Item = (&str, &[Arrow])> {
        let all = self.0.get(from).into_iter().flatten();
        all.map(|(to, arrows)| (to.as_str(), arrows.as_slice()))
    }

    pub(crate) fn arrows(&self, from: &str, to: &str) -> &[Arrow] {
        let all = self.0.get(from).and_then(|all| all.get(to));
        all.map_or(&[], Vec::as_slice)
    }

    /// The circles, one text each.
    pub(crate) fn circles(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let turned = self.turned();
        let mut seen = BTreeSet::new();
        for node in self.0.keys() {
            if seen.contains(node) {
                continue;
            }
            let component = self.component(node, &turned);
            if let Some(circle) = self.shortest_circle(&component) {
                seen.extend(component);
                wrong.push(format!(
                    "a circle, in which nothing can be read, tested or moved without all of it:\n{}",
                    self.describe(&circle)
                ));
            }
        }
        wrong
    }

    pub(crate) fn without(&self, left_out: &[(&str, &str)]) -> Self {
        let mut rest = Self::default();
        for (from, all) in &self.0 {
            for (to, arrows) in all {
                if !left_out.contains(&(from.as_str(), to.as_str())) {
                    for arrow in arrows {
                        rest.add(from, to, arrow.line, &arrow.file, &arrow.named);
                    }
                }
            }
        }
        rest
    }

    /// All that both lead to this node and are led to from it, or nothing.
    fn component(&self, node: &str, turned: &Self) -> BTreeSet<String> {
        let (ahead, behind) = (self.reached(node), turned.reached(node));
        ahead.intersection(&behind).cloned().collect()
    }

    fn turned(&self) -> Self {
        let mut turned = Self::default();
        for (from, all) in &self.0 {
            for to in all.keys() {
                turned.add(to, from, 0, "", "");
            }
        }
        turned
    }

    fn reached(&self, node: &str) -> BTreeSet<String> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![node]);
        while let Some(node) = open.pop() {
            for (next, _) in self.from(node) {
                if seen.insert(next.to_owned()) {
                    open.push(next);
                }
            }
        }
        seen
    }

    /// The shortest way from one to another, both included.
    fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = VecDeque::from([from]);
        while let Some(node) = open.pop_front() {
            if node == to {
                let mut way = vec![node];
                while let Some(earlier) = way.last().and_then(|node| before.get(node)) {
                    way.push(earlier);
                    if *earlier == from {
                        break;
                    }
                }
                return Some(way.into_iter().rev().map(str::to_owned).collect());
            }
            for (next, _) in self.from(node) {
                if next != from && !before.contains_key(next) {
                    before.insert(next, node);
                    open.push_back(next);
                }
            }
        }
        None
    }

    /// The shortest circle over an arrow. It ends where it began.
    pub(crate) fn circle_over(&self, from: &str, to: &str) -> Option<Vec<String>> {
        if self.arrows(from, to).is_empty() {
            return None;
        }
        let mut circle = vec![from.to_owned()];
        circle.extend(self.way(to, from)?);
        Some(circle)
    }

    pub(crate) fn shortest_circle(&self, among: &BTreeSet<String>) -> Option<Vec<String>> {
        let arrows = among
            .iter()
            .flat_map(|from| self.from(from).map(move |(to, _)| (from, to)));
        let circles = arrows.filter_map(|(from, to)| self.circle_over(from, to));
        circles.min_by_key(Vec::len)
    }

    /// A line for each arrow of a circle, with where it is.
    pub(crate) fn describe(&self, circle: &[String]) -> String {
        let mut text = String::new();
        for pair in circle.windows(2) {
            let named: Vec<String> = self
                .arrows(&pair[0], &pair[1])
                .iter()
                .map(|arrow| format!("{}:{} {}", arrow.file, arrow.line, arrow.named))
                .collect();
            let _ = writeln!(text, "  {} → {}: {}", pair[0], pair[1], named.join(", "));
        }
        text
    }

    /// Arrows without which there is no circle: those from a child to its parent, else those that
    /// most circles go over.
    pub(crate) fn to_be_cut(&self) -> Vec<(String, String)> {
        let mut cut: Vec<(String, String)> = Vec::new();
        loop {
            let known: Vec<(&str, &str)> = cut
                .iter()
                .map(|(from, to)| (from.as_str(), to.as_str()))
                .collect();
            let rest = self.without(&known);
            let mut circles: Vec<Vec<String>> = Vec::new();
            for from in rest.0.keys() {
                for (to, _) in rest.from(from) {
                    circles.extend(rest.circle_over(from, to));
                }
            }
            let over = |arrow: &[String]| {
                let of_circle = |circle: &&Vec<String>| circle.windows(2).any(|pair| pair == arrow);
                circles.iter().filter(of_circle).count()
            };
            let Some(circle) = circles.iter().min_by_key(|circle| circle.len()) else {
                return cut;
            };
            let arrow = circle
                .windows(2)
                .max_by_key(|pair| (is_below(&pair[0], &pair[1]), over(pair)));
            let Some([from, to]) = arrow else {
                return cut;
            };
            cut.push((from.clone(), to.clone()));
        }
    }
}

/// Whether a file belongs to a module inside of another's.
fn is_below(file: &str, parent: &str) -> bool {
    let folder = parent.strip_suffix(".rs").unwrap_or(parent);
    file.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}
