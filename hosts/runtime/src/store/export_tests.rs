use std::fs;
use std::path::PathBuf;

use donp_core::{Identity, WallTime};
use zeroize::Zeroizing;

use super::*;
use crate::store::{Profile, Protection};

const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
const KNOWN: &[u8] = b"a plaintext that must not be found on the disk";

fn passphrase(text: &str) -> Secrets {
    Secrets { passphrase: Some(Zeroizing::new(text.into())), ..Secrets::default() }
}

/// A folder with a profile `own` that has a secret, and the export of it.
fn exported(secrets: &Secrets) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::generate([7; 64], "Alice", WallTime(1)).unwrap();
    let mut profile = Profile::create(&dir.path().join("own"), &identity, secrets, CHEAP).unwrap();
    // More than a chunk.
    profile.put_secret("known", &KNOWN.repeat(4_000)).unwrap();
    let to = dir.path().join("alice.export");
    // A node that runs has it open.
    export_profile(&dir.path().join("own"), secrets, &to, "travel", CHEAP).unwrap();
    (dir, to)
}

fn opens(dir: &Path, secrets: &Secrets, protection: Protection) {
    let profile = Profile::open(dir, secrets).unwrap();
    assert_eq!(profile.secret("known").unwrap().unwrap(), KNOWN.repeat(4_000));
    assert_eq!(profile.protection(), protection);
    assert_eq!(profile.identity().name(), "Alice");
}

/// Mutations: the data key is not in the first chunk; `import` keeps the old wrapped key; no new life is begun.
#[test]
fn an_export_opens_elsewhere_under_another_protection() {
    for own in [Secrets::default(), passphrase("at home")] {
        let (dir, file) = exported(&own);
        for (name, new, protection) in
            [("a", Secrets::default(), Protection::KeyFile), ("b", passphrase("over there"), Protection::Passphrase)]
        {
            let to = dir.path().join(name);
            import_profile(&file, "travel", &to, &new, CHEAP).unwrap();
            assert!(to.join(NEW_LIFE).exists(), "what is said from now on is another log");
            opens(&to, &new, protection);
            assert!(matches!(import_profile(&file, "travel", &to, &new, CHEAP), Err(StoreError::Exists(_))));
            opens(&to, &new, protection);
        }
        // Nothing is left beside it.
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["a", "alice.export", "b", "own"]);
        assert!(matches!(
            export_profile(&dir.path().join("own"), &own, &file, "travel", CHEAP),
            Err(StoreError::Exists(_))
        ));
    }
}

/// Mutation: the file is a plain copy.
#[test]
fn an_export_shows_nothing_without_its_passphrase() {
    let (dir, file) = exported(&Secrets::default());
    let bytes = fs::read(&file).unwrap();
    for known in [KNOWN, b"SQLite format 3", b"wrapped-key", b"host/known"] {
        assert!(!bytes.windows(known.len()).any(|w| w == known), "{}", String::from_utf8_lossy(known));
    }
    let to = dir.path().join("new");
    let wrong = import_profile(&file, "guess", &to, &Secrets::default(), CHEAP);
    assert!(matches!(wrong, Err(StoreError::WrongPassphrase(_))), "{wrong:?}");
    assert!(!to.exists());
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o77, 0);
    }
}

/// Mutations: the last chunk has no mark; the number of a chunk is not in its nonce; the head has no sum.
#[test]
fn a_file_that_was_changed_or_cut_is_refused_whole() {
    let (dir, file) = exported(&Secrets::default());
    let bytes = fs::read(&file).unwrap();
    let to = dir.path().join("new");
    let refused = |bytes: &[u8], what: &str| {
        let bad = dir.path().join("bad.export");
        fs::write(&bad, bytes).unwrap();
        let found = import_profile(&bad, "travel", &to, &Secrets::default(), CHEAP);
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{what}: {found:?}");
        assert!(!to.exists(), "{what}");
    };
    let chunk = CHUNK + TAG;
    let start = HEAD + CHECKSUM + 32 + TAG;
    assert!(bytes.len() > start + 2 * chunk, "three chunks and more");
    for at in (0..start + 8).chain((start..bytes.len()).step_by(977)) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        refused(&changed, &format!("byte {at}"));
    }
    for length in [0, 1, HEAD, start - 1, start, start + chunk, start + chunk + 1, bytes.len() - 1] {
        refused(&bytes[..length], &format!("{length} bytes"));
    }
    refused(&[&bytes[..], b"x"].concat(), "a byte more");
    let mut swapped = bytes.clone();
    swapped[start..start + 2 * chunk].rotate_left(chunk);
    refused(&swapped, "two chunks in another order");
    import_profile(&file, "travel", &to, &Secrets::default(), CHEAP).unwrap();
}

/// Mutations: the old wrap stays; the old key file stays; a running node's profile is taken.
#[test]
fn a_passphrase_is_added_changed_and_removed() {
    let (dir, file) = exported(&Secrets::default());
    let own = dir.path().join("own");
    let (first, second) = (passphrase("first"), passphrase("second"));
    protect_profile(&own, &Secrets::default(), &first, CHEAP).unwrap();
    assert!(!own.join("key").exists());
    assert!(matches!(Profile::open(&own, &Secrets::default()), Err(StoreError::PassphraseNeeded(_))));
    opens(&own, &first, Protection::Passphrase);
    protect_profile(&own, &first, &second, CHEAP).unwrap();
    assert!(matches!(Profile::open(&own, &first), Err(StoreError::WrongPassphrase(_))));
    assert!(matches!(protect_profile(&own, &first, &second, CHEAP), Err(StoreError::WrongPassphrase(_))));
    opens(&own, &second, Protection::Passphrase);
    protect_profile(&own, &second, &Secrets::default(), CHEAP).unwrap();
    opens(&own, &Secrets::default(), Protection::KeyFile);
    // What was exported before opens as it did.
    import_profile(&file, "travel", &dir.path().join("new"), &first, CHEAP).unwrap();
}
