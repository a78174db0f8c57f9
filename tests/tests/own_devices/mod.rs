//! What a person set on one device holds on all of them (docs/design/devices.md §7).

use super::*;

/// Alice's phone, Bob, Alice's laptop, another person, Bob's laptop.
const PHONE: usize = 0;
const BOB: usize = 1;
const LAPTOP: usize = 2;
const CAROL: usize = 3;

impl World {
    fn engine_of(&mut self, n: usize) -> &mut Engine {
        &mut self.devices[n].engine
    }

    fn petname(&self, n: usize, of: usize) -> Option<String> {
        self.devices[n].engine.contact(self.id(of)).and_then(|c| c.petname)
    }

    fn is_contact(&self, n: usize, of: usize) -> bool {
        self.devices[n].engine.contact(self.id(of)).is_some_and(|c| !c.request)
    }

    fn blocks(&self, n: usize, of: usize) -> bool {
        self.devices[n].engine.blocked().contains(&self.id(of))
    }

    fn state(&self, n: usize, of: usize) -> Option<Verification> {
        self.devices[n].engine.contact(self.id(of)).map(|c| c.verification)
    }

    fn unread_of(&self, n: usize, of: usize) -> u32 {
        let with = Conversation::Private(self.id(of));
        let all = self.devices[n].engine.conversations();
        all.into_iter().find(|c| c.conversation == with).map_or(0, |c| c.unread)
    }

    fn rename(&mut self, n: usize, of: usize, name: &str) {
        let (now, of) = (self.now, self.id(of));
        self.engine_of(n).rename_contact(now, of, Some(name.into())).unwrap();
    }

    fn drops(&self, n: usize, reason: donp_core::DropReason) -> u64 {
        self.devices[n].engine.stats().drops.get(reason)
    }
}

/// Mutations: a machine does not say what the user set; the register is not stored in its step; `In::Own` leads to no
/// comparison.
#[test]
fn a_device_that_joins_has_all_that_was_set_and_sets_it_for_all() {
    let mut w = World::new(4);
    w.verify(PHONE, BOB);
    let (now, bob, carol) = (w.now, w.id(BOB), w.id(CAROL));
    w.rename(PHONE, BOB, "Bob");
    w.engine_of(PHONE).mute_contact(now, bob, true).unwrap();
    w.engine_of(PHONE).block(now, carol).unwrap();
    w.add(PHONE, LAPTOP);
    w.until("the laptop has it", |w| w.blocks(LAPTOP, CAROL) && w.petname(LAPTOP, BOB).is_some());
    let contact = w.engine_of(LAPTOP).contact(bob).unwrap();
    assert_eq!((contact.petname.as_deref(), contact.muted, contact.request), (Some("Bob"), true, false));
    assert_eq!(contact.verification, Verification::Verified);
    w.until("no link to a blocked node", |w| !w.linked(LAPTOP, CAROL));
    // The other way, after restarts.
    w.restart(PHONE);
    w.restart(LAPTOP);
    w.until("linked again", |w| w.linked(PHONE, LAPTOP));
    let now = w.now;
    w.engine_of(LAPTOP).unblock(now, carol).unwrap();
    w.engine_of(LAPTOP).mute_contact(now, bob, false).unwrap();
    w.rename(LAPTOP, BOB, "Robert");
    w.until("the phone has it", |w| w.petname(PHONE, BOB).as_deref() == Some("Robert") && !w.blocks(PHONE, CAROL));
    assert!(!w.engine_of(PHONE).contact(bob).unwrap().muted);
    w.engine_of(LAPTOP).remove_contact(now, bob).unwrap();
    w.until("it is gone there too", |w| !w.is_contact(PHONE, BOB));
    // Adding it again begins anew, on both.
    let now = w.now;
    w.engine_of(PHONE).add_contact(now, bob, None).unwrap();
    w.until("it is back", |w| w.is_contact(LAPTOP, BOB));
    for n in [PHONE, LAPTOP] {
        assert_eq!((w.petname(n, BOB), w.state(n, BOB)), (None, Some(Verification::Unverified)));
    }
}

