//! Figures about the sources, for people.

use std::fmt::Write;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::graph::Graph;
use crate::tree::Tree;
use crate::{rules, tokens};

/// Functions' lengths, closures, types that share a name, and the circles.
pub(crate) fn report(tree: &Tree) -> String {
    let mut counts = Counts::default();
    let mut lines = 0;
    for file in tree.files.keys().filter(|file| file.starts_with("src/")) {
        counts.file = file;
        counts.visit_file(&tree.syntax(file));
        lines += tokens::lines(&tree.tokens(file)).len();
    }
    let mut text = format!("{lines} lines of code\n");
    counts.functions.sort_unstable();
    let at = |percent: usize| {
        let last = counts.functions.len().saturating_sub(1);
        counts.functions.get(last * percent / 100)
    };
    for (name, percent) in [("median", 50), ("p90", 90), ("longest", 100)] {
        if let Some((lines, place)) = at(percent) {
            let _ = writeln!(text, "functions, {name}: {lines} lines ({place})");
        }
    }
    let _ = writeln!(
        text,
        "closures: {} ({:.2} per 100 lines)",
        counts.closures,
        100.0 * f64::from(counts.closures) / f64::from(u32::try_from(lines).unwrap_or(u32::MAX))
    );
    let types = rules::types(tree);
    let shared = types.iter().filter(|(_, files)| files.len() > 1);
    let _ = writeln!(text, "\nnames of several types:");
    for (name, files) in shared {
        let _ = writeln!(text, "  {name}: {}", files.join(", "));
    }
    let parts = Graph::of_parts(tree);
    let _ = writeln!(text, "\nwhat each part knows:");
    for part in parts.all() {
        let known: Vec<&str> = parts.from(part).map(|(to, _)| to).collect();
        let _ = writeln!(text, "  {part}: {}", known.join(", "));
    }
    for (title, graph) in [("parts", parts), ("files", Graph::of_files(tree))] {
        let _ = writeln!(text, "\ncircles between {title}, over an arrow to be cut:");
        for (from, to) in graph.to_be_cut() {
            let circle = graph.circle_over(&from, &to).unwrap_or_default();
            let _ = write!(text, "\"{from} → {to}\",\n{}", graph.describe(&circle));
        }
    }
    text
}

#[derive(Default)]
struct Counts<'a> {
    file: &'a str,
    functions: Vec<(usize, String)>,
    closures: u32,
}

impl Counts<'_> {
    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.span().start().line;
        let lines = body.span().end().line + 1 - first;
        let place = format!("{}:{first} {}", self.file, signature.ident);
        self.functions.push((lines, place));
    }
}

impl<'ast> Visit<'ast> for Counts<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.closures += 1;
        visit::visit_expr_closure(self, closure);
    }
}
