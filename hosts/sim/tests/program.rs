//! The program as users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn sim(args: &[&str]) -> Ran {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_donp-sim")).args(args).output().expect("the program starts");
    Ran {
        code: status.code().expect("it ends by itself"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Six nodes, two broadcasts, and a goal on `rmr`.
fn small(is: &str, goal: f64) -> String {
    format!(
        "name = \"small\"\ntitle = \"A <small> one\"\nsource = \"none\"\n[nodes]\ncount = 6\nper_second = 5\n\
         [network]\nloss = 0.05\n[[phase]]\ndo = \"wait\"\nseconds = 20\n[[phase]]\ndo = \"broadcast\"\nlabel = \"b\"\ncount = 3\n\
         [[phase]]\ndo = \"fail\"\ncount = 1\n[[phase]]\ndo = \"until\"\nlabel = \"n\"\nwhat = \"noticed\"\nseconds = 60\n\
         [[phase]]\ndo = \"expect\"\nmeasure = \"b.rmr\"\nis = \"{is}\"\ngoal = {goal}\npaper = \"0\"\n\
         [[phase]]\ndo = \"expect\"\nmeasure = \"state_kib_per_node\"\nis = \"<=\"\ngoal = 100000\n"
    )
}

fn result(out: &str) -> serde_json::Value {
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

#[test]
fn the_list_names_every_scenario_with_its_paper() {
    let ran = sim(&["list"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
    let mut files: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    let mut listed: Vec<String> =
        ran.out.lines().map(|l| format!("{}.toml", l.split_whitespace().next().unwrap())).collect();
    files.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, files);
    assert!(ran.out.contains("PlumTree, Table 1"));
}

#[test]
fn a_failure_prints_the_command_that_shows_it_again_and_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "small.toml", &small("<", 0.0));
    let first = sim(&["run", &path, "--seed", "9", "--nodes", "5"]);
    assert_eq!(first.code, 1, "{}{}", first.out, first.err);
    let row = first.out.lines().find(|l| l.starts_with("b.rmr")).unwrap();
    assert!(row.contains("< 0") && row.ends_with("FAIL"), "{row}");
    let replay = first.out.lines().find_map(|l| l.strip_prefix("replay: donp-sim ")).unwrap();
    let again = sim(&replay.split(' ').collect::<Vec<_>>());
    assert_eq!(replay, format!("run {path} --seed 9 --nodes 5"));
    let transcript = |out: &str| out.split("transcript ").nth(1).unwrap()[..16].to_owned();
    assert_eq!(transcript(&first.out), transcript(&again.out));
    let other = sim(&["run", &path, "--seed", "10", "--nodes", "5"]);
    assert_ne!(transcript(&first.out), transcript(&other.out));
}

#[test]
fn the_last_line_of_json_is_the_result_and_two_results_compare() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "small.toml", &small(">=", 0.0));
    let one = sim(&["run", &path, "--seed", "3", "--json"]);
    assert_eq!(one.code, 0, "{}{}", one.out, one.err);
    let value = result(&one.out);
    assert_eq!((&value["v"], &value["type"], &value["scenario"]), (&1.into(), &"result".into(), &"small".into()));
    assert_eq!((&value["seed"], &value["nodes"], &value["pass"]), (&3.into(), &6.into(), &true.into()));
    let figures = &value["figures"];
    for key in ["rmr", "ldh", "control_per_n", "reliability", "reliability_gossip", "b.rmr", "n.took_s", "clustering"] {
        assert!(figures[key].is_number(), "{key} is not in {figures}");
    }
    assert_eq!(figures["missed"], 0.0);
    assert!(figures["first_detection_s"].as_f64().unwrap() > 1.0);
    assert!(figures["state_kib_per_node"].as_f64().unwrap() > 1.0, "the program counts its memory");

    let same = sim(&["run", &path, "--seed", "3", "--json"]);
    let (a, b) = (result(&one.out), result(&same.out));
    assert_eq!(a["transcript"], b["transcript"]);
    let two = sim(&["run", &file(folder.path(), "bad.toml", &small("<", 0.0)), "--seed", "4", "--json"]);
    let [before, after] = [("a", &one.out), ("b", &two.out)].map(|(n, text)| file(folder.path(), n, text));
    let compared = sim(&["compare", &before, &after]);
    assert_eq!(compared.code, 1, "what passed fails now: {}", compared.out);
    assert!(compared.out.contains("before: small seed 3 n=6 PASS") && compared.out.contains("bytes_per_node_s"));
    assert_eq!(sim(&["compare", &before, &before]).code, 0);
    let wrong = sim(&["compare", &before, &path]);
    assert!(wrong.code == 2 && wrong.err.contains("holds no result"), "{}", wrong.err);
}

