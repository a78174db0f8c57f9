use super::*;
use crate::wire::content::{Causality, document_clocks};
use crate::wire::{decode, encode};
use alloc::string::ToString;
use alloc::vec;
use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

const ROOM: ConversationId = ConversationId([7; 32]);

fn author(n: usize) -> NodeId {
    NodeId([n as u8 + 1; 32])
}

fn room(me: usize) -> Room {
    Room::new(ROOM, Conversation::Network, author(me))
}

fn offer_of(by: usize, body: Body) -> Offer {
    let envelope = encode(&body);
    let id = message_id(&id_key(ROOM, author(by)), &envelope);
    Offer { id, author: author(by), body, envelope, source: Source::Peer { from: author(by) } }
}

fn again(o: &Offer) -> Offer {
    Offer { id: o.id, author: o.author, body: o.body.clone(), envelope: o.envelope.clone(), source: o.source }
}

fn say(room: &mut Room, by: usize, text: &str) -> Offer {
    let body = room.compose(WallTime(0), Content::text(text));
    let mut offer = offer_of(by, body);
    offer.source = Source::Own;
    let copy = again(&offer);
    assert!(matches!(room.offer(offer, Instant::ZERO, &Limits::default(), &mut Vec::new()), Verdict::Taken));
    Offer { source: Source::Peer { from: author(by) }, ..copy }
}

fn deliver(room: &mut Room, offer: &Offer) -> Vec<Message> {
    let mut taken = Vec::new();
    room.offer(again(offer), Instant::ZERO, &Limits::default(), &mut taken);
    taken.into_iter().map(|t| t.message).collect()
}

/// The chat document's own clock (§10.3.4): ticks on sending and on receiving.
#[derive(Clone, Default)]
struct DocumentClock(VectorClock);

impl DocumentClock {
    fn send(&mut self, me: NodeId) -> VectorClock {
        self.0.set(me, self.0.get(me) + 1);
        self.0.clone()
    }

    fn receive(&mut self, me: NodeId, carried: &VectorClock) {
        self.0.merge(carried);
        self.0.set(me, self.0.get(me) + 1);
    }
}

/// A random story: the author of each step, and how many of the messages so far each node then receives.
fn story() -> impl Strategy<Value = Vec<(usize, Vec<(usize, usize)>)>> {
    let hearing = prop::collection::vec((0usize..4, 0usize..40), 0..6);
    prop::collection::vec((0usize..4, hearing), 1..40)
}

/// Plays a story of four nodes; returns every message with the document's clock beside it.
fn play(story: &[(usize, Vec<(usize, usize)>)]) -> (Vec<Offer>, Vec<Message>, Vec<VectorClock>) {
    let mut rooms: Vec<Room> = (0..4).map(room).collect();
    let mut clocks = vec![DocumentClock::default(); 4];
    let mut offers: Vec<Offer> = Vec::new();
    let mut document: Vec<VectorClock> = Vec::new();
    let index = |offers: &[Offer], id| offers.iter().position(|o: &Offer| o.id == id).unwrap();
    for (by, receipts) in story {
        let offer = say(&mut rooms[*by], *by, &offers.len().to_string());
        document.push(clocks[*by].send(author(*by)));
        offers.push(offer);
        for (receiver, which) in receipts {
            if let Some(received) = offers.get(*which) {
                let received = again(received);
                for taken in deliver(&mut rooms[*receiver], &received) {
                    if taken.author != author(*receiver) {
                        let carried = document[index(&offers, taken.id)].clone();
                        clocks[*receiver].receive(author(*receiver), &carried);
                    }
                }
            }
        }
    }
    let mut listener = room(9);
    let mut messages: Vec<Option<Message>> = vec![None; offers.len()];
    for offer in &offers {
        for m in deliver(&mut listener, offer) {
            let at = index(&offers, m.id);
            messages[at] = Some(m);
        }
    }
    (offers, messages.into_iter().map(Option::unwrap).collect(), document)
}

