//! `onward check`

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{ConfigFile, Ended, Finding};
use crate::{
    auth::fetched,
    broker::{Broker, RabbitMq},
    client::{CallError, FhirClient},
    config::{
        Access, BrokerUrl, Clients, Config, Env, Identity, KeySet, KeySource, Keys, StoreUrl,
        people::Proof,
        registry::{Endpoint, InboxKind},
        routes::Source,
    },
    fhir::tree,
    people::oidc::can_sign,
    routing::RouteSet,
    service::profiles,
    store::{postgres::PostgresStore, sqlite::SqliteStore},
    tls::look::{
        Known, Looked, key_lies_open, look, look_at_roots, look_outwards, public_keys_lie_open, secret_lies_open,
    },
};

/// How long an issuer is given to describe itself, …
const ISSUER_WAIT: Duration = Duration::from_secs(10);
/// … and where, below its URL.
const DESCRIPTION: &str = ".well-known/openid-configuration";
/// How long the broker is given to be there.
const BROKER_WAIT: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Asks whether store, broker, every endpoint, issuers, public keys, the mail server and the hook of alerts are there as well, and are what
    /// they should be.
    #[arg(long)]
    connect: bool,
}

pub(super) async fn run(options: &Options) -> Ended {
    let config = options.file.load(&Env::of_process())?;
    let own = options.file.path();
    let (mut faults, risks) = beyond_the_file(&config, own.as_deref());
    let validator = profiles::validator(&config);
    faults.extend(validator.as_ref().err().map(ToString::to_string));
    for risk in risks {
        eprintln!("warning: {risk}");
    }
    if !faults.is_empty() {
        return Err(Finding(faults.join("\n")).into());
    }
    for (profile, note) in validator.iter().flat_map(|validator| validator.notes()) {
        say!("note: {profile}: {note}");
    }
    let registry = &config.registry;
    let routes = match config.routes.source {
        Source::File => said_of(&registry.routes),
        Source::Store => "the routes that are active in the store".to_owned(),
    };
    say!(
        "good: {} systems, {} providers, {} inboxes, {routes}",
        registry.systems.len(),
        registry.providers.len(),
        registry.inboxes.len(),
    );
    // none where no table is named
    if !registry.places.is_empty() {
        say!("good: [places]: {}", registry.places.tally());
    }
    if !options.connect {
        return Ok(());
    }
    let (mut bad, mut all) = (0, 0);
    let mut tell = |what: &str, result: Result<String, String>| {
        all += 1;
        match result {
            Ok(said) => say!("good: {what}: {said}"),
            Err(said) => {
                bad += 1;
                say!("BAD:  {what}: {said}");
            }
        }
    };
    let found = store(&config).await;
    let has_routes = config.routes.source == Source::Store && found.is_ok();
    tell("store", found);
    if has_routes {
        tell("routes", super::routes::in_force(&config).await.map(|it| said_of(&it)).map_err(|e| format!("{e:#}")));
    }
    tell("broker", broker(&config).await);
    let client = FhirClient::new(&config.outbound)?;
    for (what, endpoint) in endpoints(&config) {
        tell(&what, reach(&client, &endpoint).await);
    }
    for (what, url) in issuers(&config) {
        tell(&what, described(&client, &url).await);
    }
    for (whose, url) in keys_at(&config) {
        let found = fetched(&client, &url).await;
        tell(&whose, found.map(|count| format!("{count} at {url}")).map_err(|why| format!("{url}: {why}")));
    }
    #[cfg(feature = "pages")]
    if let Some(smtp) = config.smtp.clone() {
        use crate::notices::PostError;
        let (host, outbound) = (format!("{}:{}", smtp.host, smtp.port), Arc::new(config.outbound.clone()));
        let server = crate::notices::smtp::Server { smtp, resolver: crate::resolve::Resolver::system(), outbound };
        let met = server.greets().await.map(|()| format!("{host} takes letters from Onward"));
        let why = |error: PostError| match error {
            PostError::Refused(why) | PostError::Away(why) => format!("{host}: {why}"),
        };
        tell("the mail server of [smtp]", met.map_err(why));
    }
    if let Some(hook) = &config.alerts.hook {
        tell("the hook of [alerts]", answers(&client, hook).await);
    }
    let told = format!("{bad} of {all} cannot be reached, or are not what they should be: the lines with BAD say why");
    if bad == 0 { Ok(()) } else { Err(Finding(told).into()) }
}

/// Who gives tokens to clients, and who says who people are.
fn issuers(config: &Config) -> Vec<(String, String)> {
    let of_tokens =
        config.registry.issuer.as_ref().map(|issuer| ("the issuer of [issuer]".to_owned(), issuer.url.clone()));
    let of_people =
        config.people.oidc.as_ref().map(|oidc| ("the issuer of [people.oidc]".to_owned(), oidc.issuer.clone()));
    of_tokens.into_iter().chain(of_people).collect()
}

