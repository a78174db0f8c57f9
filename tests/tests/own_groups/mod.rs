//! A person with two devices is one member of a group (docs/design/groups.md §2, "Devices"), through whole nodes.

use donp_core::{GroupHistory, GroupId, GroupInfo, GroupKind, GroupPolicy, GroupRole};

use super::*;

/// Alice's phone, Bob, Alice's laptop, another person, Bob's laptop.
const PHONE: usize = 0;
const BOB: usize = 1;
const LAPTOP: usize = 2;
const CAROL: usize = 3;
const BOBS: usize = 4;

impl World {
    /// Bob's group with Alice's phone and with Carol.
    fn team(&mut self, history: GroupHistory) -> GroupId {
        let (now, policy) = (self.now, GroupPolicy { history, ..GroupPolicy::default() });
        let bob = &mut self.devices[BOB].engine;
        let group = bob.create_group(now, GroupKind::Private, "team".into(), policy, None).unwrap();
        for n in [PHONE, CAROL] {
            let (now, id) = (self.now, self.id(n));
            let bob = &mut self.devices[BOB].engine;
            let made = bob.invite_to_group(now, group, GroupRole::Member, 1, WallTime(u64::MAX), Some(id));
            let ticket = made.unwrap();
            self.devices[n].engine.join_group(now, &ticket).unwrap();
            self.until("it is added", |w| w.info(n, group).is_some_and(|g| g.role.is_some() && g.holds_key));
        }
        group
    }

    fn info(&self, n: usize, group: GroupId) -> Option<GroupInfo> {
        self.devices[n].engine.group(group)
    }

    fn devices_in(&self, n: usize, group: GroupId, of: usize) -> Vec<NodeId> {
        let id = self.id(of);
        let member = self.info(n, group).and_then(|g| g.members.into_iter().find(|m| m.id == id));
        member.map(|m| m.devices).unwrap_or_default()
    }

    fn tell(&mut self, n: usize, group: GroupId, text: &str) -> MessageId {
        let now = self.now;
        self.devices[n].engine.send_to_group(now, group, Content::text(text)).unwrap()
    }

    fn got(&self, n: usize, text: &str) -> bool {
        let is_it = |e: &Durable| matches!(e, Durable::Received(m) if m.content == Content::text(text));
        self.devices[n].events.iter().any(is_it)
    }

    fn unread_in(&self, n: usize, group: GroupId) -> u32 {
        let all = self.devices[n].engine.conversations();
        all.into_iter().find(|c| c.conversation == Conversation::Group(group)).map_or(0, |c| c.unread)
    }
}

/// Mutations: `Engine` does not tell the group machine which lists its account has; `policy.readers` counts devices; a device's own
/// person is a reader.
#[test]
fn a_new_device_is_in_its_persons_groups_and_counts_once() {
    let mut w = World::new(5);
    let group = w.team(GroupHistory::Everything);
    w.tell(BOB, group, "before");
    w.until("it came", |w| w.got(PHONE, "before") && w.got(CAROL, "before"));
    w.add(PHONE, LAPTOP);
    w.until("the laptop has it", |w| w.got(LAPTOP, "before") && w.info(LAPTOP, group).is_some_and(|g| g.holds_key));
    for n in [PHONE, BOB, LAPTOP, CAROL] {
        w.until("all know", |w| w.devices_in(n, group, PHONE).len() == 2);
        assert_eq!(w.info(n, group).unwrap().members.len(), 3);
    }
    // Both speak, and what one says is not unread on the other.
    let read = w.unread_in(LAPTOP, group);
    w.tell(LAPTOP, group, "from the laptop");
    w.tell(PHONE, group, "from the phone");
    w.until("they came", |w| {
        [BOB, CAROL].iter().all(|n| w.got(*n, "from the laptop") && w.got(*n, "from the phone"))
            && w.got(PHONE, "from the laptop")
            && w.got(LAPTOP, "from the phone")
    });
    assert_eq!(w.unread_in(LAPTOP, group), read);
    // Bob has two readers, Alice too: her other device is none.
    let (alice, carol) = (w.id(PHONE), w.id(CAROL));
    let said = w.tell(BOB, group, "who has it?");
    let mut both = vec![alice, carol];
    both.sort_unstable();
    let counts = |w: &mut World, n: usize, id: MessageId| {
        let now = w.now;
        w.devices[n].engine.confirmations(now, Conversation::Group(group), id).unwrap()
    };
    w.until("both have it", |w| counts(w, BOB, said).stored == both);
    assert_eq!(counts(&mut w, BOB, said).members, 2);
    let said = w.tell(LAPTOP, group, "and this?");
    let mut others = vec![w.id(BOB), carol];
    others.sort_unstable();
    w.until("both have it", |w| counts(w, LAPTOP, said).stored == others);
    assert_eq!(counts(&mut w, LAPTOP, said).members, 2);
    // The laptop says it when the phone is off.
    w.run_for(5);
    w.devices[PHONE].off = true;
    let said = w.tell(BOB, group, "and now?");
    w.until("the laptop stands for Alice", |w| counts(w, BOB, said).stored == both);
}

/// Mutations: `write_list` is not called when a list changes; `Out::Stand` leads to nothing, so that the last message of the
/// laptop is late.
#[test]
fn a_device_that_is_removed_loses_the_groups_of_its_person() {
    let mut w = World::new(5);
    let group = w.team(GroupHistory::Nothing);
    w.add(PHONE, LAPTOP);
    w.add(BOB, BOBS);
    w.until("both are in", |w| {
        let knows = |n: usize| w.devices_in(n, group, PHONE).len() == 2 && w.devices_in(n, group, BOB).len() == 2;
        [PHONE, BOB, LAPTOP, CAROL, BOBS].into_iter().all(knows)
    });
    w.run_for(10);
    w.tell(LAPTOP, group, "the last words");
    w.until("they came", |w| [PHONE, BOB, CAROL, BOBS].iter().all(|n| w.got(*n, "the last words")));
    let (now, laptop) = (w.now, w.id(LAPTOP));
    w.devices[PHONE].engine.remove_device(now, laptop).unwrap();
    for n in [PHONE, BOB, CAROL, BOBS] {
        w.until("it is out", |w| {
            w.devices_in(n, group, PHONE).len() == 1 && w.info(n, group).is_some_and(|g| g.holds_key)
        });
    }
    w.until("it knows", |w| w.info(LAPTOP, group).is_none_or(|g| g.role.is_none()));
    w.tell(BOB, group, "without the laptop");
    w.until("they came", |w| [PHONE, CAROL, BOBS].iter().all(|n| w.got(*n, "without the laptop")));
    w.run_for(120);
    assert!(!w.got(LAPTOP, "without the laptop"));
    // What it said before is still shown to all.
    for n in [PHONE, BOB, CAROL, BOBS] {
        let now = w.now;
        w.devices[n].engine.history(now, Conversation::Group(group), None, 50).unwrap();
        let pages = w.devices[n].pages.len();
        w.until("a page", |w| w.devices[n].pages.len() > pages);
        let shown: Vec<_> = w.devices[n].pages.last().unwrap().iter().map(|m| m.content.shown().to_owned()).collect();
        assert!(shown.iter().any(|text| text == "the last words"), "node {n}: {shown:?}");
    }
}