proptest! {
    /// Counting messages only and the document's counting (a tick on receipt too) order any two
    /// messages alike: before, after or concurrent.
    #[test]
    fn both_ways_of_counting_give_one_partial_order(story in story()) {
        let (_, messages, document) = play(&story);
        for (i, a) in messages.iter().enumerate() {
            for (j, b) in messages.iter().enumerate() {
                prop_assert_eq!(a.causality(b), document[i].compare(&document[j]), "{} and {}", i, j);
            }
        }
    }

    /// The document's clocks can be computed from ours.
    #[test]
    fn the_documents_clock_is_a_view(story in story()) {
        let (_, messages, document) = play(&story);
        let mut shown: Vec<(Message, VectorClock)> = messages.into_iter().zip(document).collect();
        shown.sort_by_key(|(m, _)| m.position());
        let (history, expected): (Vec<_>, Vec<_>) = shown.into_iter().unzip();
        prop_assert_eq!(document_clocks(&history), expected);
    }

    /// In any order of arrival, with repeats, every node accepts all messages, causes first,
    /// completes the same clocks and shows the same order.
    #[test]
    fn arrival_decides_nothing(story in story(), shuffle in prop::collection::vec(0usize..1_000, 0..200)) {
        let (offers, messages, _) = play(&story);
        let mut listener = room(8);
        let mut taken: Vec<Message> = Vec::new();
        let order = shuffle.iter().map(|n| n % offers.len()).chain((0..offers.len()).rev());
        for at in order {
            for m in deliver(&mut listener, &offers[at]) {
                let missing = m.clock.entries().iter().find(|(a, n)| {
                    let got = taken.iter().filter(|t| t.author == *a).count() as u64;
                    got + u64::from(*a == m.author) < *n
                });
                prop_assert!(missing.is_none(), "taken before what its author had seen");
                taken.push(m);
            }
        }
        prop_assert_eq!(listener.pending(), 0);
        let mut expected = messages;
        expected.sort_by_key(Message::position);
        taken.sort_by_key(Message::position);
        prop_assert_eq!(&taken, &expected);
        for pair in taken.windows(2) {
            prop_assert!(pair[1].causality(&pair[0]) != Causality::Before, "not a linear extension");
        }
    }

    /// A restart in the middle changes nothing that is said or accepted afterwards.
    #[test]
    fn a_restored_conversation_continues_unchanged(story in story(), cut in 0usize..40) {
        let (offers, _, _) = play(&story);
        let (mut live, mut restored) = (room(8), room(8));
        for (i, offer) in offers.iter().enumerate() {
            if i == cut.min(offers.len() - 1) {
                restored = room(8);
                for a in (0..4).map(author).chain([author(8)]) {
                    if let Some(stored) = live.stored(a) {
                        restored.restore(a, decode(&encode(&stored), 4_096).unwrap());
                    }
                }
                restored.restored();
                let say = |r: &Room| r.compose(WallTime(0), Content::text("x"));
                prop_assert_eq!(say(&live), say(&restored));
            }
            prop_assert_eq!(deliver(&mut live, offer).len(), 1);
            if i >= cut.min(offers.len() - 1) {
                prop_assert_eq!(deliver(&mut restored, offer).len(), 1);
            }
        }
        prop_assert_eq!(live.digest(), restored.digest());
    }
}

#[test]
fn the_documents_three_nodes_end_with_its_counts() {
    // Chat document §10.3.5 and §12.5: one number an author, rising by one.
    let (mut a, mut b) = (room(0), room(1));
    let first = say(&mut a, 0, "hi there");
    let second = say(&mut a, 0, "hi there2");
    deliver(&mut b, &first);
    deliver(&mut b, &second);
    let answer = say(&mut b, 1, "hi");
    let received = deliver(&mut a, &answer);
    assert_eq!(received[0].clock.entries(), [(author(0), 2), (author(1), 1)]);
    assert_eq!(received[0].depth, 3);
}

