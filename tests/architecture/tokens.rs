//! Rust code as tokens: without what only tests see, and as the runs of names in it (`a::b::c`).
//!
//! Names are looked for in tokens where syntax doesn't reach: in the arguments of macros.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// Names joined by `::`, as far as they go.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) line: usize,
    pub(crate) names: Vec<String>,
    /// Whether it is a field's or a method's name.
    pub(crate) after_dot: bool,
}

/// The code without documentation and without what is compiled for tests alone.
pub(crate) fn product(tokens: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match attribute(&tokens, at) {
            Some((inside, end)) if is_documentation(&inside) => at = end,
            Some((inside, end)) if is_for_tests(&inside) => at = end_of_item(&tokens, end),
            _ => {
                kept.push(match &tokens[at] {
                    TokenTree::Group(group) => TokenTree::Group(product_group(group)),
                    other => other.clone(),
                });
                at += 1;
            }
        }
    }
    kept.into_iter().collect()
}

fn product_group(group: &Group) -> Group {
    let mut kept = Group::new(group.delimiter(), product(group.stream()));
    kept.set_span(group.span());
    kept
}

/// An attribute that begins here: what is in its brackets, and where it ends.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(Vec<TokenTree>, usize)> {
    if !is_punct(tokens.get(at)?, '#') {
        return None;
    }
    let inner = tokens.get(at + 1).is_some_and(|token| is_punct(token, '!'));
    let at = at + 1 + usize::from(inner);
    match tokens.get(at)? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
            Some((group.stream().into_iter().collect(), at + 1))
        }
        _ => None,
    }
}

fn is_documentation(inside: &[TokenTree]) -> bool {
    inside.first().is_some_and(|token| is_ident(token, "doc"))
}

/// `test`, `tokio::test`, `cfg(test)` and `cfg(all(test, …))`, but not `cfg(not(test))`.
fn is_for_tests(inside: &[TokenTree]) -> bool {
    match inside {
        [word, TokenTree::Group(condition)] if is_ident(word, "cfg") => {
            needs_test(&condition.stream().into_iter().collect::<Vec<_>>())
        }
        [.., word, TokenTree::Group(_)] => is_ident(word, "test"),
        [.., last] => is_ident(last, "test"),
        [] => false,
    }
}

fn needs_test(condition: &[TokenTree]) -> bool {
    match condition {
        [word] => is_ident(word, "test"),
        [word, TokenTree::Group(all)] if is_ident(word, "all") => {
            let all: Vec<TokenTree> = all.stream().into_iter().collect();
            all.split(|token| is_punct(token, ',')).any(needs_test)
        }
        _ => false,
    }
}

/// Where an item, a field, an arm or a statement ends whose attributes begin here.
fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while let Some((_, end)) = attribute(tokens, at) {
        at = end;
    }
    let ends_in_semicolon = is_assignment(&tokens[at..]);
    let mut angles = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Punct(mark) => match mark.as_char() {
                ';' => return at,
                ',' if angles == 0 => return at,
                '<' => angles += 1,
                '>' if !follows_arrow(tokens, at - 1) => angles = angles.saturating_sub(1),
                _ => {}
            },
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace && !ends_in_semicolon =>
            {
                let comma = tokens.get(at).is_some_and(|token| is_punct(token, ','));
                return at + usize::from(comma);
            }
            _ => {}
        }
    }
    at
}

/// Whether this is something that can hold braces before its end.
fn is_assignment(item: &[TokenTree]) -> bool {
    let mut words = item.iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    });
    let first = words.find(|word| !["pub", "r#pub"].contains(&word.as_str()));
    match first.as_deref() {
        Some("use" | "let" | "static" | "type") => true,
        Some("const") => !words
            .next()
            .is_some_and(|next| ["fn", "unsafe", "async", "extern"].contains(&next.as_str())),
        _ => false,
    }
}

/// Whether the `>` here belongs to a `->` or `=>`.
fn follows_arrow(tokens: &[TokenTree], at: usize) -> bool {
    at.checked_sub(1)
        .is_some_and(|before| match &tokens[before] {
            TokenTree::Punct(mark) => {
                ['-', '='].contains(&mark.as_char()) && mark.spacing() == Spacing::Joint
            }
            _ => false,
        })
}

/// Every run of names, those inside of groups too.
pub(crate) fn runs(tokens: &TokenStream) -> Vec<Run> {
    let mut found = Vec::new();
    each_run(tokens, &mut |run, _| found.push(run));
    found
}

/// What is called by this name, with the arguments in parentheses, none where it only is named.
pub(crate) fn calls(tokens: &TokenStream, name: &[&str]) -> Vec<(usize, Option<TokenStream>)> {
    let mut found = Vec::new();
    each_run(tokens, &mut |run, next| {
        let names: Vec<&str> = run.names.iter().map(String::as_str).collect();
        if names.ends_with(name) {
            let arguments = match next {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                    Some(group.stream())
                }
                _ => None,
            };
            found.push((run.line, arguments));
        }
    });
    found
}

/// Goes over the runs, each with what follows it.
fn each_run(tokens: &TokenStream, take: &mut dyn FnMut(Run, Option<&TokenTree>)) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => each_run(&group.stream(), take),
            TokenTree::Ident(first) => {
                let after_dot = at
                    .checked_sub(1)
                    .is_some_and(|before| is_punct(&tokens[before], '.'));
                let mut names = vec![first.to_string()];
                while let Some(TokenTree::Ident(next)) = tokens.get(at + 3) {
                    if !is_punct(&tokens[at + 1], ':') || !is_punct(&tokens[at + 2], ':') {
                        break;
                    }
                    names.push(next.to_string());
                    at += 3;
                }
                let run = Run {
                    line: first.span().start().line,
                    names,
                    after_dot,
                };
                take(run, tokens.get(at + 1));
            }
            _ => {}
        }
        at += 1;
    }
}

/// The lines on which there is code.
pub(crate) fn lines(tokens: &TokenStream) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for token in tokens.clone() {
        found.insert(token.span().start().line);
        if let TokenTree::Group(group) = token {
            found.insert(group.span_close().start().line);
            found.append(&mut lines(&group.stream()));
        }
    }
    found
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(own) if own.as_char() == mark)
}

fn is_ident(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(own) if own == word)
}
