//! Networks that change under running nodes: each test is in network namespaces of its own, with real processes.
//!
//! Where the kernel gives no namespaces a test says that it was skipped.
#![cfg(target_os = "linux")]

mod common;

use std::net::UdpSocket;
use std::process::{Child, Command};

use common::{Place, alone, in_a_network_of_its_own, until};

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

/// Whether the group of beacons is joined on an interface.
fn is_joined(interface: &str) -> Option<()> {
    let ran = Command::new("ip").args(["maddr", "show", "dev", interface]).output().expect("ip");
    String::from_utf8_lossy(&ran.stdout).contains("239.255.68.78").then_some(())
}

/// The places in `status` that beacons go to.
fn places(place: &Place, profile: &str) -> String {
    place.status(profile)["lan"].to_string()
}

/// Without the system's notice a node looks after a minute, which is longer than these tests wait.
///
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
    until("the interface is noticed", || places(&place, "alice").contains("10.9.8.7").then_some(()));
    until("the group is joined on it", || is_joined("a0"));

    // Unplugged and plugged in again, it may have the same number and address, and nothing is joined on it.
    ip("link del a0");
    make();
    until("the group is joined on it again", || is_joined("a0"));

    ip("addr del 10.9.8.7/24 dev a0");
    until("the address is gone", || (!places(&place, "alice").contains("10.9.8.7")).then_some(()));
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
    until("the port is free", || place.status("alice")["lan_error"].is_null().then_some(()));
}

/// Two machines on one network, of which one family alone works.
fn meet(family: &str) {
    let other = Machine::new();
    other.cable();
    if family == "IPv4" {
        for at in ["all", "default", "a0"] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{at}/disable_ipv6"), "1").expect("a setting");
        }
        ip("addr add 10.9.8.1/24 dev a0");
        other.ip("addr add 10.9.8.2/24 dev b0");
    } else {
        ip("addr add fd00:9::1/64 dev a0 nodad");
        other.ip("addr add fd00:9::2/64 dev b0 nodad");
    }
    let (here, there) = (Place::new(), Place::new());
    here.init("alice");
    there.init("bob");
    let _alice = here.start_near("alice", &[]);
    let _bob = there.start_inside(other.process(), "bob", &[]);
    here.active("alice");
    there.active("bob");
    here.run("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok();
    assert_eq!(there.texts("bob", "alice"), ["hello"]);
}

#[test]
fn machines_meet_where_only_ipv4_works() {
    if inside("machines_meet_where_only_ipv4_works") {
        meet("IPv4");
    }
}

#[test]
fn machines_meet_where_only_ipv6_works() {
    if inside("machines_meet_where_only_ipv6_works") {
        meet("IPv6");
    }
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
