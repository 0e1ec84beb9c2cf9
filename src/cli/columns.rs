//! Writes a table of text: each column is as wide as its widest cell.

use std::io::{self, Write};

use crate::escape::clean;

/// The longest cell, in bytes; the rest is cut off.
const MAX_CELL: usize = 64;

/// Writes rows of equal length; the last column is written unchanged. `right`: the columns that are
/// aligned to the right, for numbers.
pub(super) fn write(rows: &[Vec<String>], right: &[usize], out: &mut impl Write) -> io::Result<()> {
    let last = rows.first().map_or(0, |row| row.len().saturating_sub(1));
    let cells = |row: &Vec<String>| -> Vec<String> {
        let shown = |(column, cell): (usize, &String)| {
            if column == last {
                cell.clone()
            } else {
                clean(cell, MAX_CELL)
            }
        };
        row.iter().enumerate().map(shown).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..=last)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padded = if right.contains(&column) {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
            line.push_str(&padded);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
