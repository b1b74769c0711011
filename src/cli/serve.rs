//! `onward serve`

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use aws_lc_rs::rand;
use clap::Args;

use super::notify::Manager;
use super::{ConfigFile, DATA_FOLDER, Ended};
use crate::{config::Env, service::Service, telemetry};

/// Random bytes in a token that we make.
const TOKEN_BYTES: usize = 24;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// What this process does, of api, delivery, writeback and scheduler, separated by commas. Stands in for [server] roles;
    /// everything, if neither is there. A part of it needs PostgreSQL and RabbitMQ, and others that do the rest.
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
}

/// Where the token of a service without a configuration lies.
pub(super) fn token_path() -> PathBuf {
    Path::new(DATA_FOLDER).join("token")
}

pub(super) async fn run(options: Options) -> Ended {
    let Options { file, roles } = options;
    let mut env = Env::of_process();
    if let Some(roles) = roles {
        env = env.with_option("--roles", ["server", "roles"], roles);
    }
    let path = file.path();
    if path.is_none() {
        make_token()?;
    }
    let config = file.load(&env)?;
    telemetry::init_logs(&config.log);
    let files = config.files.clone();
    let roles = config.server.roles;
    let service = Service::start(config).await?;
    match &path {
        Some(path) => eprintln!("onward: serving {} as {} says", service.base_url(), path.display()),
        None => eprintln!(
            "onward: serving {} on embedded defaults, for trying out: one system and one provider, both called “local”, with \
             the token in {}; everything is kept in ./{DATA_FOLDER}",
            service.base_url(),
            token_path().display()
        ),
    }
    tracing::info!(base_url = service.base_url(), %roles, "serving");
    let manager = Manager::of_process();
    manager.tell("READY=1");
    tokio::select! {
        () = manager.keep_watching() => {}
        () = service.watch(path.clone(), env, files), if path.is_some() => {}
        ended = asked_to_end() => ended?,
        () = service.failed() => {
            manager.tell("STOPPING=1");
            service.stop().await;
            anyhow::bail!("a part of the service has ended by itself; it is to be started anew");
        }
    }
    eprintln!("onward: ending; what is in hand is finished first (asked once more, it ends at once)");
    manager.tell("STOPPING=1");
    tokio::select! {
        () = service.stop() => Ok(()),
        () = manager.keep_watching() => Ok(()),
        ended = asked_to_end() => {
            ended?;
            anyhow::bail!("ended at once; what was in hand goes on at the next start, or elsewhere");
        }
    }
}

/// SIGINT or SIGTERM.
pub(super) async fn asked_to_end() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Makes a token for the embedded defaults, once, readable by its owner only.
fn make_token() -> anyhow::Result<()> {
    let path = token_path();
    if path.exists() {
        return Ok(());
    }
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(DATA_FOLDER).with_context(|| format!("cannot make the folder {DATA_FOLDER}"))?;
    let mut bytes = [0u8; TOKEN_BYTES];
    rand::fill(&mut bytes).ok().context("no random numbers")?;
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{text}")?;
    Ok(())
}
