//! Every relative link of every page leads to a file, and to a heading where it names one.

use std::path::{Component, Path, PathBuf};

use test_support::programs::REPOSITORY;

use crate::page::Page;

#[test]
fn every_link_leads_somewhere() {
    let pages = Page::all();
    let links: Vec<_> = pages
        .iter()
        .flat_map(|page| page.links().into_iter().map(move |link| (page, link)))
        .collect();
    assert!(links.len() > 80, "the links were not found");
    let broken: Vec<String> = links
        .iter()
        .filter(|(_, (_, target))| !target.contains("://"))
        .filter_map(|(page, (number, target))| {
            let problem = problem(&page.name, target, &pages)?;
            Some(format!("{}:{number}: {target}: {problem}", page.name))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// README is where a reader begins: no page is to be found only by who knows its name.
#[test]
fn readme_links_to_every_page_of_docs() {
    let readme = Page::read("README.md");
    let linked: Vec<&str> = readme
        .links()
        .into_iter()
        .map(|(_, target)| target)
        .collect();
    let pages = Page::all();
    let missing: Vec<&str> = pages
        .iter()
        .map(|page| page.name.as_str())
        .filter(|name| name.starts_with("docs/") && !linked.contains(name))
        .collect();
    assert!(missing.is_empty(), "README.md has no link to {missing:?}");
}

fn problem(from: &str, target: &str, pages: &[Page]) -> Option<&'static str> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let name = if path.is_empty() {
        from.to_owned()
    } else {
        beside(from, path)?
    };
    if !Path::new(REPOSITORY).join(&name).exists() {
        return Some("no such file");
    }
    if anchor.is_empty() {
        return None;
    }
    let there = pages.iter().find(|page| page.name == name);
    let known = there.is_some_and(|page| page.anchors().iter().any(|known| known == anchor));
    (!known).then_some("no such heading")
}

/// The file that a link from a page means, relative to the repository.
fn beside(from: &str, path: &str) -> Option<String> {
    let mut whole = PathBuf::from(from);
    whole.pop();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => assert!(whole.pop(), "{from}: {path} leaves the repository"),
            part => whole.push(part),
        }
    }
    Some(whole.to_str()?.to_owned())
}