#[test]
fn a_poisoned_clock_harms_only_its_author() {
    let mut victim = room(0);
    let mut good = room(2);
    let evil = |seq, depth, changes: Vec<(NodeId, u64)>| {
        offer_of(1, Body { seq, depth, changes, sent_at: WallTime(u64::MAX), content: Content::text("x") })
    };
    let ghosts = vec![(author(50), u64::MAX), (author(51), 1)];
    for offer in [
        evil(1, 1, ghosts),
        evil(u64::MAX, u64::MAX, Vec::new()),
        evil(1, u64::MAX, Vec::new()),
        evil(1, 2, Vec::new()),
        evil(2, 2, vec![(author(1), 5)]),
    ] {
        assert!(deliver(&mut victim, &offer).is_empty());
    }
    let fine = say(&mut good, 2, "hello");
    assert_eq!(deliver(&mut victim, &fine).len(), 1, "others are accepted at once");
    assert_eq!(victim.compose(WallTime(0), Content::text("x")).depth, 2, "and depths stay small");
}

#[test]
fn pending_messages_are_bounded_in_total_and_per_author() {
    let limits = Limits { pending_messages: 30, pending_author: 10, ..Limits::default() };
    let mut r = room(0);
    for by in 1..8 {
        for seq in 2..100 {
            let body = Body { seq, depth: seq, changes: Vec::new(), sent_at: WallTime(0), content: Content::text("x") };
            r.offer(offer_of(by, body), Instant::ZERO, &limits, &mut Vec::new());
        }
    }
    assert_eq!(r.pending(), 30);
    assert_eq!(r.expire(Instant::from_micros(1)), 30);
    assert_eq!((r.pending(), r.pending_bytes, r.waiting.len()), (0, 0, 0));
}

#[test]
fn authors_are_bounded() {
    let limits = Limits { authors: 3, ..Limits::default() };
    let mut r = room(0);
    let verdicts: Vec<bool> = (1..6)
        .map(|by| {
            let body = room(by).compose(WallTime(0), Content::text("x"));
            matches!(r.offer(offer_of(by, body), Instant::ZERO, &limits, &mut Vec::new()), Verdict::Taken)
        })
        .collect();
    assert_eq!(verdicts, [true, true, true, false, false]);
}

#[test]
fn more_authors_than_a_clock_carries_leave_a_true_claim() {
    let mut me = room(200);
    let mut listener = room(201);
    let mut all = Vec::new();
    for by in 0..150usize {
        let mut other = room(by);
        let offer = say(&mut other, by, "hello");
        deliver(&mut me, &offer);
        all.push(offer);
    }
    for offer in &all {
        deliver(&mut listener, offer);
    }
    for n in 1..=3u64 {
        let mine = say(&mut me, 200, "I heard you");
        assert!(mine.body.changes.len() <= MAX_CLOCK_CHANGES);
        let taken = deliver(&mut listener, &mine);
        let known = taken[0].clock.entries().len() as u64;
        assert_eq!(known, (n * 64).min(150) + 1, "each message counts 64 more");
    }
}

#[test]
fn an_equivocating_author_is_taken_once() {
    let mut r = room(0);
    let one = say(&mut room(1), 1, "yes");
    let other = say(&mut room(1), 1, "no");
    assert_ne!(one.id, other.id);
    assert_eq!(deliver(&mut r, &one).len(), 1);
    assert!(deliver(&mut r, &other).is_empty());
}

#[test]
fn numbers_of_a_lost_store_are_not_used_again() {
    let mut me = room(0);
    say(&mut me, 0, "one");
    me.skip_to(7, 9);
    let body = me.compose(WallTime(0), Content::text("two"));
    assert_eq!((body.seq, body.depth), (8, 10));
    me.skip_to(3, 3);
    assert_eq!(me.height(author(0)), 7, "never backwards");
}
