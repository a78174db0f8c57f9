//! Files between whole nodes, and their places on disk.

use std::path::Path;

use donp_core::{Attachment, CommandError, Content, Conversation, Durable, FileDraft, FileError};

use super::tests::{durable, linked, loopback, place, profile, until, volatile};
use super::*;
use crate::node::NodeConfig;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 5) as u8 ^ (i >> 13) as u8).collect()
}

fn named(node: &Node) -> Attachment {
    let find = || {
        let page = node.events(0, 1_000).unwrap();
        durable(page).into_iter().find_map(|e| match e {
            Durable::Received(m) => match m.content {
                Content::File { file, .. } => Some(*file),
                _ => None,
            },
            _ => None,
        })
    };
    until("message with a file", find)
}

fn is_here(node: &Node, file: &Attachment) {
    until("file", || node.files().unwrap().iter().any(|f| f.id == file.id && f.is_whole).then_some(()));
}

// Mutations: `save_file` writes where something is; `add` ignores that the file changed.
#[test]
fn a_file_goes_from_disk_to_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let a = Node::open(loopback(profile(&path("a"), 1))).unwrap();
    let b = Node::open(NodeConfig { bootstraps: vec![place(&a)], ..loopback(profile(&path("b"), 2)) }).unwrap();
    linked(&a, &b);
    // Two parts exactly, more than is fetched unasked, and nothing at all.
    for (n, len) in [2 * FileDraft::PART, 700_001, 0].into_iter().enumerate() {
        let (from, to) = (path(&format!("from{n}.bin")), path(&format!("to{n}.bin")));
        std::fs::write(&from, bytes(len)).unwrap();
        let file = a.add_file(&from, "application/pdf").unwrap();
        assert_eq!((file.name.as_str(), file.size), (format!("from{n}.bin").as_str(), len as u64));
        // What was added is in the store: the file on disk is not needed any more.
        std::fs::remove_file(&from).unwrap();
        a.send_private(b.id(), Content::File { file: Box::new(file.clone()), text: "see".into() }).unwrap();
        until("message", || {
            durable(b.events(0, 1_000).unwrap()).iter().any(|e| {
            matches!(e, Durable::Received(m) if matches!(&m.content, Content::File { file: f, .. } if **f == file))
        }).then_some(())
        });
        b.fetch_file(Conversation::Private(a.id()), &file, Some(a.id())).unwrap();
        is_here(&b, &file);
        assert_eq!(b.save_file(file.id, &to).unwrap(), len as u64);
        assert!(std::fs::read(&to).unwrap() == bytes(len));
        let again = b.save_file(file.id, &to).unwrap_err();
        assert_eq!(again.to_string(), format!("{}: a file is there already", to.display()));
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
}

#[test]
fn a_file_is_there_after_a_restart_and_removed_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let a = Node::open(loopback(profile(dir.path(), 1))).unwrap();
    let file = a.add_file_bytes(bytes(200_000), "a.bin", "").unwrap();
    a.shutdown().unwrap();
    let a = Node::open(loopback(profile(dir.path(), 1))).unwrap();
    is_here(&a, &file);
    let read: Vec<u8> = (0..4).flat_map(|part| a.read_file(file.id, part).unwrap().unwrap()).collect();
    assert!(read == bytes(200_000));
    a.remove_file(file.id).unwrap();
    assert!(a.files().unwrap().is_empty());
    let gone = a.save_file(file.id, &dir.path().join("x")).unwrap_err();
    assert!(matches!(gone, NodeError::Command(CommandError::Unknown("file here"))), "{gone}");
}

#[test]
fn what_is_no_file_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let a = volatile(1, &[]);
    for path in [dir.path(), &dir.path().join("none"), Path::new("/")] {
        let refused = a.add_file(path, "").unwrap_err();
        assert!(refused.to_string().starts_with(&path.display().to_string()), "{refused}");
    }
    let refused = a.add_file_bytes(vec![1], "a/b", "").unwrap_err();
    assert!(matches!(refused, NodeError::Command(CommandError::File(FileError::Name))), "{refused}");
    assert!(a.files().unwrap().is_empty(), "nothing is left of what was refused");
}

// Mutations: `named` fetches nothing; what a stranger names is fetched.
#[test]
fn a_small_file_of_a_contact_comes_unasked() {
    let a = volatile(1, &[]);
    let b = volatile(2, &[place(&a)]);
    linked(&a, &b);
    let share = |n: usize| {
        let file = a.add_file_bytes(bytes(100_000 + n), "a.png", "image/png").unwrap();
        a.send_private(b.id(), Content::File { file: Box::new(file.clone()), text: String::new() }).unwrap();
        file
    };
    assert_eq!(share(1), named(&b));
    assert!(b.files().unwrap().is_empty(), "nothing of a stranger comes unasked");
    // A node that is written to is a contact.
    b.send_private(a.id(), Content::text("hello")).unwrap();
    let file = share(2);
    is_here(&b, &file);
    until("event", || {
        let events = durable(b.events(0, 1_000).unwrap());
        events.contains(&Durable::FileReceived { file: file.id }).then_some(())
    });
}

// Mutations: the name of what is not finished is made of the file's; it is written where something is.
#[cfg(unix)]
#[test]
fn what_is_saved_goes_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let a = volatile(1, &[]);
    // As long as a name may be.
    let name = "n".repeat(255);
    let file = a.add_file_bytes(bytes(5), &name, "").unwrap();
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    let names = (0..50).map(|n| format!(".donp-{}-{n}.part", std::process::id()));
    let guessed = names.chain([format!(".a.{}.part", std::process::id())]);
    guessed.for_each(|guess| std::os::unix::fs::symlink(&victim, dir.path().join(guess)).unwrap());
    for to in [dir.path().join("a"), dir.path().join(&name)] {
        assert_eq!(a.save_file(file.id, &to).unwrap(), 5);
        assert!(std::fs::read(&to).unwrap() == bytes(5));
    }
    assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
}
