//! Text that a guest wrote, made fit to be shown and searched.

use std::iter::Peekable;
use std::str::Chars;

/// One line of at most `longest` characters, without control characters.
pub(crate) fn field(text: &str, longest: usize) -> String {
    line(text.trim()).chars().take(longest).collect()
}

/// One line, without control characters, which could drive a terminal or make a line of their own.
pub(crate) fn line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// A console's output as plain lines: without the escape sequences of terminals (ECMA-48) and control characters,
/// and with a line feed at each end of line.
pub(crate) fn plain(console: &str) -> String {
    let mut plain = String::with_capacity(console.len());
    let mut characters = console.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if moves_to_a_line(&mut characters) && !plain.ends_with('\n') {
                    plain.push('\n');
                }
            }
            '\r' => {
                // Line ends come as \r\n, \r\r\n or, where a line is written over, \r alone.
                while characters.next_if_eq(&'\r').is_some() {}
                characters.next_if_eq(&'\n');
                plain.push('\n');
            }
            '\n' | '\t' => plain.push(character),
            _ if character.is_control() => {}
            _ => plain.push(character),
        }
    }
    plain
}

/// Passes over what follows an escape character: a control sequence up to its final byte (ECMA-48, 5.4), or a
/// sequence of intermediate bytes and one final byte. Says whether it puts the cursor near the beginning of a line,
/// as menus do instead of ending their lines.
fn moves_to_a_line(characters: &mut Peekable<Chars>) -> bool {
    if characters.next_if_eq(&'[').is_none() {
        while characters.next_if(|next| ('\u{20}'..='\u{2f}').contains(next)).is_some() {}
        characters.next_if(|next| ('\u{30}'..='\u{7e}').contains(next));
        return false;
    }
    let mut parameters = String::new();
    while let Some(next) = characters.next_if(|next| ('\u{20}'..='\u{3f}').contains(next)) {
        parameters.push(next);
    }
    // CUP, "cursor position": line and column, both from 1 and 1 where they are left out.
    let column = parameters.split(';').nth(1).and_then(|column| column.parse().ok()).unwrap_or(1);
    characters.next_if(|next| ('\u{40}'..='\u{7e}').contains(next)) == Some('H') && column <= 4
}

/// The last `lines` lines that are not blank, each at most 200 characters long.
pub(crate) fn tail(plain: &str, lines: usize) -> Vec<String> {
    let mut tail: Vec<String> = plain
        .lines()
        .rev()
        .map(|line| line.trim_end())
        .filter(|line| !line.is_empty())
        .take(lines)
        .map(|line| line.chars().take(200).collect())
        .collect();
    tail.reverse();
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_control_characters_go() {
        let console =
            "\u{1b}[2J\u{1b}[01;01H\u{1b}[=3hBooting\u{1b}[0;32m  OK \u{1b}[0m\r\n\u{1b}(B\u{7}next\rover";
        assert_eq!(plain(console), "\nBooting  OK \nnext\nover");
        assert_eq!(plain("\u{1b}[5;3H*Debian\u{1b}[5;78H|\u{1b}[6;3H Other"), "\n*Debian|\n Other");
        assert_eq!(plain("cut \u{1b}["), "cut ");
        assert_eq!(plain("cut \u{1b}"), "cut ");
    }

    #[test]
    fn the_tail_has_no_blank_lines_and_no_endless_ones() {
        let long = "x".repeat(1000);
        assert_eq!(tail(&format!("a\n\nb\n  \n{long}\n"), 2), ["b".to_string(), "x".repeat(200)]);
    }
}
