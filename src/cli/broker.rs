//! `onward broker`: what RabbitMQ must know of providers that read their inbox from a queue.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{ConfigFile, Ended};
use crate::{
    broker::{Outlet, rabbitmq},
    client::FhirClient,
    config::{BrokerUrl, Env, Outbound},
    delivery::amqp,
};

/// Random bytes in a password that we make.
const PASSWORD_BYTES: usize = 24;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The administrator's password, where no file is named.
const ADMIN_PASSWORD: &str = "ONWARD_RABBITMQ_ADMIN_PASSWORD";

#[derive(Subcommand)]
pub(super) enum Broker {
    /// For each inbox of kind "amqp": a RabbitMQ user of its own that may read its queue and do nothing else.
    Provision(Provision),
}

#[derive(Args, Debug)]
pub(super) struct Provision {
    #[command(flatten)]
    file: ConfigFile,
    /// Only these inboxes.
    #[arg(value_name = "INBOX")]
    inboxes: Vec<String>,
    /// Prints the rabbitmqctl commands, to be run on a node of the RabbitMQ. The default.
    #[arg(long, conflicts_with = "apply")]
    print: bool,
    /// Does it, over RabbitMQ's management interface. A user that is there keeps its password.
    #[arg(long, requires = "management", requires = "admin")]
    apply: bool,
    /// A folder for the passwords: one file a user, which only you can read. Without it each is shown once.
    #[arg(long, value_name = "DIR")]
    passwords: Option<PathBuf>,
    /// With --apply: gives users that are there a new password.
    #[arg(long, requires = "apply")]
    renew: bool,
    /// With --apply: where the management interface is, such as https://rabbitmq.example:15671.
    #[arg(long, value_name = "URL")]
    management: Option<String>,
    /// With --apply: a user that may administrate RabbitMQ, which the service itself need not be allowed to. Its password comes
    /// from the variable ONWARD_RABBITMQ_ADMIN_PASSWORD.
    #[arg(long, value_name = "USER")]
    admin: Option<String>,
    /// With --apply: the file that holds the password of --admin, instead of the variable; - is standard input.
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
}

/// RabbitMQ's management interface.
struct Management {
    client: FhirClient,
    base: String,
    authorization: String,
}

pub(super) async fn run(command: Broker) -> Ended {
    let Broker::Provision(options) = command;
    let env = Env::of_process();
    let config = options.file.load(&env)?;
    let BrokerUrl::Amqp(url) = &config.broker.url else {
        bail!("[broker] url is the embedded broker, which nobody outside the service can read from");
    };
    let vhost = rabbitmq::vhost(url.reveal())?;
    let mut outlets = amqp::outlets(&config.registry);
    for inbox in &options.inboxes {
        if !outlets.iter().any(|outlet| outlet.inbox == *inbox) {
            bail!("{inbox} is no inbox of kind \"amqp\"");
        }
    }
    if !options.inboxes.is_empty() {
        outlets.retain(|outlet| options.inboxes.contains(&outlet.inbox));
    }
    if outlets.is_empty() {
        say!("no inbox is of kind \"amqp\": nothing to do");
        return Ok(());
    }
    if let Some(folder) = &options.passwords {
        make_folder(folder)?;
    }
    match &options.management {
        Some(base) if options.apply => {
            let management = Management::new(&options, base, &env)?;
            for outlet in &outlets {
                management.provision(outlet, &vhost, &options).await?;
            }
        }
        _ => {
            for outlet in &outlets {
                print(outlet, &vhost, options.passwords.as_deref())?;
            }
        }
    }
    Ok(())
}

/// The names of user and queue are the same.
fn permission(outlet: &Outlet) -> String {
    format!("^{}$", outlet.name().replace('.', "\\."))
}

