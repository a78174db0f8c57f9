//! Where things are: state, configuration, control sockets.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use etcetera::base_strategy::Xdg;

use crate::failure::{Exit, Failure};

/// The longest path of a Unix socket on Linux, less the closing zero; 104 on macOS.
const MAX_SOCKET_PATH: usize = if cfg!(target_vendor = "apple") { 103 } else { 107 };

/// The places of one profile.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The profile's name.
    pub profile: String,
    /// Holds one folder for each profile.
    pub state_dir: PathBuf,
    /// Chosen with `--state-dir` or `DONP_STATE_DIR`: then the socket is there too, so that equal
    /// names in different folders do not meet.
    own_state_dir: bool,
}

impl Paths {
    /// # Errors
    /// When the name cannot be a folder's name, or there is no home to put it in.
    pub fn new(profile: &str, state_dir: Option<&Path>) -> Result<Self, Failure> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if profile.is_empty() || profile.len() > 32 || profile.starts_with('.') || !profile.chars().all(allowed) {
            return Err(Failure::usage(format!("'{profile}' cannot be the name of a profile"))
                .hint("1 to 32 letters, digits, dashes, dots and underscores"));
        }
        let base = match state_dir {
            Some(dir) => {
                std::path::absolute(dir).map_err(|e| Failure::usage(format!("state folder {}: {e}", dir.display())))?
            }
            None => xdg()?
                .state_dir()
                .map(|d| d.join("donp"))
                .ok_or_else(|| Failure::new(Exit::Failed, "no state folder"))?,
        };
        Ok(Self { profile: profile.into(), state_dir: base, own_state_dir: state_dir.is_some() })
    }

    /// The profile's folder.
    pub fn dir(&self) -> PathBuf {
        self.state_dir.join(&self.profile)
    }

    /// Where the daemon of this profile listens for commands.
    ///
    /// # Errors
    /// When the path is longer than a socket's may be.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_absolute());
        let path = match runtime {
            Some(dir) if !self.own_state_dir => dir.join("donp").join(format!("{}.sock", self.profile)),
            _ => self.dir().join("sock"),
        };
        check_length(path)
    }
}

fn check_length(path: PathBuf) -> Result<PathBuf, Failure> {
    let len = path.as_os_str().len();
    if len > MAX_SOCKET_PATH {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "the control socket {} would have a path of {len} bytes and the system allows {MAX_SOCKET_PATH}",
                path.display()
            ),
        )
        .hint("a shorter --state-dir or --profile"));
    }
    Ok(path)
}

/// The configuration file that is read if none is named.
///
/// # Errors
/// When there is no home to look in.
pub fn default_config() -> Result<PathBuf, Failure> {
    Ok(xdg()?.config_dir().join("donp").join("config.toml"))
}

fn xdg() -> Result<Xdg, Failure> {
    Xdg::new().map_err(|e| {
        Failure::new(Exit::Failed, format!("no home folder: {e}")).hint("--state-dir and --config, or set HOME")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "ä", &"x".repeat(33)] {
            assert_eq!(Paths::new(bad, Some("/s".as_ref())).unwrap_err().exit, Exit::Usage, "{bad}");
        }
        assert_eq!(Paths::new("al-ice_2.b", Some("/s".as_ref())).unwrap().dir(), Path::new("/s/al-ice_2.b"));
    }

    #[test]
    fn a_chosen_state_folder_holds_its_socket() {
        let paths = Paths::new("alice", Some("/s".as_ref())).unwrap();
        assert_eq!(paths.socket().unwrap(), Path::new("/s/alice/sock"));
    }

    #[test]
    fn a_socket_path_that_is_too_long_says_what_to_do() {
        let long = PathBuf::from("/").join("x".repeat(120));
        let failure = Paths::new("alice", Some(&long)).unwrap().socket().unwrap_err();
        assert!(failure.what.contains("132 bytes") && failure.hint.unwrap().contains("--state-dir"));
    }
}
