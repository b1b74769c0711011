//! What Onward is told by the people who run it: `onward.toml`, the environment and the route file it names. Everything
//! is read and checked before anything starts, and all faults are told at once. What is read (routes, secrets) is looked
//! for beside `onward.toml`; what is written (the store) relative to the working directory.

mod access;
mod alerts;
pub mod directory;
mod duplicates;
mod endpoint;
mod env;
mod escalation;
mod http;
mod issuer;
mod keys;
pub mod opening;
mod outbound;
pub mod people;
mod places;
mod read_registry;
pub mod registry;
mod roles;
pub mod routes;
mod secret;
mod sections;
mod smtp;
mod tls;
mod url;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    domain::{InboxId, ProviderId, StewardId, SystemId, retry::RetryPolicy, rule_level::RuleLevels},
    routing::RouteSet,
    toml_reader,
};

pub use crate::toml_reader::Fault;
pub use access::{Access, Grant, Identity};
pub use alerts::Alerts;
pub use env::Env;
pub use http::{Cors, Http};
pub use issuer::Issuer;
pub use keys::{ASSERTION_ALGORITHMS, JWKS_MAX_BYTES, KeySet, KeySource, Keys, NotKeys, PublicKey};
pub use outbound::{Outbound, literal};
pub use people::People;
pub use registry::Registry;
pub use roles::{Role, Roles};
pub use routes::Routes;
pub use secret::{Secret, TokenHash, is_same_secret, new_token};
pub use sections::{Broker, Level, Limits, Log, LogFormat, Profiles, Server, StaticTokens, Store};
pub use smtp::{Smtp, SmtpTls};
pub use tls::{Clients, Listener, Tls};
pub use url::{BrokerUrl, HiddenUrl, StoreUrl};

use registry::{Inbox, InboxKind, Provider, Steward, System};
use secret::Secrets;

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "onward.toml";

/// Everything `onward.toml` says, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub server: Server,
    /// Where it listens as well.
    pub listeners: Vec<Listener>,
    /// Where referrals are kept.
    pub store: Store,
    /// What wakes the workers.
    pub broker: Broker,
    /// When a message is tried again and given up.
    pub retry: RetryPolicy,
    /// What is refused for being too much.
    pub limits: Limits,
    /// How clients may speak to it.
    pub http: Http,
    /// Where it may connect to.
    pub outbound: Outbound,
    /// How it logs.
    pub log: Log,
    /// What resources are held against beside R4.
    pub profiles: Profiles,
    /// Who is told when something waits for a person.
    pub alerts: Alerts,
    /// Through which server people are told by mail that something waits for them.
    pub smtp: Option<Smtp>,
    /// How people log in.
    pub people: People,
    /// Where the route set comes from.
    pub routes: Routes,
    /// Systems, providers and inboxes; and the routes, where they come from a file.
    pub registry: Registry,
    /// Every file that was read, for those who watch them for changes.
    pub files: Vec<PathBuf>,
}

/// What reading a configuration ends with: it and its warnings, or its faults.
pub type Loaded = Result<(Config, Vec<Fault>), Vec<Fault>>;

// === impl Config ===

