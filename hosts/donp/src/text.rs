//! Text for people: nothing that came from elsewhere can steer their terminal.

use std::time::{Duration, UNIX_EPOCH};

use donp_core::WallTime;

/// `text` with everything escaped that moves a cursor, rings, hides or turns text around: control
/// characters, bidirectional overrides and isolates, line separators, and the invisible marks that
/// make two names look alike.
pub fn escape_for_terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || steers(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
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

/// Hours, minutes and seconds of an RFC 3339 time; blanks of the same width if there is none.
pub fn clock_of(rfc3339: Option<&str>) -> &str {
    rfc3339.and_then(|t| t.get(11..19)).unwrap_or("        ")
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
        assert_eq!(escape_for_terminal("héllo ✓ 日本 👩‍🚀".replace('\u{200d}', "").as_str()), "héllo ✓ 日本 👩🚀");
        assert_eq!(escape_for_terminal("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape_for_terminal("a\nb\tc\r\u{7}"), "a\\nb\\tc\\u{d}\\u{7}");
        for c in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{9b}', '\u{2028}', '\u{feff}', '\u{e0041}'] {
            assert!(!escape_for_terminal(&c.to_string()).contains(c), "{c:?}");
        }
    }

    #[test]
    fn times_are_written_in_utc_and_unknown_ones_are_not() {
        assert_eq!(rfc3339(WallTime(1_767_225_600_123)).as_deref(), Some("2026-01-01T00:00:00.123Z"));
        assert_eq!(rfc3339(WallTime(0)), None);
        assert_eq!(rfc3339(WallTime(u64::MAX)), None);
        assert_eq!(clock_of(Some("2026-01-01T12:34:56.123Z")), "12:34:56");
        assert_eq!(clock_of(None).len(), 8);
    }

    #[test]
    fn tables_line_up_without_trailing_blanks() {
        let rows = vec![vec!["a".into(), "bb".into()], vec!["ccc".into(), String::new()]];
        assert_eq!(table(&rows), "a    bb\nccc\n");
    }
}
