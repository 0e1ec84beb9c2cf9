//! A page in Markdown, as far as these tests look into one: headings, links, and blocks between fences.

use std::fs;
use std::path::{Path, PathBuf};

use test_support::programs::REPOSITORY;

/// One file.
#[derive(Debug)]
pub(crate) struct Page {
    /// Relative to the repository.
    pub(crate) name: String,
    text: String,
}

/// What is between two fences.
#[derive(Debug)]
pub(crate) struct Block {
    kind: String,
    pub(crate) text: String,
}

impl Block {
    fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            text: String::new(),
        }
    }

    /// What a reader does with it: each command, or the whole by its first line.
    pub(crate) fn items(&self) -> Vec<&str> {
        let lines = self.text.lines();
        if self.is_of_commands() {
            lines.map(without_comment).collect()
        } else {
            lines.take(1).collect()
        }
    }

    /// Others are files, answers and pictures.
    fn is_of_commands(&self) -> bool {
        let is_shell = ["", "sh", "console"].contains(&self.kind.as_str());
        is_shell && !self.text.starts_with('{') && !self.text.contains('─')
    }
}

/// `logs  # what it is for`: comments stand apart by two blanks.
fn without_comment(line: &str) -> &str {
    line.split("  # ").next().unwrap().trim_end()
}

/// A line that is in no block, with its number.
pub(crate) type Line<'a> = (usize, &'a str);

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let file = Path::new(REPOSITORY).join(name);
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self {
            name: name.to_owned(),
            text,
        }
    }

    /// All of the repository.
    pub(crate) fn all() -> Vec<Self> {
        let root = Path::new(REPOSITORY);
        let mut names: Vec<String> = pages_below(root)
            .iter()
            .map(|file| {
                file.strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    /// What isn't between fences.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut in_block = false;
        self.text
            .lines()
            .zip(1..)
            .filter_map(move |(line, number)| {
                let fence = line.trim_start().starts_with("```");
                in_block ^= fence;
                (!fence && !in_block).then_some((number, line))
            })
    }

    /// What is between fences.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut in_block = false;
        for line in self.text.lines() {
            if let Some(kind) = line.trim_start().strip_prefix("```") {
                in_block = !in_block;
                if in_block {
                    blocks.push(Block::new(kind));
                }
            } else if in_block {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
        blocks
    }

    /// What a link to a part of this page may name, as GitHub makes it of headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (_, line) in self.lines() {
            let title = line.trim_start_matches('#');
            if title.len() == line.len() || !title.starts_with(' ') {
                continue;
            }
            let anchor = anchor(title.trim());
            let again = all.iter().filter(|other| **other == anchor).count();
            assert_eq!(again, 0, "{}: two headings are #{anchor}", self.name);
            all.push(anchor);
        }
        all
    }

    /// Where links lead, with their lines' numbers.
    pub(crate) fn links(&self) -> Vec<Line<'_>> {
        self.lines()
            .flat_map(|(number, line)| {
                line.split("](")
                    .skip(1)
                    .filter_map(move |part| Some((number, part.split_once(')')?.0)))
            })
            .collect()
    }
}

fn anchor(title: &str) -> String {
    let title = title.to_lowercase();
    let kept = title
        .chars()
        .filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.map(|char| if char == ' ' { '-' } else { char })
        .collect()
}

fn pages_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_str().unwrap();
            name != "target" && !name.starts_with('.')
        })
        .flat_map(|entry| {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                pages_below(&path)
            } else if path.extension().is_some_and(|kind| kind == "md") {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

#[test]
fn anchors_are_made_as_on_github() {
    assert_eq!(anchor("`notify` and `landjail`"), "notify-and-landjail");
    assert_eq!(
        anchor("What an allowed program sees of a server that isn't there"),
        "what-an-allowed-program-sees-of-a-server-that-isnt-there"
    );
    assert_eq!(anchor("AppArmor: \"Denied\""), "apparmor-denied");
}
