//! A file with all its mutants in it, each behind a question that a variable of the environment answers.

use std::collections::BTreeMap;
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
    let began: BTreeMap<u32, usize> = mutants
        .iter()
        .map(|(n, m)| match &m.edit {
            Edit::Return { at, .. } => (*n, *at),
            Edit::Instead { of, .. } => (*n, of.start),
        })
        .collect();
    pieces.sort_by(|a, b| {
        let ends = |p: &(usize, [usize; 2], String, u32, bool)| usize::MAX - began.get(&p.3).copied().unwrap_or(0);
        (a.0, !a.4)
            .cmp(&(b.0, !b.4))
            .then_with(|| if a.4 { (ends(a), u32::MAX - a.3).cmp(&(ends(b), u32::MAX - b.3)) } else { a.1.cmp(&b.1) })
    });
    let (mut text, mut last) = (String::with_capacity(source.len() * 2), 0);
    let mut places: BTreeMap<u32, Range<usize>> = BTreeMap::new();
    for (at, _, piece, n, _) in pieces {
        text.push_str(source.get(last..at).unwrap_or_default());
        last = at;
        let begin = text.len();
        text.push_str(&piece);
        places.entry(n).or_insert(begin..begin).end = text.len();
    }
    text.push_str(source.get(last..).unwrap_or_default());
    Rendered { text, places: places.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::rust_files;
    use crate::find::find;

    /// With every mutant of every file of the core in it, a file is still Rust, and each mutant is where its place
    /// says. Mutation: pieces that end together end in the order in which they began.
    #[test]
    fn every_file_of_the_core_takes_all_its_mutants() {
        let mut count = 0;
        for path in rust_files(&crate::root().join("core/src")).unwrap() {
            let source = std::fs::read_to_string(&path).unwrap();
            let found = find(&source).unwrap();
            let mutants: Vec<_> = (1..).zip(&found.mutants).collect();
            let rendered = render(&source, &mutants);
            syn::parse_file(&rendered.text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(rendered.places.len(), mutants.len());
            for (n, place) in rendered.places {
                let text = &rendered.text[place];
                assert!(text.trim_start_matches('(').starts_with(&format!("if crate::mutant::on({n}) {{ ")), "{text}");
                let (open, close) = (text.matches('(').count(), text.matches(')').count());
                assert!(text.contains(['\'', '"']) || open == close, "{}: {text}", path.display());
            }
            count += mutants.len();
        }
        assert!(count > 1_000, "{count}");
    }
}
