//! The tables of words: one row a line, its mark, the language it is of, and the words, with tabs between. A line that
//! starts with `#` is a comment.

/// One row, and where it stands.
pub(super) struct Row<'t> {
    line: usize,
    pub(super) mark: &'t str,
    pub(super) words: &'t str,
}

impl Row<'_> {
    /// What is wrong with this row.
    pub(super) fn wrong(&self, problem: impl std::fmt::Display) -> String {
        format!("line {}: {problem}", self.line)
    }
}

/// Reads the rows of a table; the error says which line is none.
pub(super) fn read(table: &str) -> impl Iterator<Item = Result<Row<'_>, String>> {
    let lines = table.lines().zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(text, line)| {
        let fields: Vec<&str> = text.split('\t').collect();
        match fields[..] {
            [mark, _language, words] => Ok(Row { line, mark, words }),
            _ => Err(format!("line {line}: {} fields, expected 3", fields.len())),
        }
    })
}