/// Mutations: a mark is not said; messages that come after their mark count.
#[test]
fn what_is_read_on_one_device_is_read_on_the_other() {
    let mut w = World::new(3);
    let (now, alice) = (w.now, w.id(PHONE));
    w.engine_of(BOB).add_contact(now, alice, None).unwrap();
    w.add(PHONE, LAPTOP);
    w.until("Bob knows", |w| w.devices[BOB].engine.devices_of(alice).len() == 2);
    for text in ["one", "two", "three"] {
        let now = w.now;
        w.engine_of(BOB).send_private(now, alice, Content::text(text)).unwrap();
    }
    let said = |w: &World| -> Vec<MessageId> {
        let received = w.devices[PHONE].events.iter().filter_map(|e| match e {
            Durable::Received(m) => Some(m.id),
            _ => None,
        });
        received.collect()
    };
    w.until("both have it", |w| said(w).len() == 3 && w.unread_of(PHONE, BOB) == 3 && w.unread_of(LAPTOP, BOB) == 3);
    let (now, with) = (w.now, Conversation::Private(w.id(BOB)));
    let second = said(&w)[1];
    w.engine_of(PHONE).mark_read(now, with, Some(second)).unwrap();
    w.until("one is left", |w| w.unread_of(PHONE, BOB) == 1 && w.unread_of(LAPTOP, BOB) == 1);
    let now = w.now;
    w.engine_of(LAPTOP).mark_read(now, with, None).unwrap();
    w.until("none is left", |w| w.unread_of(PHONE, BOB) == 0 && w.unread_of(LAPTOP, BOB) == 0);
    // One device is off while the other gets and reads: what it gets later is read.
    w.run_for(2);
    w.devices[LAPTOP].off = true;
    let now = w.now;
    w.engine_of(BOB).send_private(now, alice, Content::text("four")).unwrap();
    w.until("it is there", |w| w.unread_of(PHONE, BOB) == 1);
    let now = w.now;
    w.engine_of(PHONE).mark_read(now, with, None).unwrap();
    w.run_for(2);
    w.restart(LAPTOP);
    w.until("linked again", |w| w.linked(PHONE, LAPTOP) && w.linked(BOB, LAPTOP));
    w.run_for(60);
    let has_four = |e: &Durable| matches!(e, Durable::Received(m) if m.content == Content::text("four"));
    assert!(w.devices[LAPTOP].events.iter().any(has_four));
    assert_eq!(w.unread_of(LAPTOP, BOB), 0);
    // And what comes then counts on both.
    let now = w.now;
    w.engine_of(BOB).send_private(now, alice, Content::text("five")).unwrap();
    w.until("it counts", |w| w.unread_of(PHONE, BOB) == 1 && w.unread_of(LAPTOP, BOB) == 1);
}

/// Mutations: of two writes with one counter the device's own stands; a restart forgets the counters.
#[test]
fn changes_made_while_devices_are_apart_converge() {
    let mut w = World::new(4);
    let (now, bob, carol) = (w.now, w.id(BOB), w.id(CAROL));
    w.engine_of(PHONE).add_contact(now, bob, Some("b".into())).unwrap();
    w.add(PHONE, LAPTOP);
    w.until("the laptop has it", |w| w.petname(LAPTOP, BOB).is_some());
    w.cut.push((PHONE, LAPTOP));
    w.run_for(60);
    let now = w.now;
    w.rename(PHONE, BOB, "from the phone");
    w.rename(LAPTOP, BOB, "from the laptop");
    w.engine_of(PHONE).add_contact(now, carol, Some("Carol".into())).unwrap();
    w.engine_of(PHONE).mute_contact(now, bob, true).unwrap();
    w.engine_of(LAPTOP).block(now, carol).unwrap();
    w.restart(PHONE);
    w.restart(LAPTOP);
    w.cut.clear();
    let name = |w: &World, n| w.petname(n, BOB);
    w.until("they agree", |w| {
        name(w, PHONE) == name(w, LAPTOP) && w.blocks(PHONE, CAROL) && w.petname(LAPTOP, CAROL).is_some()
    });
    assert!(["from the phone", "from the laptop"].contains(&name(&w, PHONE).unwrap().as_str()));
    for n in [PHONE, LAPTOP] {
        assert!(w.blocks(n, CAROL) && w.engine_of(n).contact(bob).unwrap().muted);
        assert_eq!(w.petname(n, CAROL).as_deref(), Some("Carol"));
    }
    // The next change of it holds.
    let stood = if name(&w, PHONE).as_deref() == Some("from the phone") { LAPTOP } else { PHONE };
    w.rename(stood, BOB, "after that");
    w.until("both have it", |w| [PHONE, LAPTOP].iter().all(|n| name(w, *n).as_deref() == Some("after that")));
}

