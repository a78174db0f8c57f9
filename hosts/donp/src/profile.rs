//! Making and opening profiles from the command line's flags.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use donp_core::{Identity, IdentityError};
use donp_runtime::clock::{Clock, entropy};
use donp_runtime::{Cost, Profile, Secrets};
use zeroize::Zeroizing;

use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::paths::Paths;

/// Opens the profile that the flags name, to run its node: commands that have it are waited for.
pub fn open(paths: &Paths, settings: &Settings) -> Result<Profile, Failure> {
    exists(paths)?;
    Ok(Profile::open(&paths.dir(), &secrets(settings)?)?)
}

/// A profile that is not there, or is another user's, should not cost a passphrase prompt or command.
pub fn exists(paths: &Paths) -> Result<(), Failure> {
    match paths.dir().join("node.db").try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(donp_runtime::StoreError::Missing(paths.dir()).into()),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(donp_runtime::StoreError::Denied(paths.dir()).into())
        }
        Err(e) => Err(Failure::new(Exit::Storage, format!("{}: {e}", paths.dir().display()))),
    }
}

/// Makes a profile with a new identity. The recovery code is given back and is not in the profile.
pub fn create(paths: &Paths, settings: &Settings, name: &str) -> Result<(Profile, Zeroizing<String>), Failure> {
    let made = entropy().map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    let mut identity = Identity::generate(made, name, Clock::new().wall()).map_err(|e| match e {
        IdentityError::Name => Failure::usage(e.to_string()),
        IdentityError::Reserved => Failure::usage(e.to_string()).hint("another --name"),
        IdentityError::Damaged => Failure::new(Exit::Bug, e.to_string()),
    })?;
    let code = Zeroizing::new(identity.recovery_code().unwrap_or_default());
    identity.forget_recovery_code();
    Ok((Profile::create(&paths.dir(), &identity, &secrets(settings)?, Cost::default())?, code))
}

/// The passphrase, if one is given: file, then command, then environment.
pub fn secrets(settings: &Settings) -> Result<Secrets, Failure> {
    let passphrase = if let Some(path) = &settings.passphrase_file {
        Some(passphrase_in(path)?)
    } else if let [program, arguments @ ..] = settings.passphrase_command.as_slice() {
        let what = format!("passphrase command {program}");
        let failed = |e: std::io::Error| Failure::new(Exit::Storage, format!("{what}: {e}"));
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let line = child.stdout.take().map(|out| first_line(out, &what));
        let status = child.wait().map_err(failed)?;
        if !status.success() {
            return Err(Failure::new(Exit::Storage, format!("{what} failed with {status}")));
        }
        line.transpose()?
    } else {
        let given = std::env::var("DONP_PASSPHRASE").ok().map(Zeroizing::new);
        if given.as_ref().is_some_and(|passphrase| passphrase.is_empty()) {
            return Err(Failure::new(Exit::Storage, "DONP_PASSPHRASE is set and empty".to_owned())
                .hint("set it to the passphrase, or unset it"));
        }
        given
    };
    Ok(Secrets { passphrase, key_file: settings.key_file.clone(), key_store: None })
}

/// The passphrase of an export: of the file, or of the environment.
pub fn export_passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = file {
        return passphrase_in(path);
    }
    let given = std::env::var("DONP_EXPORT_PASSPHRASE").ok().map(Zeroizing::new);
    given.filter(|passphrase| !passphrase.is_empty()).ok_or_else(|| {
        Failure::usage("the exported file has a passphrase of its own, and none is given")
            .hint("--export-passphrase-file FILE, or DONP_EXPORT_PASSPHRASE")
    })
}

/// The first line of a file that others cannot read.
pub fn passphrase_in(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let what = format!("passphrase file {}", path.display());
    let file = open_secret(path).map_err(|e| Failure::new(Exit::Storage, format!("{what}: {e}")))?;
    first_line(file, &what)
}

/// Opens a file with a secret. On Unix the wrong users must not be able to use it.
pub fn open_secret(path: &Path) -> std::io::Result<fs::File> {
    #[cfg(unix)]
    return donp_runtime::os::open_secret(path);
    #[cfg(not(unix))]
    fs::File::open(path)
}

fn first_line(from: impl std::io::Read, what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    BufReader::new(from.take(4_096))
        .read_line(&mut line)
        .map_err(|e| Failure::new(Exit::Storage, format!("{what}: {e}")))?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    if line.is_empty() {
        return Err(Failure::new(Exit::Storage, format!("{what} gave no passphrase")));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_command(command: &str) -> Result<Option<String>, Failure> {
        let passphrase_command = vec!["sh".into(), "-c".into(), command.into()];
        let found = secrets(&Settings { passphrase_command, ..Settings::default() })?;
        Ok(found.passphrase.map(|p| p.to_string()))
    }

    #[test]
    fn the_first_line_is_the_passphrase() {
        assert_eq!(with_command("printf ' a b \\r\\nsecond\\n'").unwrap().unwrap(), " a b ");
        for (command, says) in [("true", "gave no passphrase"), ("echo x; exit 3", "failed with")] {
            let failure = with_command(command).unwrap_err();
            assert_eq!(failure.exit, Exit::Storage);
            assert!(failure.what.contains(says), "{failure}");
        }
    }

    #[test]
    fn a_missing_file_is_named_and_the_file_wins_over_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        let settings = Settings {
            passphrase_file: Some(path.clone()),
            passphrase_command: vec!["false".into()],
            ..Settings::default()
        };
        let missing = secrets(&settings).err().unwrap();
        assert!(missing.what.contains(path.to_str().unwrap()), "{missing}");
        fs::write(&path, "correct horse\n").unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(secrets(&settings).unwrap().passphrase.unwrap().as_str(), "correct horse");
    }
}
