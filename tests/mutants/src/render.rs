//! A file with all its mutants in it, each behind a question that a variable of the environment answers.

use std::ops::Range;

use crate::find::{Edit, Mutant};

/// What is added to the copy of the core: which mutant is on, and in a run that traces, which test reaches which.
pub const SWITCH: &str = r#"//! Which mutant is on.
extern crate std;

use std::io::Write;
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const UNKNOWN: u32 = u32::MAX;
const TRACE: u32 = u32::MAX - 1;
const NONE: u32 = u32::MAX - 2;

static ACTIVE: AtomicU32 = AtomicU32::new(UNKNOWN);

std::thread_local! {
    static REACHED: core::cell::RefCell<std::collections::BTreeSet<u32>> = const {
        core::cell::RefCell::new(std::collections::BTreeSet::new())
    };
}

#[inline]
pub(crate) fn on(mutant: u32) -> bool {
    let mut active = ACTIVE.load(Relaxed);
    if active == UNKNOWN {
        active = match std::env::var("DONP_MUTANT") {
            Ok(n) => n.parse().unwrap_or(NONE),
            Err(_) if std::env::var_os("DONP_MUTANT_TRACE").is_some() => TRACE,
            Err(_) => NONE,
        };
        ACTIVE.store(active, Relaxed);
    }
    if active == TRACE {
        trace(mutant);
    }
    active == mutant
}

/// A test runs in a thread of its own, which has its name.
#[cold]
fn trace(mutant: u32) {
    if REACHED.try_with(|reached| reached.borrow_mut().insert(mutant)) == Ok(false) {
        return;
    }
    let thread = std::thread::current();
    let line: String = std::format!("{mutant} {}\n", thread.name().unwrap_or("?"));
    let file = std::env::var_os("DONP_MUTANT_TRACE").unwrap_or_default();
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(file) {
        let _ = file.write_all(line.as_bytes());
    }
}
"#;

/// The text of a file, and where each mutant is in it.
pub struct Rendered {
    pub text: String,
    /// Byte ranges in `text`, by the mutants' numbers.
    pub places: Vec<(u32, Range<usize>)>,
}

/// Writes mutants into the source. They nest: what a mutant replaces stays beside it, with the mutants inside.
pub fn render(source: &str, mutants: &[(u32, &Mutant)]) -> Rendered {
    // Where, before what else at the same place, the text, whose it is, whether it ends there.
    let mut pieces: Vec<(usize, [usize; 2], String, u32, bool)> = Vec::new();
    for (n, mutant) in mutants {
        let order = *n as usize;
        match &mutant.edit {
            Edit::Return { at, value } => {
                let text = format!("if crate::mutant::on({n}) {{ return {value}; }} ");
                pieces.push((*at, [0, order], text, *n, false));
            }
            Edit::Instead { of, with } => {
                let before = format!("(if crate::mutant::on({n}) {{ ({with}) }} else {{ (");
                // Ends before beginnings, the inner one first; of beginnings the outer one.
                let inverse = usize::MAX - of.end;
                pieces.push((of.start, [inverse, order], before, *n, false));
                pieces.push((of.end, [0, 0], ") })".to_owned(), *n, true));
            }
        }
    }
    // Of two that end together the one that began last ends first.
    let began = |n: u32| {
        mutants.iter().find(|(m, _)| *m == n).map_or(0, |(_, m)| match &m.edit {
            Edit::Return { at, .. } => *at,
            Edit::Instead { of, .. } => of.start,
        })
    };
    pieces.sort_by(|a, b| {
        let ends = |p: &(usize, [usize; 2], String, u32, bool)| usize::MAX - began(p.3);
        (a.0, !a.4)
            .cmp(&(b.0, !b.4))
            .then_with(|| if a.4 { (ends(a), u32::MAX - a.3).cmp(&(ends(b), u32::MAX - b.3)) } else { a.1.cmp(&b.1) })
    });
    let (mut text, mut last) = (String::with_capacity(source.len() * 2), 0);
    let mut starts: Vec<(u32, usize)> = Vec::new();
    let mut places = Vec::new();
    for (at, _, piece, n, end) in pieces {
        text.push_str(source.get(last..at).unwrap_or_default());
        last = at;
        let begin = text.len();
        text.push_str(&piece);
        let wraps = mutants.iter().any(|(m, mutant)| *m == n && matches!(mutant.edit, Edit::Instead { .. }));
        if end {
            let from = starts.iter().rev().find(|(m, _)| *m == n).map_or(begin, |(_, from)| *from);
            places.push((n, from..text.len()));
        } else if wraps {
            starts.push((n, begin));
        } else {
            places.push((n, begin..text.len()));
        }
    }
    text.push_str(source.get(last..).unwrap_or_default());
    Rendered { text, places }
}