impl Config {
    /// Reads the file at `path`, or with `None` only what `env` says.
    pub fn load(path: Option<&Path>, env: &Env) -> Loaded {
        let Some(path) = path else { return Self::parse("", Path::new(DEFAULT_FILE), env) };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let (mut config, warnings) = Self::parse(&text, path, env)?;
                config.files.insert(0, path.to_owned());
                Ok((config, warnings))
            }
            Err(error) => Err(vec![Fault::of_file(path.display().to_string(), format!("cannot be read: {error}"))]),
        }
    }

    /// The same without the routes: what is wrong with the route file is no fault, and the route set is empty.
    pub fn load_apart(path: Option<&Path>, env: &Env) -> Loaded {
        let text = path.map_or(Ok(String::new()), std::fs::read_to_string);
        let path = path.unwrap_or(Path::new(DEFAULT_FILE));
        match text {
            Ok(text) => Self::parse_with(&text, path, env, false),
            Err(error) => Err(vec![Fault::of_file(path.display().to_string(), format!("cannot be read: {error}"))]),
        }
    }

    /// Reads `text` as if it stood in the file `path`, beside which the files it names are looked for.
    pub fn parse(text: &str, path: &Path, env: &Env) -> Loaded {
        Self::parse_with(text, path, env, true)
    }

    fn parse_with(text: &str, path: &Path, env: &Env, with_routes: bool) -> Loaded {
        let (mut reader, mut table) = toml_reader::read(&path.display().to_string(), text);
        if reader.has_faults() {
            return Err(reader.finish().0); // half a file would only show faults that are none
        }
        let mut other_faults = env.put_into(&mut reader, &mut table);
        let folder = path.parent().unwrap_or(Path::new(""));
        let secrets = Secrets::new(env, folder);
        let mut root = reader.root(&table);

        let store = Store::read(root.section("store"), &secrets);
        let broker = Broker::read(root.section("broker"), &secrets);
        let server = Server::read(root.section("server"), &store.url, &broker.url, &secrets);
        let listeners = Listener::read_all(&mut root, folder);
        let retry = sections::retry(root.section("retry"), RetryPolicy::default());
        let limits = Limits::read(root.section("limits"));
        let http = Http::read(root.section("http"));
        let mut own = std::iter::once(server.listen).chain(listeners.iter().map(|listener| listener.listen));
        let loopback = own.all(|at| at.ip().is_loopback());
        let outbound = Outbound::read(root.section("outbound"), loopback);
        let log = Log::read(root.section("log"));
        let profiles = Profiles::read(root.section("profiles"), folder);
        let alerts = Alerts::read(root.section("alerts"), &secrets);
        let (escalation, working_time) = escalation::read(root.section("escalation"));
        let pages = table.contains_key("people");
        let (mut registry, ids) = read_registry::read(&mut root, &secrets, &broker.url, retry, escalation, pages);
        registry.working_time = working_time;
        let notified = registry.inboxes.values().any(|inbox| !inbox.notify.is_empty());
        let smtp = Smtp::read(&mut root, &secrets, &outbound, notified);
        registry.issuer = Issuer::read(&mut root);
        registry.same_person = duplicates::read(root.section("duplicates"));
        let people =
            People::read(root.section("people"), (&secrets, folder), &registry, &server.base_url_at(server.listen));
        let (mut files, mut route_warnings) = (Vec::new(), Vec::new());
        registry.directory = directory::read(root.section("directory"));
        registry.places = places::read(root.section("places"), folder, &mut files);
        let section = root.section("registry");
        let (routes, text) = Routes::read(section, root.section("routes"), folder);
        if let Some(text) = text.filter(|_| with_routes) {
            match text.read(&ids, &registry, &mut files) {
                Ok((routes, more)) => {
                    registry.routes = routes;
                    route_warnings = more;
                }
                Err(faults) => other_faults.extend(faults),
            }
        }
        warn_of_tokens(&root, &server, loopback, &registry);
        if people.any() && alerts.hook.is_none() && alerts.command.is_empty() {
            root.warn("alerts", UNTOLD);
        }
        for what in outbound.out_of_reach(&registry, &alerts, &people) {
            let told = format!(
                "found {what} where Onward may not connect to; allowed: another one, or its address in \
                 [outbound] allow (this machine itself is allowed only where Onward listens to nobody else)"
            );
            root.fault("outbound", told);
        }
        root.finish();

        let (mut faults, mut warnings) = reader.finish();
        faults.extend(other_faults);
        warnings.extend(route_warnings);
        if !faults.is_empty() {
            return Err(faults);
        }
        files.extend(secrets.into_files());
        Ok((
            Self {
                server,
                listeners,
                store,
                broker,
                retry,
                limits,
                http,
                outbound,
                log,
                profiles,
                alerts,
                smtp,
                people,
                routes,
                registry,
                files,
            },
            warnings,
        ))
    }

    /// What runs with no configuration: a store under `data_dir`, the embedded broker, loopback, one system, one provider
    /// and one worklist, all called `local`, with one token for both sides and for the directory. `env` may override keys as everywhere.
    pub fn embedded(data_dir: &Path, token: TokenHash, env: &Env) -> Loaded {
        let (mut config, warnings) = Self::parse("", Path::new(DEFAULT_FILE), env)?;
        if env.get("ONWARD__STORE__URL").is_none() {
            config.store.url = StoreUrl::Sqlite(data_dir.join("onward.db"));
        }
        config.registry = local_registry(token).map_err(|error| vec![Fault::of_file("onward", error.to_string())])?;
        // the warnings of an empty file speak of systems and routes that are missing; here they are not
        let of_start = |fault: &Fault| matches!(fault.file.as_str(), "environment" | "command line");
        Ok((config, warnings.into_iter().filter(of_start).collect()))
    }
}

