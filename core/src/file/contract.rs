//! What the contract suite draws for this machine: a file of its own, and one that it fetches.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::Write;

use crate::collections::OrderedSet;
use crate::contract::{Contract, Draw, PEERS, Step, kinds, who};
use crate::fact::samples::{down, up};
use crate::file::parts::Held;
use crate::file::wire::Message;
use crate::file::{
    AddPart, Begin, FileDraft, Files, Finish, In, Out, PARTS, ReadPart, Remove, SealedFile, Share, StartFetch,
};
use crate::id::{FileId, GroupId, NodeId};
use crate::machine::{Command, Cx, Outbox};
use crate::shared::Arc;
use crate::store::{Record, Scan};
use crate::wire::Blob;
use crate::wire::content::{Attachment, Conversation};
use crate::wire::group::{GroupView, Reader};

/// The files of the suite have this many bytes, by number: one part, none, two parts.
const SIZES: [usize; 3] = [5, 0, FileDraft::PART + 1];

fn plain(n: usize) -> alloc::vec::Vec<u8> {
    alloc::vec![n as u8; SIZES.get(n).copied().unwrap_or(0)]
}

/// A file of the suite, sealed under a key of the suite.
fn file(n: usize) -> Option<(SealedFile, Attachment)> {
    let mut draft = FileDraft::new([n as u8; 32], plain(n).len() as u64);
    let plain = plain(n);
    let mut parts = plain.chunks(FileDraft::PART);
    draft.push(parts.next().unwrap_or(&[])).ok()?;
    parts.for_each(|part| draft.push(part).unwrap_or(()));
    let sealed = draft.finish().ok()?;
    let mut named = Attachment::of(sealed.id(), sealed.key(), sealed.size());
    named.name = "a.txt".into();
    Some((sealed, named))
}

fn part(n: usize, part: u32) -> Option<Message> {
    let (sealed, named) = file(n)?;
    let plain = plain(n);
    let bytes = plain.chunks(FileDraft::PART).nth(part as usize).unwrap_or(&[]);
    Some(Message::Part { file: named.id, part, bytes: sealed.prove(part, bytes).ok()? })
}

/// Adds a part of a file of the suite, the way an application does.
#[derive(Debug)]
struct Add(usize, u32);

impl Command<Files> for Add {
    type Answer = Option<bool>;

    fn run(self, files: &mut Files, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let (sealed, _) = file(self.0)?;
        let plain = plain(self.0);
        let bytes = plain.chunks(FileDraft::PART).nth(self.1 as usize).unwrap_or(&[]);
        Some(AddPart { file: &sealed, part: self.1, bytes }.run(files, cx, out).is_ok())
    }
}

fn conversation(d: &mut Draw<'_>) -> Conversation {
    match d.below(3) {
        0 => Conversation::Network,
        1 => Conversation::Private(d.peer()),
        _ => Conversation::Group(GroupId([d.below(2); 32])),
    }
}

fn view(mask: u8) -> Arc<GroupView> {
    let members = (0..PEERS).filter(|n| mask & (1u8 << n) != 0);
    let reader = |member| Reader { member, stint: crate::id::OpId([1; 32]), from: 0 };
    let members = members.map(|n| who(n).node_id()).map(|id| (id, reader(id))).collect();
    Arc::new(GroupView { devices: members, ..GroupView::default() })
}

fn message(d: &mut Draw<'_>) -> alloc::vec::Vec<u8> {
    let n = usize::from(d.below(3));
    let id = file(n).map_or(FileId([0; 32]), |(_, named)| named.id);
    match d.below(7) {
        0 => Message::Ask { file: id }.encode(),
        1 => Message::Has { file: id, parts: Held::All }.encode(),
        2 => Message::Has { file: id, parts: Held::Some(Blob(alloc::vec![d.byte()])) }.encode(),
        3 => Message::Get { file: id, parts: alloc::vec![0, u32::from(d.below(3))] }.encode(),
        4 => Message::Lacks { file: id, part: u32::from(d.below(2)) }.encode(),
        5 => part(n, u32::from(d.below(2))).map(|m| m.encode()).unwrap_or_default(),
        _ => d.bytes(),
    }
}

