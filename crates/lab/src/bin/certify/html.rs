//! The table as one page of HTML that needs nothing else: `docs/matrix.html`.

use crate::cell::{Cell, Known};
use std::fmt::Write as _;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What was seen to boot</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100%; font-size: .875rem }
th, td { border-bottom: 1px solid #ddd; padding: .4rem .6rem; text-align: left; vertical-align: top }
tr.counts td:nth-child(3) { background: #e3f3e6 }
tr.reserved td:nth-child(3) { background: #fdf3d6 }
tr.against td:nth-child(3) { background: #fbe3e1 }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 } a { color: #8ab4f8 } th, td { border-color: #444 }
  tr.counts td:nth-child(3) { background: #1d3a24 }
  tr.reserved td:nth-child(3) { background: #43391a }
  tr.against td:nth-child(3) { background: #4a2321 }
}
</style>
</head>
<body>
<h1>What was seen to boot</h1>
<p>Rendered by <code>./dev certify</code> from signed evidence. A control is a guest that was attached without being
converted: it must not come up. A row counts when it came out as expected, its signature holds, and its guest, its profile
and the code have not changed since.</p>
<table>
<thead><tr><th>guest</th><th>hypervisor</th><th>grade</th><th>kind</th><th>drivers</th><th>addresses</th><th>seconds</th><th>day</th><th>evidence</th></tr></thead>
<tbody>
"#;

/// The page.
pub(crate) fn page(cells: &[Cell]) -> String {
    let mut page = String::from(HEAD);
    for cell in cells {
        row(cell, &mut page);
    }
    page.push_str("</tbody>\n</table>\n</body>\n</html>\n");
    page
}

fn row(cell: &Cell, page: &mut String) {
    let kind = if cell.control { "control" } else { "converted" };
    let (guest, target) = (escape(cell.guest), escape(&cell.target));
    // Writing to a String cannot fail.
    let Some(known) = &cell.known else {
        let _ = writeln!(page, "<tr><td>{guest}<td>{target}<td>not run<td>{kind}<td><td><td><td><td></tr>");
        return;
    };
    let _ = writeln!(
        page,
        "<tr class=\"{}\"><td>{guest}<td>{target}<td>{}<td>{kind}<td>{}<td>{}<td>{}<td>{}\
         <td><a href=\"../support/evidence/{name}.json\">document</a></tr>",
        class(known),
        escape(&grade(known)),
        escape(&known.drivers.join(", ")),
        escape(&known.addresses.join(", ")),
        known.seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
        escape(&known.day),
        name = escape(&cell.name),
    );
}

fn class(known: &Known) -> &'static str {
    match (known.expected, known.counts()) {
        (_, true) => "counts",
        (true, false) => "reserved",
        (false, false) => "against",
    }
}

fn grade(known: &Known) -> String {
    let cause = known.cause.iter().cloned();
    let said: Vec<String> = cause.chain(known.reservations()).collect();
    let name = known.grade.name();
    if said.is_empty() { name.to_owned() } else { format!("{name} ({})", said.join("; ")) }
}

/// A guest's own words among markup: the five characters that mean something, and a bound.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars().filter(|character| !character.is_control()).take(240) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markdown::tests::cell;

    #[test]
    fn a_row_that_was_not_run_is_shown() {
        let unknown = Cell { known: None, ..cell() };
        assert!(page(&[unknown]).contains("<td>not run"));
    }

    #[test]
    fn a_guests_words_are_text() {
        let mut hostile = cell();
        hostile.known.as_mut().unwrap().drivers = vec!["<script>alert('x')</script>".into()];
        let page = page(&[hostile]);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }
}
