//! Texts as people compare them: in any case, composed or not.

use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

/// The dot of a small i, which stands apart once `İ` is decomposed.
const DOT_ABOVE: char = '\u{307}';

/// A text in the form in which it is compared. Two texts with one form differ only in case or in how their accents are
/// written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folded(String);

impl Folded {
    /// Canonical caseless matching (The Unicode Standard, section 3.13, D145) with the full case mappings of the standard
    /// library: down, up and down again meets every pair, such as `ς` and `Σ`, `ß` and `SS`, `ﬁ` and `FI`. Two marks that
    /// a keyboard may leave out fold too: the dot of `İ`, and the missing one of `ı`.
    pub fn new(text: &str) -> Self {
        let cased = decomposed(text.chars()).into_iter().flat_map(char::to_lowercase);
        let cased = cased.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        let mut out = String::with_capacity(text.len());
        for c in decomposed(cased) {
            if c != DOT_ABOVE || !out.ends_with('i') {
                out.push(c);
            }
        }
        Self(out)
    }

    /// Whether there is nothing to compare.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `self` contains `wanted`. A letter is not found in the same letter with an accent: `cafe` is not in `café`.
    pub fn contains(&self, wanted: &Self) -> bool {
        let is_mark = |c: char| canonical_combining_class(c) != 0;
        // What begins with a mark is looked for as it is.
        self.0.match_indices(&wanted.0).any(|(at, found)| {
            let after = self.0.get(at + found.len()..).and_then(|rest| rest.chars().next());
            !after.is_some_and(is_mark)
        })
    }
}

/// Normalization Form D (Unicode Standard Annex 15). The library's iterator would link the tables of compatible forms too,
/// 60 KB of the library for apps.
fn decomposed(text: impl Iterator<Item = char>) -> Vec<char> {
    let mut out = Vec::new();
    for c in text {
        decompose_canonical(c, |c| out.push(c));
    }
    for marks in out.split_mut(|c| canonical_combining_class(*c) == 0).filter(|marks| marks.len() > 1) {
        // At most a walk for each of the 55 classes, however many marks a text has.
        let mut sorted = Vec::with_capacity(marks.len());
        let mut class = 0;
        while let Some(next) = marks.iter().map(|c| canonical_combining_class(*c)).filter(|c| *c > class).min() {
            class = next;
            sorted.extend(marks.iter().filter(|c| canonical_combining_class(**c) == class));
        }
        marks.copy_from_slice(&sorted);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contains(text: &str, wanted: &str) -> bool {
        Folded::new(text).contains(&Folded::new(wanted))
    }

    /// Mutations: without `nfd`, without the middle `to_uppercase`, without the dot, without the mark behind.
    #[test]
    fn a_text_is_found_in_any_case_and_either_form() {
        let same = [
            ("café", "cafe\u{301}"),
            ("CAFÉ", "cafe\u{301}"),
            ("ﬁne", "FINE"),
            ("İstanbul", "istanbul"),
            ("İSTANBUL", "i\u{307}stanbul"),
            ("ODYSSEUΣ Σίσυφος", "odysseuς ΣΊΣΥΦΟΣ"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "straße"),
            ("가", "\u{1100}\u{1161}"),
            ("\u{212b}ngström", "ångström"),
        ];
        for (a, b) in same {
            assert_eq!(Folded::new(a), Folded::new(b), "{a} {b}");
            assert!(contains(&format!("x {a} y"), b) && contains(&format!("x {b} y"), a), "{a} {b}");
        }
        for (text, wanted) in [("café", "cafe"), ("cafe\u{301}", "cafe"), ("resume", "résumé"), ("ab", "ba")] {
            assert!(!contains(text, wanted), "{text} {wanted}");
        }
        assert!(contains("cafés, cafe", "cafe"), "a later place counts");
        assert!(!Folded::new("x").is_empty() && Folded::new("").is_empty());
    }

    proptest! {
        /// Mutation: marks stay in the order in which they were written.
        #[test]
        fn what_is_decomposed_here_is_form_d(text in "[a-z가é\u{300}-\u{345}\u{5b0}-\u{5bd}ัः]{0,20}|\\PC{0,20}") {
            use unicode_normalization::UnicodeNormalization as _;
            prop_assert_eq!(decomposed(text.chars()), text.nfd().collect::<Vec<_>>());
        }

        #[test]
        fn folding_again_changes_nothing(text in "\\PC{0,40}") {
            let folded = Folded::new(&text);
            prop_assert_eq!(Folded::new(&folded.0), folded);
        }
    }
}