#[test]
fn a_case_is_compared_with_an_earlier_one_and_not_with_itself() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name = \"two\"\ntitle = \"Two\"\nsource = \"none\"\ncases = [\"one\", \"other\"]\n[nodes]\ncount = 4\n\
                [config]\nswim.period = { by_case = [2, 4] }\n[[phase]]\ndo = \"wait\"\nlabel = \"w\"\nseconds = 60\n\
                [[phase]]\ndo = \"expect\"\nmeasure = \"w.swim_messages\"\nof = \"one/w.swim_messages\"\n\
                is = \"<=\"\ngoal = 0.8\n";
    let ran = sim(&["run", &file(folder.path(), "two.toml", text), "--json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let value = result(&ran.out);
    let ratio = value["figures"]["other/w.swim_messages / one/w.swim_messages"].as_f64().unwrap();
    assert!((0.3..0.8).contains(&ratio), "half as many periods, and rosters as often: {ratio}");
    assert_eq!(ran.out.lines().filter(|l| l.contains("\"type\":\"check\"")).count(), 1);
}

#[test]
fn one_case_runs_alone_and_results_are_tables() {
    let folder = tempfile::tempdir().unwrap();
    let text = small(">=", 0.0).replace("source = \"none\"", "source = \"none\"\ncases = [\"one\", \"other\"]");
    let path = file(folder.path(), "two.toml", &text);
    let ran = sim(&["run", &path, "--case", "other", "--json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let value = result(&ran.out);
    assert!(value["figures"]["other/b.rmr"].is_number() && value["figures"]["one/b.rmr"].is_null());
    assert_eq!(value["replay"], format!("donp-sim run {path} --seed 1 --case 'other'"));
    let table = sim(&["table", &file(folder.path(), "result.json", &ran.out)]);
    assert!(table.out.contains("| other | 6 | b.rmr | 0 | >= 0 |"), "{}{}", table.out, table.err);
    assert!(table.out.contains("in KiB: other: "), "{}", table.out);
    let wrong = sim(&["run", &path, "--case", "third"]);
    assert!(wrong.code == 2 && wrong.err.contains("no case 'third'; there are: one, other"), "{}", wrong.err);
    let none = sim(&["table", &path]);
    assert!(none.code == 2 && none.err.contains("has no result"), "{}", none.err);
}

#[test]
fn many_seeds_run_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "small.toml", &small(">=", 0.0));
    let ran = sim(&["run", &path, "--seeds", "5..8", "--nodes", "3"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.out.matches("PASS small seed").count(), 3);
    assert!(ran.out.contains("3 of 3 seeds passed"));
    assert_eq!(sim(&["run", &path, "--seeds", "8..5"]).code, 2);
}

#[test]
fn seeds_at_the_same_time_show_what_they_show_alone_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let text = small(">=", 0.0);
    let without_memory = text.rsplit_once("[[phase]]").unwrap().0;
    let path = file(folder.path(), "small.toml", without_memory);
    let transcripts = |jobs: &str, more: &[&str]| -> Vec<String> {
        let ran = sim(&[&["run", &path, "--seeds", "5..11", "--nodes", "3", "--jobs", jobs], more].concat());
        let seeds = ran.out.lines().filter(|l| l.starts_with("PASS") || l.starts_with("FAIL"));
        let hashes = ran.out.lines().filter_map(|l| l.split_once("transcript "));
        seeds.map(str::to_owned).chain(hashes.map(|(_, hash)| hash.to_owned())).collect()
    };
    let alone = transcripts("1", &[]);
    assert_eq!(alone.len(), 12);
    assert_eq!(transcripts("3", &[]), alone);
    // A goal that nothing meets stops at the first.
    let path = file(folder.path(), "failing.toml", &without_memory.replace("goal = 0", "goal = 99"));
    let ran = sim(&["run", &path, "--seeds", "5..11", "--nodes", "3", "--jobs", "2", "--until-failure"]);
    assert!(ran.code == 1 && ran.out.contains("0 of 1 seeds passed; failed: [5]"), "{}", ran.out);
}

#[test]
fn a_report_is_one_self_contained_page_with_named_plots() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "small.toml", &small("<", 0.0));
    let out = folder.path().join("out");
    let ran = sim(&["run", &path, "--report", out.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let page = std::fs::read_to_string(out.join("small.html")).unwrap();
    for title in [
        "Delivery over time",
        "Distribution of delivery times",
        "Redundancy",
        "Last delivery hop",
        "Hops of first deliveries",
        "Bytes sent per node",
        "Convergence",
        "The overlay after faults",
    ] {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    for axis in ["virtual time (s)", "time since the broadcast (ms)", "bytes a second and node", "hops"] {
        assert!(page.contains(&format!(">\n{axis}\n</text>")), "{axis}");
    }
    assert!(page.contains("A &lt;small&gt; one") && page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("donp-sim run"));
    for foreign in ["<script", "http", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf\""));
}

#[test]
fn a_scenario_error_names_its_line_and_the_allowed_values() {
    let folder = tempfile::tempdir().unwrap();
    let good = small(">=", 0.0);
    let cases = [
        (
            good.replace("count = 6", "count = 0"),
            "count = 0",
            "integer `0`, expected a whole number from 1 in `nodes.count`",
        ),
        (
            good.replace("loss = 0.05", "loss = 5"),
            "loss = 5",
            "integer `5`, expected a number from 0 to 1 in `network.loss`",
        ),
        (
            good.replace("loss =", "lost ="),
            "lost =",
            "unknown field `lost`, expected one of `loss`, `duplicate`, `reorder`, `corrupt`",
        ),
        (
            good.replace("do = \"wait\"", "do = \"sit\""),
            "sit",
            "unknown variant `sit`, expected one of `wait`, `broadcast`,",
        ),
        (good.replace("seconds = 20", ""), "[[phase]]", "missing field `seconds` in phase 'wait'"),
        (good.replace("[nodes]", "[nodes"), "[nodes", "this is not TOML"),
        (
            good.replace("is = \">=\"", "is = \"~\""),
            "~",
            "unknown variant `~`, expected one of `<=`, `>=`, `<`, `=` in `is` in phase 'expect'",
        ),
        (
            format!("{good}[config]\nmembership.targets = 1\n"),
            "membership.targets",
            "no key 'membership.targets'; allowed: chat.catch_up_rate,",
        ),
        (
            good.replace("goal = 0\n", "goal = { by_case = [1, 2] }\n"),
            "by_case",
            "by_case has 2 values, and there are 1 cases",
        ),
    ];
    let unknown = good.replace("seconds = 20", "seconds = 20\nminutes = 1");
    let both = format!("{good}\n[[phase]]\ndo = \"fail\"\nshare = 0.5\ncount = 1\n");
    let torn = format!("{good}\n[[phase]]\ndo = \"fail\"\ncount = 1\ntern = true\n");
    let group = format!("{good}\n[[phase]]\ndo = \"private\"\nfrom = \"public\"\nto = \"hidden\"\n");
    let value = format!("{good}\n[[phase]]\ndo = \"until\"\nwhat = \"told\"\nvalue = 3\nseconds = 1\n");
    let half = good.replace("do = \"wait\"\nseconds = 20", "do = \"partition\"\nshare = \"half\"");
    let more = [
        (unknown, "minutes = 1", "minutes, available keys: seconds in phase 'wait'"),
        (
            both,
            "[[phase]]\ndo = \"fail\"\nshare = 0.5\ncount",
            "either share (0 to 1) or count is wanted in phase 'fail'",
        ),
        (torn, "tern = true", "tern, available keys: share or count, torn in phase 'fail'"),
        (group, "to = \"hidden\"", "there is no group 'hidden'; one of public is wanted"),
        (
            value,
            "[[phase]]\ndo = \"until\"\nwhat = \"told\"\nvalue",
            "value belongs to `what = \"neighbours\"` alone in phase 'until'",
        ),
        (half, "share = \"half\"", "string \"half\", expected a number from 0 to 1 in `share` in phase 'partition'"),
    ];
    for (text, wrong, what) in cases.into_iter().chain(more) {
        let line = text[..text.find(wrong).unwrap()].matches('\n').count() + 1;
        let path = file(folder.path(), "wrong.toml", &text);
        let ran = sim(&["run", &path]);
        assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
        let place = format!("error: {path}:{line}: ");
        assert!(ran.err.starts_with(&place) && ran.err.contains(what), "{line} {what}: {}", ran.err);
    }
    let none = sim(&["run", "plumtre"]);
    assert!(none.code == 2 && none.err.contains("scenarios: plumtree, plumtree-multi"), "{}", none.err);
    let few = sim(&["run", "nat", "--nodes", "10"]);
    assert!(few.code == 2 && few.err.contains("24 nodes are behind boxes"), "{}", few.err);
}

/// The example in `docs/simulator.md` has the result that the page states.
#[test]
fn the_worked_example_of_the_documentation_passes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulator.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = sim(&["run", &file(folder.path(), "example.toml", example)]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("back.took_s") && ran.out.contains("PASS example seed 1"), "{}", ran.out);
}
