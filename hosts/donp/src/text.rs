//! Text for people: nothing that came from elsewhere can steer their terminal.

use std::time::{Duration, UNIX_EPOCH};

use donp_core::WallTime;

/// Blanks for a tab in a text of several lines.
const TAB: &str = "    ";

/// `text` in one line, with everything escaped that moves a cursor, rings, hides or turns text around: control
/// characters, bidirectional overrides and isolates, line separators, and the invisible marks that make two names look
/// alike. The ends of its lines are `␤`, which a typed backslash and n cannot be taken for.
pub fn escape_for_terminal(text: &str) -> String {
    escape(text, "␤", "␉")
}

/// The lines of `text`, each escaped as [`escape_for_terminal`] does; a tab is four blanks. At least one.
pub fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(|line| escape(line.strip_suffix('\r').unwrap_or(line), "", TAB)).collect()
}

fn escape(text: &str, newline: &str, tab: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push_str(newline),
            '\t' => out.push_str(tab),
            JOINER | NON_JOINER if before.zip(chars.peek()).is_some_and(|(before, after)| joins(before, *after)) => {
                out.push(c)
            }
            c if c.is_control() || steers(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        // What follows a joiner is joined to what stands before the marks of colour and form.
        if !is_form(c) {
            before = Some(c);
        }
    }
    out
}

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';

/// Selectors of text or colour, and skin tones: they stand between an emoji and its joiner.
fn is_form(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')
}

/// Whether a joiner between two characters shows: between two emoji, or two letters or marks of a script whose
/// letters join (Unicode Standard Annex 31, section 2.3). Between others, such as Latin ones, it only makes two equal
/// words differ.
fn joins(before: char, after: char) -> bool {
    (is_emoji(before) && is_emoji(after)) || (has_joined_letters(before) && has_joined_letters(after))
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Blocks of Arabic, Syriac, N'Ko and Mongolian, and of the scripts that stem from Brahmi.
fn has_joined_letters(c: char) -> bool {
    let of_script = matches!(c, '\u{600}'..='\u{109f}' | '\u{1700}'..='\u{18af}' | '\u{1900}'..='\u{1cff}'
        | '\u{a800}'..='\u{abff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10a00}'..='\u{10eff}'
        | '\u{11000}'..='\u{11fff}' | '\u{1e900}'..='\u{1e95f}');
    // Signs such as a virama are no letters to the standard library and stand before most joiners.
    of_script && !c.is_numeric() && !steers(c)
}

fn steers(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{feff}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{e0000}'..='\u{e007f}'
    )
}

/// RFC 3339 in UTC with milliseconds; `null` in JSON if the clock was not known.
pub fn rfc3339(at: WallTime) -> Option<String> {
    // The year 9999: what the format can write.
    const LAST_MS: u64 = 253_402_300_799_999;
    (1..=LAST_MS)
        .contains(&at.0)
        .then(|| humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0)).to_string())
}

/// Columns padded to the widest cell; the last one is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|r| r.get(at)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_other_text_is_not() {
        assert_eq!(escape_for_terminal("héllo ✓ 日本"), "héllo ✓ 日本");
        assert_eq!(escape_for_terminal("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape_for_terminal("a\nb\tc\r\u{7}\\n"), "a␤b␉c\\u{d}\\u{7}\\n");
        for c in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{9b}', '\u{2028}', '\u{feff}', '\u{e0041}'] {
            assert!(!escape_for_terminal(&c.to_string()).contains(c), "{c:?}");
        }
    }

    /// Mutations: `joins` is always true, or never; `is_form` is never true.
    #[test]
    fn joiners_show_where_scripts_and_emoji_need_them() {
        let whole = [
            "👩\u{200d}🚀",
            "❤\u{fe0f}\u{200d}🔥",
            "👩🏽\u{200d}⚕\u{fe0f}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "শ্রী",
            "ක්\u{200d}ෂ",
        ];
        for text in whole {
            assert_eq!(escape_for_terminal(text), text);
        }
        let parted = [
            "ali\u{200d}ce",
            "al\u{200c}ice",
            "\u{200d}🚀",
            "🚀\u{200d}",
            "a\u{200d}🚀",
            "1\u{200c}2",
            "می\u{200c}\u{200c}خ",
            "🚀\u{200d}\u{200d}🚀",
            "د\u{200c}a",
        ];
        for text in parted {
            assert!(!escape_for_terminal(text).contains(['\u{200c}', '\u{200d}']), "{text}");
        }
    }

    #[test]
    fn a_text_of_several_lines_keeps_them() {
        assert_eq!(lines("a\nb\\n\tc\r\n\u{7}"), ["a", "b\\n    c", "\\u{7}"]);
        assert_eq!(lines(""), [""]);
        assert_eq!(lines("x\n"), ["x", ""]);
    }

    #[test]
    fn times_are_written_in_utc_and_unknown_ones_are_not() {
        assert_eq!(rfc3339(WallTime(1_767_225_600_123)).as_deref(), Some("2026-01-01T00:00:00.123Z"));
        assert_eq!(rfc3339(WallTime(0)), None);
        assert_eq!(rfc3339(WallTime(u64::MAX)), None);
    }

    #[test]
    fn tables_line_up_without_trailing_blanks() {
        let rows = vec![vec!["a".into(), "bb".into()], vec!["ccc".into(), String::new()]];
        assert_eq!(table(&rows), "a    bb\nccc\n");
    }
}