fn print(outlet: &Outlet, vhost: &str, folder: Option<&Path>) -> Ended {
    let user = outlet.name();
    say!("# {user} may read the queue of the same name, and do nothing else");
    match folder {
        Some(folder) => {
            let path = folder.join(&user);
            if path.exists() {
                say!("# its password lies in {} already", path.display());
            } else {
                write_secret(&path, &password()?)?;
            }
            say!("rabbitmqctl add_user {} < {}", quoted(&user), quoted(&path.display().to_string()));
        }
        None => {
            say!("# its password, to be typed when asked for, is not shown again: {}", password()?);
            say!("rabbitmqctl add_user {}", quoted(&user));
        }
    }
    let permission = permission(outlet);
    say!("rabbitmqctl set_permissions --vhost {} {} '' '' {}", quoted(vhost), quoted(&user), quoted(&permission));
    Ok(())
}

// === impl Management ===

impl Management {
    fn new(options: &Provision, base: &str, env: &Env) -> anyhow::Result<Self> {
        let url: hyper::Uri = base.parse().context("--management: expected https://HOST:PORT")?;
        let loopback = matches!(url.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if loopback => {}
            _ => bail!(
                "--management: expected https://HOST:PORT; http:// only on this machine, for it carries passwords"
            ),
        }
        let password = match &options.admin_password_file {
            Some(path) if path.as_os_str() == "-" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("the password on standard input")?;
                text
            }
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
            None => env
                .get(ADMIN_PASSWORD)
                .with_context(|| format!("{ADMIN_PASSWORD} is not set, and no --admin-password-file is given"))?
                .to_owned(),
        };
        let user = options.admin.as_deref().unwrap_or_default();
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.trim_end_matches('\n'))));
        Ok(Self {
            client: FhirClient::new(&Outbound::anywhere())?,
            base: base.trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    async fn provision(&self, outlet: &Outlet, vhost: &str, options: &Provision) -> Ended {
        let user = outlet.name();
        let path = format!("users/{}", encoded(&user));
        let is_there = match self.call(Method::GET, &path, None).await? {
            StatusCode::OK => true,
            StatusCode::NOT_FOUND => false,
            status => bail!(refused(status, "looking for the user")),
        };
        if is_there && !options.renew {
            say!("{user}: is there and keeps its password");
        } else {
            let password = password()?;
            let file = options.passwords.as_ref().map(|folder| folder.join(&user));
            // written first: a password that RabbitMQ knows and nobody else is of no use
            if let Some(file) = &file {
                write_secret(file, &password)?;
            }
            let said = self.call(Method::PUT, &path, Some(&json!({"password": password, "tags": ""}))).await?;
            if !said.is_success() {
                bail!(refused(said, "making the user"));
            }
            match file {
                Some(file) => say!("{user}: its password lies in {}", file.display()),
                None => say!("{user}: its password, which is not shown again, is {password}"),
            }
        }
        let path = format!("permissions/{}/{}", encoded(vhost), encoded(&user));
        let rights = json!({"configure": "", "write": "", "read": permission(outlet)});
        let said = self.call(Method::PUT, &path, Some(&rights)).await?;
        if !said.is_success() {
            bail!(refused(said, "giving it its permission"));
        }
        say!("{user}: may read the queue {user} of the virtual host {vhost}, and do nothing else");
        Ok(())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<StatusCode> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/{path}", self.base))
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default()))?;
        let answer = self.client.exchange(request, TIMEOUT).await.with_context(|| self.base.clone())?;
        Ok(answer.status())
    }
}

fn refused(status: StatusCode, what: &str) -> String {
    let hint =
        if status == StatusCode::UNAUTHORIZED { ": is --admin an administrator, and its password right?" } else { "" };
    format!("RabbitMQ answers {status} to {what}{hint}")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn password() -> anyhow::Result<String> {
    let mut bytes = [0u8; PASSWORD_BYTES];
    rand::fill(&mut bytes).ok().context("no random numbers")?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn make_folder(folder: &Path) -> Ended {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Writes a file that only its owner can read, in place of what was there.
fn write_secret(path: &Path, secret: &str) -> Ended {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let _ = std::fs::remove_file(&new);
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(&new)?;
        writeln!(file, "{secret}")?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