/// Whether an issuer describes itself, and as whom it is named (OpenID Connect Discovery 1.0, 4.3).
async fn described(client: &FhirClient, url: &str) -> Result<String, String> {
    let (base_url, access) = (url.trim_end_matches('/').to_owned(), Access::default());
    let endpoint = Endpoint { base_url, access, timeout: ISSUER_WAIT };
    let answer = client.get(&endpoint, DESCRIPTION, &[]).await.map_err(|error| format!("{url}: {error}"))?;
    if !answer.status.is_success() {
        return Err(format!("{url}: {}", answer.describe()));
    }
    let named = answer.body.as_ref().and_then(|body| tree::text(body, "issuer")).unwrap_or_default();
    if named.trim_end_matches('/') == endpoint.base_url {
        Ok(format!("{url} describes itself"))
    } else {
        Err(format!("{url} does not describe itself under that name at /{DESCRIPTION}"))
    }
}

/// Whether somebody answers at a hook. It is asked for nothing and told nothing: what it says to that does not matter.
async fn answers(client: &FhirClient, hook: &Endpoint) -> Result<String, String> {
    match client.get(hook, "", &[]).await {
        Ok(_) | Err(CallError::Unreadable(_)) => Ok(format!("somebody answers at {}", hook.base_url)),
        Err(error) => Err(format!("{}: {error}", hook.base_url)),
    }
}

/// What is wrong, and what looks so, with what the configuration names and does not hold: certificates, keys, and where the store is.
fn beyond_the_file(config: &Config, own: Option<&Path>) -> (Vec<String>, Vec<String>) {
    let now = Timestamp::now();
    let name = config.server.base_url.as_deref().filter(|url| url.starts_with("https://")).and_then(host_of);
    let listened = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).map(|tls| (tls, None));
    let shown = config.server.tls.iter().map(|tls| (tls, name.as_deref())).chain(listened);
    let known = roots(config).into_iter().fold(Known::of_machine(), Known::and_of);
    let inwards = shown.map(|(tls, name)| look(tls, config.http.http2, name, &known, now));
    let outwards = identities(config).into_iter().map(|(to, identity)| look_outwards(&to, identity, &known, now));
    let keys = signing_keys(config).filter_map(key_lies_open);
    // a set with a private key in it was refused when it was read
    let is_public = |file: &&Path| std::fs::read(file).is_ok_and(|bytes| KeySet::read(&bytes).is_ok());
    let (public, secret): (Vec<_>, Vec<_>) = files_beside(config, own).partition(is_public);
    let secrets = secret.into_iter().filter_map(secret_lies_open);
    let public = public.into_iter().filter_map(public_keys_lie_open);
    let open = keys.chain(secrets).chain(public).map(|risk| Looked { faults: Vec::new(), risks: vec![risk] });
    let of_mail = config.smtp.iter().filter_map(|smtp| smtp.roots.as_deref()).map(|roots| look_at_roots(roots, now));
    let all = inwards.chain(outwards).chain(of_mail).chain(open);
    let Looked { mut faults, risks } = all.fold(Looked::default(), Looked::and);
    if let StoreUrl::Postgres(url) = &config.store.url {
        faults.extend(PostgresStore::check_url(url.reveal()).err().map(|error| format!("[store] url: {error}")));
    }
    if let Some(Proof::Key(key)) = config.people.oidc.as_ref().map(|oidc| &oidc.proof) {
        faults.extend(can_sign(key).err().map(|why| format!("[people.oidc] client-key: {why}")));
    }
    (faults, risks)
}

/// Every file with authorities that somebody is known by.
fn roots(config: &Config) -> Vec<&Path> {
    let listeners = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).chain(&config.server.tls);
    let of_clients = listeners.filter_map(|tls| match &tls.clients {
        Clients::Asked { roots, .. } => Some(roots.as_path()),
        Clients::Unasked => None,
    });
    let of_endpoints = config.registry.identities().filter_map(|(_, identity)| identity.roots.as_deref());
    let of_mail = config.smtp.iter().filter_map(|smtp| smtp.roots.as_deref());
    of_clients.chain(of_endpoints).chain(of_mail).collect()
}

/// What is shown to endpoints, and by whom they are known: each once, with all that it is shown to.
fn identities(config: &Config) -> Vec<(String, &Identity)> {
    let mut all: Vec<(String, &Identity)> = Vec::new();
    for (to, identity) in config.registry.identities() {
        let identity: &Identity = identity;
        match all.iter_mut().find(|(_, known)| *known == identity) {
            // a record is read and written back to by the same
            Some((whom, _)) if whom.split(", ").any(|one| one == to) => {}
            Some((whom, _)) => *whom = format!("{whom}, {to}"),
            None => all.push((to, identity)),
        }
    }
    all
}

/// The files with the keys that Onward signs by to be given tokens.
fn signing_keys(config: &Config) -> impl Iterator<Item = &Path> {
    let registry = &config.registry;
    let inboxes = registry.inboxes.values().filter_map(|inbox| match &inbox.kind {
        InboxKind::FhirRest(rest) => Some(&rest.access),
        _ => None,
    });
    let systems = registry.systems.values().flat_map(|system| {
        let both = [system.read.as_ref().map(|to| &to.access), system.write_back.as_ref().map(|to| &to.access)];
        both.into_iter().flatten()
    });
    let of_people = match config.people.oidc.as_ref().map(|oidc| &oidc.proof) {
        Some(Proof::Key(key)) => Some(key.file.as_path()),
        _ => None,
    };
    inboxes.chain(systems).filter_map(|access| Some(access.grant.as_ref()?.key.as_path())).chain(of_people)
}

