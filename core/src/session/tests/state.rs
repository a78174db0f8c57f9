//! What is sent and stored has the sizes of docs/design/sessions.md, and comes back from the disk.

use super::*;

#[test]
fn a_conversation_goes_both_ways_and_survives_restarts() {
    let mut nodes = pair();
    for n in 0..20u8 {
        say(&mut nodes, usize::from(n % 2), &[n; 50]);
        say(&mut nodes, 0, &[n, 1]);
        if n % 3 == 0 {
            nodes.iter_mut().for_each(|node| drop(node.crash(None)));
        }
    }
    assert_eq!(nodes[0].sessions().len(), 1, "one session is enough");
    assert_eq!(nodes[0].lost + nodes[1].lost, 0);
    assert!(nodes.iter().all(|n| n.sessions()[0].confirmed));
}

// 1,351 and 89 bytes above the body; 1,187 for an offer, 1,091 for an answer.
#[test]
fn messages_have_the_sizes_that_are_stated() {
    let mut nodes = pair();
    let ask = nodes[0].say(&[7; 100]);
    assert_eq!(ask, [vec![3]], "a question for the bundle");
    let bundle = nodes[1].take(&ask[0]);
    assert_eq!(bundle[0].len(), 1 + BUNDLE_LEN);
    let first = nodes[0].take(&bundle[0]);
    assert_eq!(first[0].len(), 1_351 + 100);
    let answer = nodes[1].take(&first[0]);
    assert_eq!(answer[0].len(), 89 + 1_186 + 104, "an acknowledgement with the offer of epoch 1");
    assert!(nodes[0].take(&answer[0]).is_empty());
    let second = nodes[0].say(&[8; 100]);
    assert_eq!(second[0].len(), 89 + 1_090 + 100, "with the answer");
    exchange(&mut nodes, 0, second);
    let third = nodes[0].say(&[9; 100]);
    assert_eq!(third[0].len(), 89 + 100);
    let row = |node: &Node| node.rows().into_iter().filter(|r| r.table == SESSIONS).map(|r| r.value.len()).max();
    assert!(row(&nodes[1]) <= Some(470), "{:?}", row(&nodes[1]));
}

// Storage is an input like the wire.
#[test]
fn a_damaged_row_is_refused_or_read_as_another() {
    let mut nodes = linked();
    let first = nodes[0].say(b"sealed and waiting");
    drop(first);
    let (config, identity) = (Config::default(), who(0));
    let mut rng = Rng::new([9; 32]);
    let mut open = |rows: Vec<Record>| {
        let mut out = Outbox::new();
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(0), me: identity.node_id(), rng: &mut rng };
        let setup = Setup { config: &config, identity: &identity };
        let opened = Sessions::open(setup, rows, &mut cx, &mut out).ok();
        opened.map(|mut opened| opened.peers.iter_mut().map(|(_, p)| p.sessions.len()).sum::<usize>())
    };
    let rows = nodes[0].rows();
    assert_eq!(open(rows.clone()), Some(1));
    for (at, row) in rows.iter().enumerate() {
        for cut in 0..row.value.len().min(200) {
            let mut damaged = rows.clone();
            damaged[at].value.truncate(cut);
            match open(damaged) {
                None => {}
                // A node can do without a session: it is let go, and another begun.
                Some(0) => assert!(row.table == SESSIONS, "{row:?} cut to {cut}"),
                // What is sealed is bytes of any number.
                Some(_) => assert!(row.table == SEALED && cut >= 4, "{row:?} cut to {cut}"),
            }
        }
        let mut damaged = rows.clone();
        damaged[at].key.pop();
        assert!(open(damaged).is_none_or(|sessions| sessions == 0 && row.table == SESSIONS), "{row:?}");
    }
}

// Fails if prekeys are not renewed, or if they are wiped before 30 days are over.
#[test]
fn prekeys_are_renewed_every_week_and_kept_for_30_days() {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut nodes = pair();
    let ask = nodes[0].say(b"to an old bundle");
    let old = nodes[1].take(&ask[0]);
    for _ in 0..29 {
        nodes[1].pass(DAY);
    }
    assert_eq!(nodes[1].machine.keys.len(), 5);
    let first = nodes[0].take(&old[0]);
    exchange(&mut nodes, 0, first.clone());
    assert!(nodes[1].app.read.contains(&b"to an old bundle"[..]));
    let rows = |node: &Node| node.rows().into_iter().filter(|r| r.table == FIRSTS).count();
    assert_eq!(rows(&nodes[1]), 1);
    nodes[1].pass(DAY * 2);
    assert_eq!(rows(&nodes[1]), 0, "nothing opens it any more");
    assert_eq!(nodes[1].machine.keys.len(), 4);
    assert_eq!(nodes[1].rows().iter().filter(|r| r.table == PREKEYS).count(), 4);
}

// What was sealed is repeated byte for byte, also after a restart. Fails if it is sealed anew: the same key under two
// bodies is what a crash between must never give.
#[test]
fn a_repeat_is_the_same_bytes_until_it_is_forgotten() {
    let mut nodes = linked();
    let sent = nodes[0].say(b"once");
    assert_eq!(nodes[0].repeat(), sent);
    nodes[0].crash(None);
    assert_eq!(nodes[0].repeat(), sent);
    let order = *nodes[0].app.outbox.keys().next().unwrap();
    let to = nodes[0].other();
    nodes[0].input(In::Forget { to, order });
    assert!(nodes[0].rows().iter().all(|r| r.table != SEALED));
    assert_ne!(nodes[0].repeat(), sent);
}

// Fails if the body goes beside the cipher.
#[test]
fn what_is_sealed_shows_no_text() {
    let mut nodes = pair();
    let text = b"a text that only two devices read";
    let mut on_way = nodes[0].say(text);
    let mut to = 1;
    for _ in 0..6 {
        let next: Vec<_> = on_way.iter().flat_map(|m| nodes[to].take(m)).collect();
        let shows = |m: &Vec<u8>| m.windows(8).any(|part| text.windows(8).any(|t| t == part));
        assert!(!on_way.iter().any(shows));
        on_way = next;
        to = 1 - to;
    }
    assert!(nodes[1].app.read.contains(&text[..]));
}
