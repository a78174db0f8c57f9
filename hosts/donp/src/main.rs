//! `donp`: the command line of a DONP node.

mod backend;
mod care;
mod cli;
mod config;
mod control;
mod daemon;
mod decode;
mod demo;
mod failure;
mod hints;
mod json;
mod output;
mod paths;
mod people;
mod profile;
mod resolve;
mod service;
mod text;
mod verbs;
mod when;

use std::process::ExitCode;

use clap::Parser as _;
use donp_runtime::{Access, LevelFilter, log_to_stderr};

use backend::Backend;
use cli::{Cli, ConfigVerb, ContactVerb, DeviceVerb, FileVerb, Global, GroupVerb, Verb};
use config::{FlagValue, Loaded};
use failure::{Exit, Failure};
use hints::Hints;
use output::Output;
use paths::Paths;

/// A node allocates a little for every message: the system's allocator would take a third of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A node that sleeps most of the time holds little memory, and the allocator asks for 2 MiB at once.
    #[cfg(unix)]
    {
        donp_runtime::os::no_huge_pages();
        donp_runtime::os::no_core_dumps();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are data, everything else is a usage error.
        Err(e) => {
            let _ = e.print();
            if let Some(hint) = cli::hint(&e, std::env::args().skip(1)) {
                eprintln!("\ntry:   {hint}");
            }
            return ExitCode::from(if e.use_stderr() { Exit::Usage.code() } else { 0 });
        }
    };
    log_to_stderr(match (cli.global.quiet, cli.global.verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        _ => LevelFilter::Debug,
    });
    let hints = Hints::new(&cli.global.profile, std::env::var("DONP_PROFILE").ok().as_deref());
    let out = Output { json: cli.global.json, notes: !cli.global.quiet, hints };
    let done = std::panic::catch_unwind(|| run(&cli, &out)).unwrap_or_else(|_| {
        Err(Failure::new(Exit::Bug, "an internal error: a bug").hint("report it with the lines above"))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(mut failure) => {
            failure.hint = failure.hint.map(|hint| out.hints.of(&hint));
            // An empty one was printed already, or no reader is left.
            if !failure.what.is_empty() && out.json {
                eprintln!("{}", json::object("error", failure.to_json()));
            } else if !failure.what.is_empty() {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

fn run(cli: &Cli, out: &Output) -> Result<(), Failure> {
    let global = &cli.global;
    // These need neither a profile nor settings.
    match &cli.verb {
        Verb::Version => {
            return out.value(&service::version(), |v| {
                format!(
                    "donp {} ({})",
                    v["version"].as_str().unwrap_or_default(),
                    v["target"].as_str().unwrap_or_default()
                )
            });
        }
        Verb::Decode { hex } => return decode::run(hex, out),
        Verb::Demo(args) => return demo::run(args, out),
        Verb::Config { what: ConfigVerb::Example } => return out.line(config::example().trim_end()),
        Verb::Config { what: ConfigVerb::Path } => {
            let path = match &global.config {
                Some(path) => path.clone(),
                None => paths::default_config()?,
            };
            return out
                .value(&json::object("path", serde_json::json!({ "path": path })), |_| path.display().to_string());
        }
        _ => {}
    }
    let paths = Paths::new(&global.profile, global.state_dir.as_deref())?;
    let env = |name: &str| std::env::var(name).ok();
    let flags = flags(global, &cli.verb);
    let load = || Loaded::load(global.config.as_deref(), &global.profile, env, &flags);
    let loaded = load()?;
    let settings = &loaded.settings;
    match &cli.verb {
        Verb::Config { what: ConfigVerb::Show { origin } } => return verbs::config_show(&loaded, *origin, out),
        Verb::Init(args) => return verbs::init(&args.name, &paths, settings, out),
        Verb::Check { repair } => return care::check(*repair, &paths, settings, out),
        Verb::Backup { place } => return care::backup(place, &paths, out),
        Verb::Restore { place } => return care::restore(place, &paths, out),
        Verb::Profile { what } => return care::profile(what, &paths, settings, out),
        Verb::Run(args) => return daemon::run(args, &loaded, &load, &paths, out),
        _ => {}
    }
    let mut backend = Backend::find(&paths, settings, global.no_daemon, access(&cli.verb))?;
    match &cli.verb {
        Verb::Recv(args) => verbs::recv(args, backend, &paths, out),
        Verb::Send(args) => verbs::send(args, &mut backend, out),
        Verb::History(args) => verbs::history(args, &mut backend, out),
        Verb::Invite => verbs::invite(&mut backend, out),
        Verb::Join { target } => verbs::join(target, &mut backend, out),
        Verb::Leave => verbs::leave(&mut backend, out),
        Verb::Status => verbs::status(&mut backend, out),
        Verb::Peers => verbs::peers(&mut backend, out),
        Verb::File { what } => verbs::file(what, &mut backend, out),
        Verb::Group { what } => verbs::group(what, &mut backend, out),
        Verb::Contact { what } => verbs::contact(what, &mut backend, out),
        Verb::Device { what } => verbs::device(what, &mut backend, out),
        Verb::Authenticate { node } => verbs::authenticate(node, &mut backend, out),
        Verb::Block { peer } => verbs::block(&mut backend, out, "block", peer),
        Verb::Unblock { peer } => verbs::block(&mut backend, out, "unblock", peer),
        Verb::Blocked => verbs::blocked(&mut backend, out),
        Verb::Whoami => verbs::whoami(&mut backend, out),
        // Done above.
        _ => Ok(()),
    }
}

/// Whether a verb changes the profile.
fn access(verb: &Verb) -> Access {
    match verb {
        Verb::Recv(recv) if recv.no_ack || recv.follow => Access::Read,
        Verb::History(history) if history.mark_read => Access::Write,
        Verb::Contact { what: ContactVerb::List | ContactVerb::Show { .. } } => Access::Read,
        Verb::Device { what: DeviceVerb::List | DeviceVerb::Add } => Access::Read,
        Verb::History(_) | Verb::Invite | Verb::Leave | Verb::Status | Verb::Peers | Verb::Blocked | Verb::Whoami => {
            Access::Read
        }
        Verb::Group { what: GroupVerb::List | GroupVerb::Show { .. } | GroupVerb::Members { .. } } => Access::Read,
        Verb::File { what: FileVerb::List | FileVerb::Save { .. } } => Access::Read,
        _ => Access::Write,
    }
}

/// The flags that set keys of the configuration.
fn flags(global: &Global, verb: &Verb) -> Vec<FlagValue> {
    let mut flags: Vec<FlagValue> = Vec::new();
    let path = |p: &std::path::PathBuf| vec![p.to_string_lossy().into_owned()];
    if let Some(file) = &global.passphrase_file {
        flags.push(("--passphrase-file", "passphrase_file", path(file)));
    }
    if let Some(command) = &global.passphrase_command {
        let words = command.split_whitespace().map(Into::into).collect();
        flags.push(("--passphrase-command", "passphrase_command", words));
    }
    if let Some(file) = &global.key_file {
        flags.push(("--key-file", "key_file", path(file)));
    }
    if let Verb::Run(run) = verb {
        let lists = [
            ("--listen", "listen", &run.listen),
            ("--bootstrap", "bootstrap", &run.bootstrap),
            ("--announce", "announce", &run.announce),
        ];
        flags.extend(lists.into_iter().filter(|(_, _, v)| !v.is_empty()).map(|(f, k, v)| (f, k, v.clone())));
        let single = [
            ("--fault", "fault", &run.fault),
            ("--lan", "discovery.lan", &run.lan),
            ("--node-type", "node_type", &run.node_type),
            ("--power", "power", &run.power),
        ];
        flags.extend(single.into_iter().filter_map(|(f, k, v)| Some((f, k, vec![v.clone()?]))));
        if let Some(file) = &run.network_key_file {
            flags.push(("--network-key-file", "network_key_file", path(file)));
        }
    }
    flags
}
