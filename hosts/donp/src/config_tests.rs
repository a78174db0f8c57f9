use super::*;

fn load(file: &str, profile: &str, env: &[(&str, &str)], flags: &[FlagValue]) -> Result<Loaded, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let find = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
    Loaded::load(Some(&path), profile, find, flags)
}

fn origin<'a>(loaded: &'a Loaded, key: &str) -> &'a str {
    loaded.rows().find(|(name, _, _)| *name == key).unwrap().2
}

const FILE: &str = r#"
node_type = "super"
listen = ["127.0.0.1:1"]
[link]
keepalive = "4s"
[profile.alice]
listen = ["127.0.0.1:2"]
[profile.alice.link]
keepalive = "3s"
[profile.bob]
node_type = "relay"
"#;

#[test]
fn each_source_wins_over_the_next() {
    let env = [("DONP_LINK_KEEPALIVE", "2s")];
    let flags = [("--listen", "listen", vec!["127.0.0.1:3".to_string()])];
    let all = load(FILE, "alice", &env, &flags).unwrap();
    assert_eq!(all.settings.listen, ["127.0.0.1:3".parse().unwrap()]);
    assert_eq!(all.settings.core.link.keepalive, Duration::from_secs(2));
    assert_eq!(all.settings.core.node_type, NodeType::Super, "another profile's section does not count");
    assert_eq!(origin(&all, "listen"), "flag --listen");
    assert_eq!(origin(&all, "link.keepalive"), "environment DONP_LINK_KEEPALIVE");
    assert_eq!(origin(&all, "gossip.ttl"), "default");

    let section = load(FILE, "alice", &[], &[]).unwrap();
    assert_eq!(section.settings.listen, ["127.0.0.1:2".parse().unwrap()]);
    assert_eq!(section.settings.core.link.keepalive, Duration::from_secs(3));
    assert!(origin(&section, "listen").ends_with("[profile.alice]"));

    let plain = load(FILE, "carol", &[], &[]).unwrap();
    assert_eq!(plain.settings.listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(plain.settings.core.link.keepalive, Duration::from_secs(4));
}

#[test]
fn an_unknown_key_is_refused_with_the_closest_one() {
    for (file, key, suggestion) in [
        ("lisen = []", "lisen", "'listen'"),
        ("[link]\nkeepalife = \"1s\"", "link.keepalife", "'link.keepalive'"),
        ("[profile.zoe]\nboot_strap = []", "boot_strap", "'bootstrap'"),
        ("[gossib]\nttl = 3", "gossib", "gossip"),
    ] {
        let failure = load(file, "alice", &[], &[]).err().unwrap();
        assert!(failure.what.contains(&format!("'{key}'")), "{}", failure.what);
        if key != "gossib" {
            assert!(failure.hint.as_ref().unwrap().contains(suggestion), "{failure}");
        }
    }
    let far = load("xyzzyxyzzy = 1", "alice", &[], &[]).err().unwrap();
    assert!(!far.hint.unwrap().contains("did you mean"));
}

#[test]
fn a_wrong_value_names_its_key_and_place() {
    for (file, key) in [
        ("listen = [\"nowhere\"]", "listen"),
        ("bootstrap = \"x\"", "bootstrap"),
        ("node_type = \"king\"", "node_type"),
        ("power = \"lots\"", "power"),
        ("fault = \"drop=much\"", "fault"),
        ("[link]\nkeepalive = 5", "link.keepalive"),
        ("[gossip]\nttl = 300", "gossip.ttl"),
        ("[limits]\nlinks = \"many\"", "limits.links"),
        ("[limits]\nlinks = [1, 2]", "limits.links"),
    ] {
        let failure = load(file, "alice", &[], &[]).err().unwrap();
        assert!(failure.what.starts_with(&format!("{key}:")), "{file}: {}", failure.what);
        assert!(failure.what.contains("config.toml"), "{}", failure.what);
    }
}

#[test]
fn a_rule_between_values_is_checked_after_all_sources() {
    // What the file breaks, the environment mends.
    let file = "[link]\nkeepalive = \"1h\"\nrare_keepalive = \"1h\"\nidle_close = \"2h\"";
    let mended = load(file, "alice", &[("DONP_LINK_DEAD_AFTER", "2h")], &[]).unwrap();
    assert_eq!(mended.settings.core.link.keepalive, Duration::from_secs(3_600));
    assert_eq!(mended.settings.core.link.dead_after, Duration::from_secs(7_200));
    // And what is right in each of two sources, both break.
    let file = "[link]\nkeepalive = \"10s\"";
    assert!(load(file, "alice", &[], &[]).is_ok());
    assert!(load("", "alice", &[("DONP_LINK_DEAD_AFTER", "9s")], &[]).is_ok());
    let failure = load(file, "alice", &[("DONP_LINK_DEAD_AFTER", "9s")], &[]).err().unwrap();
    assert!(failure.what.contains("link.dead_after"), "{}", failure.what);
}

#[test]
fn a_syntax_error_names_the_line() {
    let failure = load("node_type = \"super\"\nlisten = [", "alice", &[], &[]).err().unwrap();
    assert!(failure.what.contains("line 2"), "{}", failure.what);
}

#[test]
fn a_named_file_must_exist() {
    let missing = Loaded::load(Some("/no/such/config.toml".as_ref()), "alice", |_| None, &[]);
    assert!(missing.err().unwrap().what.contains("/no/such/config.toml"));
}

#[test]
fn the_example_is_the_defaults() {
    // Uncommented, the example reads and changes nothing.
    let text: String = example()
        .lines()
        .map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(l))
        .filter(|l| !l.starts_with("fault") && !l.ends_with("= \"\""))
        .map(|l| format!("{l}\n"))
        .collect();
    let loaded = load(&text, "bob", &[], &[]).unwrap();
    let defaults = Loaded { settings: Settings::default(), origins: BTreeMap::new() };
    let values = |l: &Loaded| l.rows().map(|(name, value, _)| (name, value)).collect::<Vec<_>>();
    assert_eq!(values(&loaded), values(&defaults));
    for key in KEYS.iter() {
        assert!(example().contains(&format!("#{} = ", key.name.rsplit('.').next().unwrap())), "{}", key.name);
    }
}

#[test]
fn every_key_reads_what_it_prints() {
    let defaults = Settings::default();
    for key in KEYS.iter() {
        let Some(value) = key.get(&defaults) else { continue };
        let value: toml::Table = format!("x = {value}").parse().unwrap();
        let mut again = Settings::default();
        key.set(&mut again, &strings(&value["x"])).unwrap();
        assert_eq!(key.get(&again), key.get(&defaults), "{}", key.name);
    }
}

#[test]
fn commands_and_lists_split_in_the_environment() {
    let env = [("DONP_PASSPHRASE_COMMAND", "pass show donp"), ("DONP_BOOTSTRAP", "a.example:1, b.example:2")];
    let loaded = load("", "alice", &env, &[]).unwrap();
    assert_eq!(loaded.settings.passphrase_command, ["pass", "show", "donp"]);
    assert_eq!(loaded.settings.bootstrap, ["a.example:1", "b.example:2"]);
}
