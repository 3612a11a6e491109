//! A plain table for the terminal.

/// Columns are as wide as their widest cell; numbers stand to the right.
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            headings: headings.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let printable = |cell: String| super::printable(&cell).into_owned();
        self.rows.push(cells.map(printable).to_vec());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> Vec<usize> {
        let lines = || std::iter::once(&self.headings).chain(&self.rows);
        (0..self.headings.len())
            .map(|column| {
                lines()
                    .map(|cells| cells[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths = self.widths();
        let lines = std::iter::once(&self.headings).chain(&self.rows);
        for (number, cells) in lines.enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let mut line = String::new();
            for (column, cell) in cells.iter().enumerate() {
                let width = widths[column];
                let numeric = cell
                    .starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
                    || (number == 0 && self.column_is_numeric(column));
                let padded = if numeric && column > 0 {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                };
                line.push_str("  ");
                line.push_str(&padded);
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

impl Table {
    fn column_is_numeric(&self, column: usize) -> bool {
        self.rows
            .first()
            .is_some_and(|row| row[column].starts_with(|c: char| c.is_ascii_digit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_adds_no_line_and_keeps_its_column() {
        let mut table = Table::new(["shop", "orders"]);
        table.row(["a\nsalla-sync: all good\u{1b}[2J".into(), "7".into()]);
        table.row(["b".into(), "12".into()]);
        let text = table.to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
        let ends: Vec<usize> = text.lines().map(str::len).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "{text}");
        assert!(
            text.contains("a\\nsalla-sync: all good\\u{1b}[2J"),
            "{text}"
        );
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["resource", "rows"]);
        table.row(["orders".into(), "12,000".into()]);
        table.row(["products".into(), "7".into()]);
        let text = table.to_string();
        assert_eq!(
            text,
            "  resource    rows\n  orders    12,000\n  products       7"
        );
    }
}