/// Mutation: `is_own` does not ask whether the sender is in the list.
#[test]
fn what_a_removed_device_sets_is_not_taken() {
    let mut w = World::new(4);
    let (now, bob) = (w.now, w.id(BOB));
    w.engine_of(PHONE).add_contact(now, bob, Some("Bob".into())).unwrap();
    w.add(PHONE, LAPTOP);
    w.until("the laptop has it", |w| w.petname(LAPTOP, BOB).is_some());
    w.cut.push((PHONE, LAPTOP));
    w.run_for(60);
    let (now, laptop) = (w.now, w.id(LAPTOP));
    w.engine_of(PHONE).remove_device(now, laptop).unwrap();
    // It does not know of its removal.
    w.rename(LAPTOP, BOB, "Mallory");
    w.engine_of(LAPTOP).block(now, bob).unwrap();
    let refused = w.drops(PHONE, donp_core::DropReason::Message);
    w.cut.clear();
    w.until("it learns of it", |w| !w.names(LAPTOP).iter().any(|(node, _)| *node == laptop));
    w.run_for(700);
    assert_eq!(w.petname(PHONE, BOB).as_deref(), Some("Bob"));
    assert!(!w.blocks(PHONE, BOB));
    assert!(w.drops(PHONE, donp_core::DropReason::Message) >= refused);
    // What is set now does not go to it.
    w.rename(PHONE, BOB, "Robert");
    w.run_for(30);
    assert_eq!(w.petname(LAPTOP, BOB).as_deref(), Some("Mallory"));
}

/// The phone compared Bob's phone; the laptop knows that Bob has a laptop since, whose key was not compared.
/// Mutation: `set_trust` does not compare the devices.
#[test]
fn a_verification_does_not_cover_a_device_that_was_not_there() {
    let mut w = World::new(5);
    w.add(PHONE, LAPTOP);
    w.run_for(5);
    w.cut.push((PHONE, LAPTOP));
    w.run_for(60);
    w.verify(PHONE, BOB);
    assert_eq!(w.state(PHONE, BOB), Some(Verification::Verified));
    let (now, bob) = (w.now, w.id(BOB));
    w.engine_of(LAPTOP).add_contact(now, bob, None).unwrap();
    w.cut.extend([(PHONE, BOB), (PHONE, 4)]);
    w.run_for(60);
    w.add(BOB, 4);
    w.until("the laptop knows", |w| w.devices[LAPTOP].engine.devices_of(bob).len() == 2);
    assert_eq!(w.devices[PHONE].engine.devices_of(bob).len(), 1);
    assert_eq!(w.state(LAPTOP, BOB), Some(Verification::Unverified));
    w.cut.retain(|cut| *cut != (PHONE, LAPTOP));
    let mut seen = Vec::new();
    w.until("the phone's verification came", |w| {
        seen.extend(w.state(LAPTOP, BOB));
        w.state(LAPTOP, BOB) == Some(Verification::Changed) && w.state(PHONE, BOB) == Some(Verification::Changed)
    });
    assert!(!seen.contains(&Verification::Verified), "it never covers Bob's laptop");
    let now = w.now;
    let held = w.engine_of(LAPTOP).send_private(now, bob, Content::text("held"));
    assert_eq!(held, Err(CommandError::KeyChanged(bob)));
    // The user looks at it on the phone, which is good for both.
    w.cut.clear();
    w.until("linked", |w| w.linked(PHONE, BOB));
    let now = w.now;
    let number = w.engine_of(PHONE).safety_number(now, bob).unwrap().number;
    w.engine_of(PHONE).verify_contact(now, bob, &number).unwrap();
    w.until("the laptop knows", |w| w.state(LAPTOP, BOB) == Some(Verification::Verified));
    let now = w.now;
    assert!(w.engine_of(LAPTOP).send_private(now, bob, Content::text("sent")).is_ok());
}

