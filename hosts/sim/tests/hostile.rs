//! Hostile nodes in networks small enough for a build with every invariant checked; larger ones are scenarios
//! (docs/simulator.md, "Hostile nodes").

use donp_sim::adversary::BEHAVIOURS;
use donp_sim::run::{Options, Outcome, run};
use donp_sim::scenario::Scenario;

/// Six honest nodes for 75 s, then `count` hostile ones among them for 30 s.
fn attacked(count: usize, ways: &[&str]) -> Outcome {
    let text = format!(
        "name = \"t\"\ntitle = \"t\"\nsource = \"t\"\n[nodes]\ncount = 6\nper_second = 2\n\
         [[phase]]\ndo = \"wait\"\nseconds = 75\n\
         [[phase]]\ndo = \"hostile\"\nlabel = \"attack\"\ncount = {count}\nways = {ways:?}\nseconds = 30\ncalm_s = 10\n\
         [[phase]]\ndo = \"laws\"\nseconds = 60\n"
    );
    let outcome = run(&Scenario::parse("t", &text).unwrap(), Options { seed: 1, ..Options::default() });
    assert!(outcome.pass(), "{:?} {:?}", outcome.cases[0].violations, outcome.cases[0].checks);
    outcome
}

/// Mutation: `may_go` in core/src/membership/hyparview.rs is what the scores let go, as it once was: no honest neighbour is left.
#[test]
fn made_up_nodes_leave_each_node_two_honest_neighbours() {
    let figures = attacked(18, &["sybil"]).figures();
    assert!(figures["attack.honest_neighbours_min"] >= 2.0, "{figures:?}");
    assert_eq!(figures["attack.honest_reliability"], 1.0);
}

/// Mutation: a broadcast's signature is not checked (`signature-unchecked` in docs/simulator.md).
#[test]
fn two_nodes_that_do_all_of_the_list_break_no_promise() {
    let all: Vec<&str> = BEHAVIOURS.iter().map(|b| b.name).collect();
    let figures = attacked(2, &all).figures();
    assert!(figures["attack.honest_reliability"] >= 0.99, "{figures:?}");
}

#[test]
fn an_unknown_behaviour_is_named_with_those_that_are_known() {
    let text = "name = \"t\"\ntitle = \"t\"\nsource = \"t\"\n[nodes]\ncount = 2\n[[phase]]\ndo = \"hostile\"\n\
                ways = [\"silent\", \"nice\"]\nseconds = 1\n";
    let wrong = Scenario::parse("t", text).unwrap_err();
    assert_eq!(wrong.line, 8);
    assert!(wrong.what.contains("'nice'") && wrong.what.contains("author-flood"), "{}", wrong.what);
}
