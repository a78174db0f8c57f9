//! Networks that change under running nodes: each test is in network namespaces of its own, with real processes.
//!
//! Where the kernel gives no namespaces a test says that it was skipped.
#![cfg(target_os = "linux")]

mod common;

use std::net::UdpSocket;
use std::process::{Child, Command};

use common::{BEFORE_A_LOOK, Place, alone, in_a_network_of_its_own, until, until_within};

/// Runs the test in a network of its own. False if it is not in one now: then it is done, or was skipped.
fn inside(test: &str) -> bool {
    if alone() {
        return true;
    }
    match in_a_network_of_its_own(test) {
        Some(ran) => {
            let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            assert!(ran.status.success() && out.contains("1 passed"), "{out}{err}");
        }
        None => eprintln!("SKIPPED {test}: the kernel gives this user no network namespaces, or `ip` is missing"),
    }
    false
}

#[track_caller]
fn ip(arguments: &str) {
    let ran = Command::new("ip").args(arguments.split(' ')).output().expect("ip");
    assert!(ran.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A second machine: a namespace, for as long as a process in it lives.
struct Machine(Child);

impl Machine {
    fn new() -> Self {
        let child = Command::new("unshare").args(["-n", "sleep", "600"]).spawn().expect("unshare");
        let machine = Self(child);
        // It is there when the network is another one than ours.
        let own = std::fs::read_link("/proc/self/ns/net").expect("this namespace");
        until("the namespace is made", || {
            let other = std::fs::read_link(format!("/proc/{}/ns/net", machine.0.id())).ok()?;
            (other != own).then_some(())
        });
        machine.ip("link set lo up");
        machine
    }

    fn process(&self) -> u32 {
        self.0.id()
    }

    #[track_caller]
    fn ip(&self, arguments: &str) {
        let ran = Command::new("nsenter")
            .args(["-n", "-t", &self.process().to_string(), "ip"])
            .args(arguments.split(' '))
            .output()
            .expect("nsenter");
        assert!(ran.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// A cable between here (`a0`) and there (`b0`).
    fn cable(&self) {
        ip(&format!("link add a0 type veth peer name b0 netns {}", self.process()));
        ip("link set a0 up");
        self.ip("link set b0 up");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nodes of this place find no other by beacons.
fn quiet(place: &Place) {
    std::fs::write(place.config(), "[discovery]\nlan = \"off\"\n").expect("a file");
}

/// Whether the group of beacons is joined on an interface.
fn is_joined(interface: &str) -> Option<()> {
    let ran = Command::new("ip").args(["maddr", "show", "dev", interface]).output().expect("ip");
    String::from_utf8_lossy(&ran.stdout).contains("239.255.68.78").then_some(())
}

/// The places in `status` that beacons go to.
fn places(place: &Place, profile: &str) -> String {
    place.status(profile)["lan"].to_string()
}

/// What the system's notice shows: each wait begins when the one before has seen its look.
#[track_caller]
fn noticed(what: &str, check: impl FnMut() -> Option<()>) {
    until_within(BEFORE_A_LOOK, what, check);
}

/// Mutations: `Network::receive` sets no `look_at`; `lan.forget` forgets nothing.
#[test]
fn interfaces_that_come_and_go_are_noticed() {
    if !inside("interfaces_that_come_and_go_are_noticed") {
        return;
    }
    let place = Place::new();
    place.init("alice");
    let _alice = place.start_near("alice", &[]);
    assert!(!places(&place, "alice").contains("10.9.8.7"));
    let make = || {
        ip("link add a0 index 77 type veth peer name b0");
        ip("addr add 10.9.8.7/24 dev a0");
        ip("link set a0 up");
        ip("link set b0 up");
    };
    make();
    noticed("the interface is noticed", || places(&place, "alice").contains("10.9.8.7").then_some(()));
    noticed("the group is joined on it", || is_joined("a0"));

    // Unplugged and plugged in again, it may have the same number and address, and nothing is joined on it.
    ip("link del a0");
    make();
    noticed("the group is joined on it again", || is_joined("a0"));

    ip("addr del 10.9.8.7/24 dev a0");
    noticed("the address is gone", || (!places(&place, "alice").contains("10.9.8.7")).then_some(()));
}

/// One that another program has for itself: said in `status`, and nothing else suffers.
#[test]
fn a_taken_beacon_port_is_reported() {
    if !inside("a_taken_beacon_port_is_reported") {
        return;
    }
    let taken = UdpSocket::bind("0.0.0.0:8888").expect("a port of an empty network");
    let place = Place::new();
    place.init("alice");
    let _alice = place.start_near("alice", &[]);
    let error = place.status("alice")["lan_error"].to_string();
    assert!(error.contains("UDP port 8888"), "{error}");
    assert!(place.run("alice", &["status"]).ok().out.contains("UDP port 8888"));
    drop(taken);
    // With the next look, as when an interface comes.
    ip("link add a0 type veth peer name b0");
    noticed("the port is free", || place.status("alice")["lan_error"].is_null().then_some(()));
}

/// Which addresses two machines on one cable have, and which of them work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// There is no other.
    Ipv4,
    Ipv6,
    /// IPv6 addresses of the link and no other.
    LinkLocal,
    /// Both have addresses, and datagrams to those of the other family go nowhere, without a word.
    Ipv4OfTwo,
    Ipv6OfTwo,
}

impl Family {
    fn has_ipv4(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv4OfTwo | Self::Ipv6OfTwo)
    }

    fn is_ipv4(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv4OfTwo)
    }

    /// Gives both machines their addresses.
    fn set_up(self, other: &Machine) {
        for at in ["all", "default", "a0"].iter().filter(|_| self == Self::Ipv4) {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{at}/disable_ipv6"), "1").expect("a setting");
        }
        if self.has_ipv4() {
            ip("addr add 10.9.8.1/24 dev a0");
            other.ip("addr add 10.9.8.2/24 dev b0");
        }
        if self != Self::Ipv4 {
            ip("addr flush dev a0 scope link");
            other.ip("addr flush dev b0 scope link");
            ip("addr add fe80::1/64 dev a0 nodad");
            other.ip("addr add fe80::2/64 dev b0 nodad");
        }
        if !matches!(self, Self::Ipv4 | Self::LinkLocal) {
            ip("addr add fd00:9::1/64 dev a0 nodad");
            other.ip("addr add fd00:9::2/64 dev b0 nodad");
        }
        // To a station that is not there: what is sent to everybody passes, and the rest goes nowhere.
        let nowhere = "lladdr 02:00:00:00:00:99 nud permanent";
        let deaf: &[(&str, &str)] = match self {
            Self::Ipv6OfTwo => &[("10.9.8.1", "10.9.8.2")],
            Self::Ipv4OfTwo => &[("fd00:9::1", "fd00:9::2"), ("fe80::1", "fe80::2")],
            _ => &[],
        };
        for (own, theirs) in deaf {
            ip(&format!("neigh replace {theirs} dev a0 {nowhere}"));
            other.ip(&format!("neigh replace {own} dev b0 {nowhere}"));
        }
    }
}

/// Two machines find each other and talk by the family that works.
fn meet(family: Family) {
    let other = Machine::new();
    other.cable();
    family.set_up(&other);
    let (here, there) = (Place::new(), Place::new());
    here.init("alice");
    there.init("bob");
    let _alice = here.start_near("alice", &[]);
    let _bob = there.start_inside(other.process(), "bob", &[]);
    here.active("alice");
    there.active("bob");
    here.run("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok();
    assert_eq!(there.texts("bob", "alice"), ["hello"]);
    let peers = here.json("alice", &["peers"]).ok().json();
    let address = peers[0]["address"].as_str().expect("an address");
    assert_eq!(!address.starts_with('['), family.is_ipv4(), "{address}");
}

#[test]
fn machines_meet_where_only_ipv4_works() {
    if inside("machines_meet_where_only_ipv4_works") {
        meet(Family::Ipv4);
    }
}

#[test]
fn machines_meet_where_only_ipv6_works() {
    if inside("machines_meet_where_only_ipv6_works") {
        meet(Family::Ipv6);
    }
}

/// Mutation: `lan::places` has no place with an address of the link.
#[test]
fn machines_meet_with_addresses_of_the_link_alone() {
    if inside("machines_meet_with_addresses_of_the_link_alone") {
        meet(Family::LinkLocal);
    }
}

/// Mutation: as above.
#[test]
fn machines_meet_where_ipv4_is_filtered() {
    if inside("machines_meet_where_ipv4_is_filtered") {
        meet(Family::Ipv6OfTwo);
    }
}

#[test]
fn machines_meet_where_ipv6_is_filtered() {
    if inside("machines_meet_where_ipv6_is_filtered") {
        meet(Family::Ipv4OfTwo);
    }
}

/// A machine with containers: more bridges than there are places for beacons, and the real interface is the last.
///
/// Mutation: `ranked` keeps the system's order.
#[test]
fn forty_bridges_do_not_hide_the_real_interface() {
    if !inside("forty_bridges_do_not_hide_the_real_interface") {
        return;
    }
    for n in 0..40 {
        ip(&format!("link add br-{n} type veth peer name p{n}"));
        ip(&format!("addr add 172.20.{n}.1/24 dev br-{n}"));
        ip(&format!("link set br-{n} up"));
        ip(&format!("link set p{n} up"));
    }
    let other = Machine::new();
    other.cable();
    Family::Ipv4.set_up(&other);
    let (here, there) = (Place::new(), Place::new());
    here.init("alice");
    there.init("bob");
    let alice = here.start_near("alice", &[]);
    assert!(places(&here, "alice").contains("on 10.9.8.1"), "{}", places(&here, "alice"));
    let _bob = there.start_inside(other.process(), "bob", &[]);
    here.active("alice");
    there.active("bob");
    // A ticket has eight addresses: that of the real interface is among them.
    let ticket: donp_core::Ticket = here.run("alice", &["invite"]).ok().out.trim().parse().expect("a ticket");
    assert!(ticket.addrs.iter().any(|addr| addr.ip().to_string() == "10.9.8.1"), "{ticket:?}");
    drop(alice);
}

/// Two addresses of one family, of which the second alone leads out. Both send: each to its own network, and what is on
/// neither is reached from the one that has a route.
///
/// Mutation: `Sockets::push` does not ask for the route.
#[test]
fn of_two_addresses_the_one_with_a_route_sends() {
    if !inside("of_two_addresses_the_one_with_a_route_sends") {
        return;
    }
    ip("link add d0 type veth peer name e0");
    ip("addr add 10.1.1.1/24 dev d0");
    ip("link set d0 up");
    ip("link set e0 up");
    let other = Machine::new();
    other.cable();
    ip("addr add 10.9.8.1/24 dev a0");
    ip("route add default via 10.9.8.2 dev a0");
    // It knows no way back to the first address.
    other.ip("addr add 10.9.8.2/24 dev b0");
    other.ip("addr add 203.0.113.2/32 dev lo");
    let (here, near, there) = (Place::new(), Place::new(), Place::new());
    [&here, &near, &there].iter().for_each(|place| quiet(place));
    here.init("alice");
    near.init("carol");
    there.init("bob");
    let bob = there.start_inside(other.process(), "bob", &["--listen", "203.0.113.2:4000"]);
    let carol = near.start_near("carol", &["--listen", "10.1.1.1:4001"]);
    let both = ["--listen", "10.1.1.1:4000", "--listen", "10.9.8.1:4000"];
    let _alice =
        here.start_near("alice", &[&both[..], &["--bootstrap", &bob.place(), "--bootstrap", &carol.place()]].concat());
    here.active("alice");
    there.active("bob");
    here.run("alice", &["send", bob.field("id"), "far", "--wait", "delivered"]).ok();
    here.run("alice", &["send", carol.field("id"), "near", "--wait", "delivered"]).ok();
    assert_eq!(there.texts("bob", "alice"), ["far"]);
    assert_eq!(near.texts("carol", "alice"), ["near"]);
}

/// The name of a place to enter the network leads elsewhere from one time to the other: to nothing, to bob, to carol.
///
/// Mutations: `ask_again` does nothing; a name that is known already is not asked again by `join`.
#[test]
fn a_name_that_leads_elsewhere_is_followed() {
    if !inside("a_name_that_leads_elsewhere_is_followed") {
        return;
    }
    let other = Machine::new();
    other.cable();
    Family::Ipv4.set_up(&other);
    other.ip("addr add 10.9.8.3/24 dev b0");
    let (here, there) = (Place::new(), Place::new());
    let [hosts, log] = ["hosts", "log"].map(|name| here.path().join(name));
    let lead_to = |line: &str| std::fs::write(&hosts, format!("127.0.0.1 localhost\n{line}\n")).expect("a file");
    lead_to("");
    quiet(&there);
    for (place, name) in [(&here, "alice"), (&there, "bob"), (&there, "carol")] {
        place.init(name);
    }
    let far = |name: &str, listen: &str| there.start_inside(other.process(), name, &["--listen", listen]);
    let bob = far("bob", "10.9.8.2:4000");
    let name = "entrance.example:4000";
    let alice = here.start_with_hosts("alice", &["--bootstrap", name], &hosts, &log);
    let failures = || std::fs::read_to_string(&log).expect("a log").matches("bootstrap entrance.example:4000:").count();
    until("the name is looked up", || (failures() == 1).then_some(()));
    // The same failure is not said again, unless it was asked for again.
    ip("addr del 10.9.8.1/24 dev a0");
    ip("addr add 10.9.8.4/24 dev a0");
    noticed("it is asked again in another network", || (failures() > 1).then_some(()));
    lead_to("10.9.8.2 entrance.example");
    until("it leads to bob", || (here.status("alice")["neighbours"] != 0).then_some(()));
    assert_eq!(here.status("alice")["unresolved"], serde_json::json!([]));
    bob.kill();
    let carol = far("carol", "10.9.8.3:4000");
    lead_to("10.9.8.3 entrance.example");
    here.run("alice", &["join", name]).ok();
    let id = carol.field("id");
    until("it leads to carol", || {
        let peers = here.json("alice", &["peers"]).ok().json();
        peers.iter().any(|p| p["id"] == id && p["linked"] == true).then_some(())
    });
    drop(alice);
}

/// A machine gets another address, as in another wireless network: what is said goes on arriving, in both directions, and no
/// application had to say that the network changed.
#[test]
fn a_machine_that_changes_its_address_stays_reachable() {
    if !inside("a_machine_that_changes_its_address_stays_reachable") {
        return;
    }
    let other = Machine::new();
    other.cable();
    ip("addr add 10.9.8.1/24 dev a0");
    other.ip("addr add 10.9.8.2/24 dev b0");
    let (here, there) = (Place::new(), Place::new());
    here.init("alice");
    there.init("bob");
    let _alice = here.start_near("alice", &[]);
    let _bob = there.start_inside(other.process(), "bob", &[]);
    here.active("alice");
    there.active("bob");
    for n in 3..8 {
        let before = if n == 3 { 1 } else { n - 1 };
        ip(&format!("addr del 10.9.8.{before}/24 dev a0"));
        ip(&format!("addr add 10.9.8.{n}/24 dev a0"));
        here.run("alice", &["send", "bob", &format!("from {n}"), "--wait", "delivered"]).ok();
        there.run("bob", &["send", "alice", &format!("to {n}"), "--wait", "delivered"]).ok();
    }
    assert_eq!(here.texts("alice", "bob").len(), 10);
    assert_eq!(here.texts("alice", "bob"), there.texts("bob", "alice"));
}