/// A message is late on both devices after one of them read on. Mutation: the mark of the device itself acts otherwise than
/// that of another one.
#[test]
fn a_late_message_counts_alike_on_all_devices() {
    let mut w = World::new(3);
    let (now, alice, bob) = (w.now, w.id(PHONE), w.id(BOB));
    w.engine_of(BOB).add_contact(now, alice, None).unwrap();
    w.add(PHONE, LAPTOP);
    w.until("Bob knows", |w| w.devices[BOB].engine.devices_of(alice).len() == 2);
    let now = w.now;
    w.engine_of(BOB).send_private(now, alice, Content::text("one")).unwrap();
    w.until("both have it", |w| w.unread_of(PHONE, BOB) == 1 && w.unread_of(LAPTOP, BOB) == 1);
    w.cut.extend([(PHONE, BOB), (LAPTOP, BOB)]);
    w.run_for(60);
    let now = w.now;
    w.engine_of(BOB).send_private(now, alice, Content::text("late")).unwrap();
    for text in ["a", "b", "c"] {
        let now = w.now;
        w.engine_of(PHONE).send_private(now, bob, Content::text(text)).unwrap();
    }
    w.run_for(10);
    let (now, with) = (w.now, Conversation::Private(bob));
    w.engine_of(PHONE).mark_read(now, with, None).unwrap();
    w.run_for(10);
    assert_eq!((w.unread_of(PHONE, BOB), w.unread_of(LAPTOP, BOB)), (0, 0));
    w.cut.clear();
    let is_late = |e: &Durable| matches!(e, Durable::Received(m) if m.content == Content::text("late"));
    w.until("it came", |w| [PHONE, LAPTOP].iter().all(|n| w.devices[*n].events.iter().any(is_late)));
    w.run_for(30);
    assert_eq!(w.unread_of(PHONE, BOB), w.unread_of(LAPTOP, BOB));
}

/// Bob is added by his second device, whose list comes after that; then another own device joins.
/// Mutations: `Moved` leaves the device's registers; a removal takes back those of the row alone.
#[test]
fn a_contact_added_by_its_second_device_is_one_on_all_devices() {
    let mut w = World::new(5);
    let second = w.id(4);
    w.add(BOB, 4);
    w.run_for(20);
    let now = w.now;
    w.engine_of(PHONE).add_contact(now, second, Some("bob".into())).unwrap();
    w.until("the phone knows", |w| w.devices[PHONE].engine.devices_of(second).len() == 2);
    w.add(PHONE, LAPTOP);
    w.run_for(60);
    for n in [PHONE, LAPTOP] {
        assert_eq!(w.petname(n, 4).as_deref(), Some("bob"));
        assert_eq!(w.devices[n].engine.contacts().iter().filter(|c| c.petname.is_some()).count(), 1);
    }
    let now = w.now;
    w.engine_of(PHONE).remove_contact(now, second).unwrap();
    w.run_for(10);
    w.add(PHONE, CAROL);
    w.run_for(60);
    for n in [PHONE, LAPTOP, CAROL] {
        assert!(!w.is_contact(n, 4) && !w.is_contact(n, BOB), "{n}");
    }
}

/// Mutations: a list that changes does not pass on the blocks of a device that left it; an own device is blocked with
/// all others.
#[test]
fn a_device_that_is_blocked_and_removed_is_blocked_by_all() {
    let mut w = World::new(4);
    w.add(PHONE, LAPTOP);
    w.add(PHONE, CAROL);
    w.run_for(20);
    let (now, stolen) = (w.now, w.id(CAROL));
    w.engine_of(PHONE).block(now, stolen).unwrap();
    w.run_for(5);
    assert!(w.linked(PHONE, LAPTOP) && !w.blocks(LAPTOP, CAROL), "not before its removal");
    let now = w.now;
    w.engine_of(PHONE).remove_device(now, stolen).unwrap();
    w.until("both block it", |w| w.blocks(PHONE, CAROL) && w.blocks(LAPTOP, CAROL));
}