/// Where people log in, and nobody is told of what they should not do unseen.
const UNTOLD: &str = "no hook and no command, while [people] lets people log in: whose glass is broken, and whatever else waits for a person, stands at \
                      /console alone and is told to nobody";

/// So many clients are named in one warning.
const TOLD_MAX: usize = 5;

/// Says where tokens of the configuration are worth nothing, and where they are worth much to whoever finds one.
fn warn_of_tokens(root: &toml_reader::Table<'_>, server: &Server, loopback: bool, registry: &Registry) {
    let alone = registry.clients().filter(|one| !one.tokens.is_empty() && one.certificate_names.is_empty());
    let mut names: Vec<String> = alone.map(|one| one.client.to_string()).collect();
    if names.is_empty() || loopback {
        return;
    }
    let others = names.len().saturating_sub(TOLD_MAX);
    names.truncate(TOLD_MAX);
    let more = if others > 0 { format!(" and {others} others") } else { String::new() };
    let told = match server.static_tokens {
        StaticTokens::Loopback => format!(
            "the tokens of {}{more} are refused where others than this machine connect: give these clients jwks or jwks-url, or \
             certificate-names, or say \"everywhere\"",
            names.join(", ")
        ),
        StaticTokens::Everywhere => {
            "whoever finds a token of the configuration may use it from anywhere for as long as it stands there: jwks or jwks-url \
             is better"
                .to_owned()
        }
    };
    root.warn("server.static-tokens", told);
}

fn local_registry(token: TokenHash) -> Result<Registry, crate::domain::ids::NotAnId> {
    let (system_id, provider_id): (SystemId, ProviderId) = ("local".parse()?, "local".parse()?);
    let (inbox_id, steward_id): (InboxId, StewardId) = ("local".parse()?, "local".parse()?);
    let (name, ods_code) = ("Local".to_owned(), "LOCAL".to_owned());
    let system = System {
        id: system_id.clone(),
        name: name.clone(),
        ods_code: ods_code.clone(),
        kind: "local".to_owned(),
        tokens: vec![token.clone()],
        certificate_names: vec![],
        keys: Keys::default(),
        profiles: Vec::new(),
        hooks: vec![],
        rules: RuleLevels::default(),
        read: None,
        write_back: None,
    };
    let steward = Steward {
        id: steward_id.clone(),
        name: name.clone(),
        tokens: vec![token.clone()],
        certificate_names: vec![],
        keys: Keys::default(),
    };
    let provider = Provider {
        id: provider_id.clone(),
        name,
        ods_code,
        tokens: vec![token],
        certificate_names: vec![],
        keys: Keys::default(),
        hooks: vec![],
    };
    let inbox = Inbox {
        id: inbox_id.clone(),
        provider: provider_id.clone(),
        service: None,
        kind: InboxKind::Worklist,
        escalation: Default::default(),
        opening: Default::default(),
        notify: vec![],
    };
    Ok(Registry {
        systems: BTreeMap::from([(system_id, system)]),
        providers: BTreeMap::from([(provider_id, provider)]),
        stewards: BTreeMap::from([(steward_id, steward)]),
        inboxes: BTreeMap::from([(inbox_id.clone(), inbox)]),
        routes: RouteSet::all_to(inbox_id),
        ..Registry::default()
    })
}

#[cfg(test)]
mod tests;
