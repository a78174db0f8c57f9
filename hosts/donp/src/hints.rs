//! What the program tells a person to type is what this person has to type: with the profile that was given.

use clap::CommandFactory as _;

/// How hints name this program.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// The profile that was given as an option: the environment stays as it is for the next command, an option does not.
    profile: Option<String>,
}

impl Hints {
    pub fn new(profile: &str, in_environment: Option<&str>) -> Self {
        let by_itself = in_environment.unwrap_or("default") == profile;
        Self { profile: (!by_itself).then(|| profile.into()) }
    }

    /// `text`, which is of this program, with the profile in each command of `donp` that it names.
    pub fn of(&self, text: &str) -> String {
        let Some(profile) = &self.profile else { return text.into() };
        let command = crate::cli::Cli::command();
        let is_verb = |word: &str| command.get_subcommands().any(|verb| verb.get_name() == word);
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("donp ") {
            out.push_str(before);
            out.push_str("donp ");
            let word = after.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
            let is_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '-');
            if is_word && is_verb(word) {
                out.push_str("-p ");
                out.push_str(profile);
                out.push(' ');
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_was_given_stands_in_each_command() {
        let given = Hints::new("bob", None);
        assert_eq!(given.of("donp run, or `donp peers` (donp)"), "donp -p bob run, or `donp -p bob peers` (donp)");
        for other in ["donp -p NAME init", "a donp node", "mydonp run", "donp runs"] {
            assert_eq!(given.of(other), other);
        }
        for same in [Hints::new("default", None), Hints::new("bob", Some("bob")), Hints::default()] {
            assert_eq!(same.of("donp run"), "donp run");
        }
        assert_eq!(Hints::new("default", Some("bob")).of("donp run"), "donp -p default run");
    }
}