/// Mutations: `share` is silent if nothing differs; `take` is.
#[test]
fn comparing_again_ends_a_hold_on_all_devices() {
    let mut w = World::new(5);
    w.add(PHONE, LAPTOP);
    w.run_for(5);
    w.verify(PHONE, BOB);
    w.until("the laptop has it", |w| w.state(LAPTOP, BOB) == Some(Verification::Verified));
    w.add(BOB, 4);
    let both = |w: &World, v| w.state(PHONE, BOB) == Some(v) && w.state(LAPTOP, BOB) == Some(v);
    w.until("both hold", |w| both(w, Verification::Changed));
    let (now, second, bob) = (w.now, w.id(4), w.id(BOB));
    w.engine_of(BOB).remove_device(now, second).unwrap();
    w.until("it is gone", |w| [PHONE, LAPTOP].iter().all(|n| w.devices[*n].engine.devices_of(bob).len() == 1));
    w.run_for(10);
    let now = w.now;
    let number = w.engine_of(PHONE).safety_number(now, bob).unwrap().number;
    w.engine_of(PHONE).verify_contact(now, bob, &number).unwrap();
    w.until("both are verified", |w| both(w, Verification::Verified));
}

/// The phone removes the laptop while that made lists, and set names under them on the tablet.
/// Mutation: registers of lists that gave way are put under the list that stands.
#[test]
fn what_a_removed_device_set_under_its_own_lists_gives_way() {
    let mut w = World::new(5);
    let (now, bob, tablet) = (w.now, w.id(BOB), CAROL);
    w.engine_of(PHONE).add_contact(now, bob, Some("Bob".into())).unwrap();
    w.add(PHONE, LAPTOP);
    w.add(PHONE, tablet);
    w.until("all have it", |w| [PHONE, LAPTOP, tablet].iter().all(|n| w.petname(*n, BOB).is_some()));
    w.run_for(10);
    w.cut.extend([(PHONE, LAPTOP), (PHONE, tablet), (PHONE, BOB), (PHONE, 4)]);
    w.run_for(60);
    for name in ["l1", "l2", "l3"] {
        let now = w.now;
        w.engine_of(LAPTOP).rename_device(now, name).unwrap();
        w.run_for(5);
    }
    for n in 0..5 {
        w.rename(LAPTOP, BOB, &format!("Mallory {n}"));
        w.run_for(2);
    }
    assert_eq!(w.petname(tablet, BOB).as_deref(), Some("Mallory 4"));
    w.devices[LAPTOP].off = true;
    let (now, laptop) = (w.now, w.id(LAPTOP));
    w.engine_of(PHONE).remove_device(now, laptop).unwrap();
    w.rename(PHONE, BOB, "Bob again");
    w.cut.clear();
    w.until("the tablet knows", |w| !w.names(tablet).iter().any(|(n, _)| *n == laptop));
    let has = |w: &World, n| w.petname(n, BOB).as_deref() == Some("Bob again");
    w.until("both have it", |w| has(w, PHONE) && has(w, tablet));
}

/// A name goes from one contact to another while the laptop is away: it learns of both changes in one page, by id.
/// Mutation: applying a name that another contact has takes it from one of them.
#[test]
fn a_name_that_moves_arrives_whatever_comes_first() {
    for (x, y) in [(1, 3), (3, 1), (4, 5), (5, 4)] {
        for removes in [false, true] {
            let mut w = World::new(6);
            let (now, from, to) = (w.now, w.id(x), w.id(y));
            w.engine_of(PHONE).add_contact(now, from, Some("bob".into())).unwrap();
            w.engine_of(PHONE).add_contact(now, to, None).unwrap();
            w.add(PHONE, LAPTOP);
            w.until("the laptop has it", |w| w.petname(LAPTOP, x).is_some() && w.is_contact(LAPTOP, y));
            w.run_for(5);
            w.cut.push((PHONE, LAPTOP));
            w.run_for(60);
            let now = w.now;
            if removes {
                w.engine_of(PHONE).remove_contact(now, from).unwrap();
            } else {
                w.rename(PHONE, x, "robert");
            }
            w.rename(PHONE, y, "bob");
            w.cut.clear();
            let want = (!removes).then_some("robert");
            let has = |w: &World, n| w.petname(n, x).as_deref() == want && w.petname(n, y).as_deref() == Some("bob");
            w.until("both have it", |w| has(w, PHONE) && has(w, LAPTOP));
        }
    }
}
