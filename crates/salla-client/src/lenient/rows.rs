//! The rows of a page if some of them are not JSON.

use super::tokens::{is_json, quoted};

/// The page with each entry of its `data` that is not JSON as a string, which is no record, so that
/// the others can be read. `None` if no list is found.
pub(super) fn with_broken_ones_quoted(page: &str) -> Option<String> {
    let begin = first_row(page)?;
    let mut rows = Vec::new();
    let mut rest = &page[begin..];
    loop {
        let row = &rest[..value_end(rest)];
        rest = &rest[row.len()..];
        match row.trim() {
            "" => {}
            row if is_json(row) => rows.push(row.to_owned()),
            row => rows.push(quoted(row)),
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    Some([&page[..begin], &rows.join(","), rest].concat())
}

/// Where the first row begins.
fn first_row(page: &str) -> Option<usize> {
    let mut rest = page.strip_prefix('{')?;
    loop {
        let member = &rest[..value_end(rest)];
        if let Some(rows) = rows_of(member) {
            return Some(page.len() - rest.len() + (member.len() - rows.len()));
        }
        rest = rest[member.len()..].strip_prefix(',')?;
    }
}

fn rows_of(member: &str) -> Option<&str> {
    let value = member.trim_start().strip_prefix("\"data\"")?;
    let value = value.trim_start().strip_prefix(':')?;
    value.trim_start().strip_prefix('[')
}

/// Length of the value at the start of the text: to the first comma or bracket outside its own
/// brackets.
fn value_end(text: &str) -> usize {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_row_becomes_a_text() {
        let table = [
            (
                r#"{"status":200,"data":[{"id":1},{"id":2 "x":[3,"]"]},{"id":4}],"success":true}"#,
                r#"{"status":200,"data":[{"id":1},"{\"id\":2 \"x\":[3,\"]\"]}",{"id":4}],"success":true}"#,
            ),
            (
                r#"{"a":{"data":[7 7]}, "data" : [ {"id":1} , ,{"id":}]}"#,
                r#"{"a":{"data":[7 7]}, "data" : [{"id":1},"{\"id\":}"]}"#,
            ),
            (r#"{"data":[]}"#, r#"{"data":[]}"#),
        ];
        for (page, expected) in table {
            assert_eq!(with_broken_ones_quoted(page).as_deref(), Some(expected));
        }
    }

    #[test]
    fn without_a_list_there_are_no_rows() {
        for page in [
            "[1 2]",
            r#"{"data":{"id":1 "x":2}}"#,
            r#"{"x":["data",[1 2]]}"#,
            "{",
        ] {
            assert_eq!(with_broken_ones_quoted(page), None, "{page}");
        }
    }
}
