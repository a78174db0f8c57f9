//! Pairs and trios of nodes in the virtual network under every fault.

mod common;

use common::{check_order, check_told, checked_history, converge, grow, network, stormy};
use donp_core::{Causality, CommandError, Content, Conversation, NodeId, NodeState};
use donp_sim::{Faults, Sim};

#[test]
fn three_nodes_show_one_order() {
    let mut sim = network(1, 3);
    for round in 0..6 {
        for n in 0..3 {
            sim.broadcast(n, &format!("{n} says {round}")).unwrap();
            sim.run_for(n as u64);
        }
    }
    converge(&mut sim, &[0, 1, 2], 18, 60);
    for n in 0..3 {
        check_told(&sim, n);
        assert_eq!(sim.node(n).told.len(), 12);
    }
}

#[test]
fn a_thousand_broadcasts_each_from_three_nodes_at_a_fifth_lost() {
    for seed in Sim::seeds(2..3) {
        let mut sim = Sim::new(seed);
        sim.faults = Faults { loss: 0.2, ..Faults::default() };
        grow(&mut sim, 3);
        for i in 0..1_000 {
            for n in 0..3 {
                sim.broadcast(n, &format!("{n}.{i}")).unwrap();
            }
            if i % 20 == 19 {
                sim.run_until(1, |_| false);
            }
        }
        converge(&mut sim, &[0, 1, 2], 3_000, 300);
        for n in 0..3 {
            check_told(&sim, n);
            assert_eq!(sim.node(n).told.len(), 2_000, "{}", sim.replay());
        }
    }
}

#[test]
fn every_fault_at_once_loses_nothing_and_shows_nothing_twice() {
    for seed in Sim::seeds(10..30) {
        let mut sim = Sim::new(seed);
        sim.faults = stormy();
        grow(&mut sim, 3);
        let mut privates = 0;
        for i in 0..30 {
            let n = sim.rng().below(3) as usize;
            sim.broadcast(n, &format!("b{i}")).unwrap();
            if sim.rng().chance(0.5) {
                let to = (n + 1) % 3;
                if sim.send(n, to, &format!("p{i}")).is_ok() {
                    privates += 1;
                }
            }
            let pause = sim.rng().below(3);
            sim.run_for(pause);
        }
        converge(&mut sim, &[0, 1, 2], 30, 300);
        let done = sim.run_until(300, |s| (0..3).map(|n| s.node(n).delivered.len()).sum::<usize>() >= privates);
        assert!(done, "a private message was not delivered; {}", sim.replay());
        for n in 0..3 {
            check_told(&sim, n);
            for other in (0..3).filter(|o| *o != n) {
                let kind = Conversation::Private(sim.id(other));
                let mine = checked_history(&mut sim, n, kind);
                let theirs = {
                    let kind = Conversation::Private(sim.id(n));
                    checked_history(&mut sim, other, kind)
                };
                let ids = |h: &[donp_core::Message]| h.iter().map(|m| m.id).collect::<Vec<_>>();
                assert_eq!(ids(&mine), ids(&theirs), "two sides, two orders; {}", sim.replay());
            }
        }
    }
}

#[test]
fn a_returning_node_and_the_others_exchange_missed_messages() {
    for seed in Sim::seeds(40..50) {
        let mut sim = network(seed, 3);
        sim.broadcast(0, "before").unwrap();
        converge(&mut sim, &[0, 1, 2], 1, 30);
        sim.move_to_island(2, 1);
        sim.run_for(20);
        assert_eq!(sim.node(2).engine().status().state, NodeState::Degraded, "{}", sim.replay());
        for i in 0..5 {
            sim.broadcast(0, &format!("here {i}")).unwrap();
            sim.broadcast(2, &format!("there {i}")).unwrap();
            sim.run_for(1);
        }
        sim.move_to_island(2, 0);
        let history = converge(&mut sim, &[0, 1, 2], 11, 120);
        let here = history.iter().find(|m| m.content == Content::text("here 4")).unwrap();
        let there = history.iter().find(|m| m.content == Content::text("there 4")).unwrap();
        assert_eq!(here.causality(there), Some(Causality::Concurrent));
        assert!(sim.run_until(10, |s| s.node(2).engine().status().state == NodeState::Active), "{}", sim.replay());
        let states = &sim.node(2).states;
        let recovered = [NodeState::Degraded, NodeState::Recovering, NodeState::Active];
        assert!(states.windows(3).any(|w| w == recovered), "{states:?}; {}", sim.replay());
    }
}