/// The files with tokens, passwords and public keys of clients: all that were read but the configuration's `own`, the table of postcodes, which is the first behind
/// it, and those of the routes.
fn files_beside<'c>(config: &'c Config, own: Option<&'c Path>) -> impl Iterator<Item = &'c Path> {
    let routes = config.routes.file.as_deref();
    let folder = routes.and_then(Path::parent).unwrap_or(Path::new(""));
    let of_routes = move |file: &Path| {
        let beside = file.strip_prefix(folder).ok().and_then(Path::to_str);
        Some(file) == routes || beside.is_some_and(|name| config.registry.routes.files().contains_key(name))
    };
    let files = config.files.iter().map(PathBuf::as_path).filter(move |file| Some(*file) != own);
    files.skip(usize::from(!config.registry.places.is_empty())).filter(move |file| !of_routes(file))
}

/// The host of a URL, without its port and the brackets of an address.
fn host_of(url: &str) -> Option<String> {
    let uri: hyper::Uri = url.parse().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).to_owned())
}

/// The clients whose public keys lie at a URL.
fn keys_at(config: &Config) -> Vec<(String, String)> {
    let registry = &config.registry;
    let systems = registry.systems.values().map(|one| (format!("the keys of system {}", one.id), &one.keys));
    let providers = registry.providers.values().map(|one| (format!("the keys of provider {}", one.id), &one.keys));
    let stewards = registry.stewards.values().map(|one| (format!("the keys of steward {}", one.id), &one.keys));
    let all = systems.chain(providers).chain(stewards);
    let at = |(whose, keys): (String, &Keys)| match &keys.source {
        Some(KeySource::Url(url)) => Some((whose, url.clone())),
        _ => None,
    };
    all.filter_map(at).collect()
}

/// A route set in a few words.
pub(super) fn said_of(routes: &RouteSet) -> String {
    let triage = routes.triage().map_or("no triage".to_owned(), |inbox| format!("triage to {inbox}"));
    format!("{} routes (version {}), {triage}", routes.routes().len(), routes.version())
}

async fn store(config: &Config) -> Result<String, String> {
    match &config.store.url {
        StoreUrl::Postgres(url) => match PostgresStore::inspect(url.reveal()).await {
            Ok(version) => Ok(format!("{} is {version}", config.store.url)),
            Err(error) => Err(error.to_string()),
        },
        StoreUrl::Sqlite(path) if !path.exists() => Ok(format!("{} is made at the first start", path.display())),
        StoreUrl::Sqlite(path) => match SqliteStore::inspect(path) {
            Ok(()) => Ok(format!("{} is a store of this version", path.display())),
            Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
        },
    }
}

async fn broker(config: &Config) -> Result<String, String> {
    let BrokerUrl::Amqp(url) = &config.broker.url else { return Ok("embedded".to_owned()) };
    let broker: Arc<dyn Broker> =
        Arc::new(RabbitMq::connect(url.reveal(), Default::default()).map_err(|e| e.to_string())?);
    let until = Instant::now() + BROKER_WAIT;
    let mut health = broker.health();
    while !health.connected && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
        health = broker.health();
    }
    broker.close().await;
    if health.connected { Ok(health.detail) } else { Err(health.detail) }
}

fn endpoints(config: &Config) -> Vec<(String, Endpoint)> {
    let mut all = Vec::new();
    for system in config.registry.systems.values() {
        if let Some(back) = &system.write_back {
            let endpoint =
                Endpoint { base_url: back.base_url.clone(), access: back.access.clone(), timeout: back.timeout };
            all.push((format!("write-back of {}", system.id), endpoint));
        }
        let other = |read: &&Endpoint| system.write_back.as_ref().is_none_or(|back| back.base_url != read.base_url);
        if let Some(read) = system.read.as_ref().filter(other) {
            all.push((format!("reading of {}", system.id), read.clone()));
        }
    }
    for inbox in config.registry.inboxes.values() {
        if let InboxKind::FhirRest(rest) = &inbox.kind {
            all.push((format!("inbox {}", inbox.id), crate::delivery::fhir_rest::endpoint(rest)));
        }
    }
    all
}

async fn reach(client: &FhirClient, endpoint: &Endpoint) -> Result<String, String> {
    let answer = client.get(endpoint, "metadata", &[]).await.map_err(|e| format!("{}: {e}", endpoint.base_url))?;
    let is_fhir = answer.body.as_ref().and_then(tree::resource_type) == Some("CapabilityStatement");
    match (answer.status.is_success(), is_fhir) {
        (true, true) => Ok(format!("{} is a FHIR server", endpoint.base_url)),
        (true, false) => Err(format!("{} does not give a CapabilityStatement at /metadata", endpoint.base_url)),
        (false, _) => Err(format!("{}: {}", endpoint.base_url, answer.describe())),
    }
}