/// Messages of each kind: seeds.
pub(crate) fn messages() -> alloc::vec::Vec<alloc::vec::Vec<u8>> {
    let id = FileId([3; 32]);
    let all = [
        Message::Ask { file: id },
        Message::Has { file: id, parts: Held::All },
        Message::Has { file: id, parts: Held::Some(Blob(alloc::vec![5])) },
        Message::Get { file: id, parts: alloc::vec![0, 1] },
        Message::Lacks { file: id, part: 1 },
    ];
    all.into_iter().chain(part(0, 0)).map(|m| m.encode()).collect()
}

impl Contract for Files {
    const MOST: usize = 10_000;

    kinds!(In: Message, Group, Named, Devices);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        let n = usize::from(d.below(3));
        let known = file(n);
        let named = || known.clone().map_or(Attachment::of(FileId([0; 32]), [0; 32], 0), |(_, named)| named);
        Step::In(match d.below(13) {
            0..=2 => In::Message { from: d.peer(), body: message(d) },
            3 => {
                let group = GroupId([d.below(2); 32]);
                match d.below(4) {
                    0 => In::Group { group, view: None },
                    3 => In::Devices { person: d.peer(), devices: d.devices() },
                    _ => In::Group { group, view: Some(view(d.byte())) },
                }
            }
            4 => In::Named { conversation: conversation(d), author: d.peer(), file: named() },
            5 => return Step::Fact(if d.coin() { up(d.peer()) } else { down(d.peer()) }),
            6 => return Step::Fact(d.fact()),
            7 => {
                let from = d.coin().then(|| d.peer());
                let start = StartFetch { conversation: conversation(d), file: named(), from };
                return Step::Command(Box::new(start));
            }
            8 => return Step::Command(Box::new(Add(n, u32::from(d.below(2))))),
            9 => {
                let finish = Finish { file: named().id, name: "a.txt".into(), media_type: String::new() };
                return Step::Command(Box::new(finish));
            }
            10 => return Step::Command(Box::new(Share { conversation: conversation(d), file: named().id })),
            11 => match d.below(3) {
                0 => return Step::Command(Box::new(Remove { file: named().id })),
                1 => return Step::Command(Box::new(Begin { size: u64::from(d.byte()) })),
                _ => {
                    let (query, part) = (u64::from(d.byte()), u32::from(d.below(2)));
                    return Step::Command(Box::new(ReadPart { query, file: named().id, part }));
                }
            },
            _ => {
                let record = Record { table: PARTS, key: d.bytes(), value: d.bytes() };
                return Step::Records(u64::from(d.below(8)), alloc::vec![record]);
            }
        })
    }

    fn look(&self, _d: &mut Draw<'_>, transcript: &mut String) {
        for info in self.list() {
            let _ = writeln!(transcript, "{info:?} {}", self.is_whole(info.id));
        }
    }

    fn read(out: &Out) -> Option<(u64, Scan)> {
        if let Out::Read { read, scan } = out { Some((*read, scan.clone())) } else { None }
    }

    fn want(out: &Out) -> Option<(NodeId, bool)> {
        match out {
            Out::Want(peer) => Some((*peer, true)),
            Out::Unwant(peer) => Some((*peer, false)),
            Out::Send { .. } | Out::Read { .. } | Out::Complete(_) | Out::Progress { .. } | Out::PartRead { .. } => {
                None
            }
        }
    }

    fn wants(&self) -> Option<OrderedSet<NodeId>> {
        Some(self.wanted.clone())
    }
}

/// A file as a message names it: a seed.
pub(crate) fn attachment() -> Attachment {
    file(0).map_or(Attachment::of(FileId([0; 32]), [0; 32], 0), |(_, named)| named)
}