#[test]
fn answers_come_after_what_they_answer() {
    let mut sim = network(60, 3);
    sim.faults = stormy();
    for i in 0..20usize {
        sim.broadcast(i % 3, &format!("{i}")).unwrap();
        let stored = sim.run_until(120, |s| (0..3).all(|n| s.node(n).stored_messages() > i));
        assert!(stored, "{}", sim.replay());
    }
    let texts = sim.texts(1);
    assert_eq!(texts, (0..20).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn private_messages_wait_for_a_node_that_is_away() {
    let mut sim = network(70, 2);
    sim.crash(1);
    for i in 0..10 {
        sim.send(0, 1, &format!("wait {i}")).unwrap();
    }
    sim.run_for(300);
    assert_eq!(sim.node(0).delivered.len(), 0);
    assert_eq!(sim.node(0).engine().status().outbox, 10);
    sim.start(1, &[]);
    assert!(sim.run_until(120, |s| s.node(0).delivered.len() == 10), "{}", sim.replay());
    assert_eq!(sim.node(1).told.len(), 10);
    check_told(&sim, 1);
}

#[test]
fn a_dead_bootstrap_is_tried_until_it_lives() {
    let mut sim = Sim::new(80);
    let (first, second) = (sim.add_node(), sim.add_node());
    sim.start(second, &[first]);
    sim.run_for(600);
    assert_eq!(sim.node(second).engine().status().state, NodeState::Discovering);
    sim.start(first, &[]);
    assert!(sim.run_until(120, |s| s.linked(second) == 1), "{}", sim.replay());
}

#[test]
fn large_texts_arrive_whole_and_larger_ones_are_refused() {
    let mut sim = network(90, 3);
    sim.faults = Faults { loss: 0.1, ..Faults::default() };
    let text = "ä".repeat(32_768);
    sim.broadcast(0, &text).unwrap();
    sim.send(0, 1, &text).unwrap();
    assert!(sim.run_until(120, |s| s.node(1).told.len() == 2 && s.node(2).told.len() == 1), "{}", sim.replay());
    assert!(sim.node(1).told.iter().all(|m| m.content.shown() == text));
    let longer = format!("{text}x");
    let refused = Err(CommandError::TooLong { len: 65_537, max: 65_536 });
    assert_eq!(sim.broadcast(0, &longer), refused);
    assert_eq!(sim.send(0, 1, &longer), refused);
}

#[test]
fn an_unsendable_message_returns_an_error() {
    let mut sim = network(91, 2);
    let stranger = sim.add_node();
    let id = sim.id(stranger);
    assert_eq!(sim.send(0, stranger, "x"), Err(CommandError::UnknownPeer(id)));
    assert_eq!(sim.send(0, 0, "x"), Err(CommandError::ToSelf));
    assert_eq!(sim.send(0, 1, ""), Err(CommandError::Empty("text")));
    assert_eq!(sim.with(0, |e, now| e.ack(now, 1_000)), Err(CommandError::Unknown("event")));
}

#[test]
fn leaving_is_announced_and_joining_again_works() {
    let mut sim = network(92, 3);
    sim.with(2, |e, now| e.leave(now));
    assert!(sim.run_until(10, |s| s.linked(0) == 1 && s.linked(1) == 1), "{}", sim.replay());
    assert_eq!(sim.node(2).engine().status().state, NodeState::Leaving);
    sim.broadcast(0, "without you").unwrap();
    sim.run_for(5);
    sim.with(2, |e, now| e.join(now, &[])).unwrap();
    converge(&mut sim, &[0, 1, 2], 1, 120);
}

#[test]
fn eight_nodes_find_each_other_through_one() {
    let mut sim = network(93, 8);
    assert!(sim.run_until(120, |s| (0..8).all(|n| s.node(n).engine().status().neighbours >= 4)), "{}", sim.replay());
    for n in 0..8 {
        sim.broadcast(n, &format!("{n}")).unwrap();
    }
    converge(&mut sim, &(0..8).collect::<Vec<_>>(), 8, 60);
}

#[test]
fn typed_content_refers_to_what_it_is_about() {
    let mut sim = network(94, 2);
    let first = sim.broadcast(0, "helo").unwrap();
    let edit = Content::Edit { edit_of: first, text: "hello".into() };
    sim.with(0, |e, now| e.broadcast(now, edit)).unwrap();
    assert!(sim.run_until(30, |s| s.node(1).told.len() == 2));
    let react = Content::React { react_to: first, mark: "👋".into() };
    sim.with(1, |e, now| e.broadcast(now, react)).unwrap();
    let reply = Content::Reply { reply_to: first, text: "hi".into() };
    sim.with(1, |e, now| e.broadcast(now, reply)).unwrap();
    sim.with(0, |e, now| e.broadcast(now, Content::Retract { retract: first })).unwrap();
    let history = converge(&mut sim, &[0, 1], 5, 60);
    assert!(history[1..].iter().all(|m| m.content.about() == Some(first)));
    check_order(&history, "");
}

#[test]
fn a_dead_neighbour_is_noticed_within_seconds_during_traffic() {
    let mut sim = network(95, 4);
    assert!(sim.run_until(60, |s| (0..4).all(|n| s.node(n).engine().status().neighbours == 3)), "{}", sim.replay());
    sim.crash(3);
    sim.broadcast(0, "is everybody there?").unwrap();
    // Twice the time that six unanswered probes take on these links, and half of the time-out of a silent link.
    let noticed = sim.run_until(7, |s| s.node(0).engine().status().neighbours == 2);
    assert!(noticed, "{}", sim.replay());
}

#[test]
fn two_full_halves_merge_after_their_link_returns() {
    let mut sim = Sim::new(96);
    sim.config.membership.target = 3;
    for n in 0..20 {
        sim.add_node();
        sim.start(n, if n == 0 { &[] } else { &[0] });
        sim.run_for(1);
    }
    assert!(sim.run_until(120, |s| (0..20).all(|n| s.node(n).engine().status().neighbours >= 2)), "{}", sim.replay());
    for n in 10..20 {
        sim.move_to_island(n, 1);
    }
    sim.run_for(300);
    for side in [0..10, 10..20] {
        for n in side {
            sim.broadcast(n, &format!("{n} apart")).unwrap();
        }
    }
    sim.run_for(30);
    let crossing = |s: &Sim| {
        let far = |n: usize| (0..20).filter(move |m| (*m < 10) != (n < 10)).map(|m| s.id(m)).collect::<Vec<_>>();
        let across = |n: usize| s.node(n).engine().peers().iter().any(|p| p.neighbour && far(n).contains(&p.id));
        (0..20).filter(|n| across(*n)).count()
    };
    assert_eq!(crossing(&sim), 0, "{}", sim.replay());
    for n in 10..20 {
        sim.move_to_island(n, 0);
    }
    assert!(sim.run_until(90, |s| crossing(s) >= 2), "{}", sim.replay());
    converge(&mut sim, &(0..20).collect::<Vec<_>>(), 20, 120);
}

#[test]
fn messages_that_disks_lost_come_back_from_others() {
    // On some of these the end mark came before the messages.
    (11..17).for_each(lost_messages_come_back);
}

fn lost_messages_come_back(seed: u64) {
    let mut sim = Sim::new(seed);
    for _ in 0..3 {
        sim.add_node();
    }
    sim.faults.loss = 0.05;
    sim.start(0, &[]);
    sim.start(1, &[0]);
    sim.start(2, &[0]);
    assert!(sim.run_until(30, |s| s.linked(1) == 2 && s.linked(2) == 2), "{}", sim.replay());
    for i in 0..90 {
        sim.broadcast(i % 3, &format!("{i}")).unwrap();
        sim.run_for(1);
    }
    assert!(sim.run_until(60, |s| (0..3).all(|n| s.texts(n).len() == 90)), "{}", sim.replay());
    let history = sim.history(0, Conversation::Network);
    let lost = sim.lose_history(1, 0.3) + sim.lose_history(2, 0.3);
    assert!(lost > 20 && sim.texts(1).len() < 80);
    let (first, second) = (sim.id(0), sim.id(1));
    sim.with(1, |e, now| e.synchronize_state(now, first)).unwrap();
    assert!(sim.run_until(60, |s| s.texts(1).len() == 90), "{}", sim.replay());
    // Either side may begin.
    let third = sim.id(2);
    sim.with(1, |e, now| e.synchronize_state(now, third)).unwrap();
    assert!(sim.run_until(60, |s| s.texts(2).len() == 90), "{}", sim.replay());
    for n in 0..3 {
        assert_eq!(sim.history(n, Conversation::Network), history, "clocks included; {}", sim.replay());
        assert_eq!(sim.node(n).told.len(), 60, "no message is reported twice; {}", sim.replay());
    }
    let err = sim.with(1, |e, now| e.synchronize_state(now, NodeId([9; 32])));
    assert_eq!(err, Err(CommandError::UnknownPeer(NodeId([9; 32]))));
    assert!(sim.with(1, |e, now| e.synchronize_state(now, second)).is_err(), "with itself there is nothing to do");
}
