//! Reads `[[system]]`, `[[provider]]`, `[[steward]]` and `[[inbox]]`, and checks what one says of another.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt::Display,
    str::FromStr,
};

use super::{
    BrokerUrl, Keys, Registry, TokenHash, endpoint, escalation, opening,
    registry::{Answers, Endpoint, Inbox, InboxKind, Provider, Steward, System},
    secret::Secrets,
    smtp, tls,
    url::base_url,
};
use crate::{
    domain::{
        InboxId, ProviderId, StewardId, SystemId,
        deadline::Escalation,
        parent::RESERVED,
        retry::RetryPolicy,
        rule_level::{RuleLevel, RuleLevels},
    },
    routing::is_ods_code,
    toml_reader::{Node, Table, quoted},
};

const ID: &str = "an id: 1 to 48 of a-z, 0-9 and -";
const ODS: &str = "an ODS code: 3 to 10 letters and digits";
const NAME_CHARS_MAX: usize = 200;
const PROFILES_MAX: usize = 32;
const HOOKS_MAX: usize = 32;
const PROFILE_MAX_BYTES: usize = 500;
const NO_TOKEN: &str = "no tokens: this provider can neither fetch what waits here nor answer it";

/// What may be granted where nothing is said: what suits each kind of client.
const SYSTEM_SCOPES: &str = "system/*.cruds";
const PROVIDER_SCOPES: &str = "system/*.rs system/Task.u system/Communication.c system/Subscription.cud system/HealthcareService.cu \
                               system/Location.cu system/Organization.cu system/Endpoint.cu";
const STEWARD_SCOPES: &str =
    "system/HealthcareService.crus system/Location.crus system/Organization.crus system/Endpoint.crus";

/// Every id that the file gives, also to what is wrong otherwise: naming it elsewhere is not a second fault.
#[derive(Default)]
pub(super) struct Ids {
    pub(super) systems: BTreeSet<SystemId>,
    pub(super) providers: BTreeSet<ProviderId>,
    pub(super) inboxes: BTreeSet<InboxId>,
    stewards: BTreeSet<StewardId>,
    /// What inboxes are for, in the words of the file; none where two are for the same.
    services: BTreeMap<String, Option<InboxId>>,
}

impl Ids {
    /// The services that exactly one inbox is for.
    pub(super) fn services(&self) -> BTreeMap<String, InboxId> {
        self.services.iter().filter_map(|(words, inbox)| Some((words.clone(), inbox.clone()?))).collect()
    }
}

/// What has been read so far, to find what is there twice.
struct Reading<'s, 'e> {
    secrets: &'s Secrets<'e>,
    broker: &'s BrokerUrl,
    /// Whether people log in.
    pages: bool,
    /// What holds for an inbox that says nothing else.
    escalation: Escalation,
    registry: Registry,
    ids: Ids,
    /// Whose every token is.
    owners: BTreeMap<TokenHash, String>,
    /// Whose every name in a certificate is.
    names: BTreeMap<String, String>,
    /// Every name at an issuer.
    issued_as: BTreeSet<String>,
}

/// Reads all four lists. The routes are left empty; `retry` and `escalation` hold for every endpoint that says nothing else; `pages` says
/// whether people log in, who can then work what waits in a worklist.
pub(super) fn read(
    root: &mut Table<'_>,
    secrets: &Secrets<'_>,
    broker: &BrokerUrl,
    retry: RetryPolicy,
    escalation: Escalation,
    pages: bool,
) -> (Registry, Ids) {
    let registry = Registry { retry, ..Registry::default() };
    let mut reading = Reading {
        secrets,
        broker,
        pages,
        escalation,
        registry,
        ids: Ids::default(),
        owners: BTreeMap::new(),
        names: BTreeMap::new(),
        issued_as: BTreeSet::new(),
    };
    let systems = root.tables("system");
    let providers = root.tables("provider");
    let inboxes = root.tables("inbox");
    let stewards = root.tables("steward");
    systems.into_iter().for_each(|table| reading.system(table));
    providers.into_iter().for_each(|table| reading.provider(table));
    inboxes.into_iter().for_each(|table| reading.inbox(table));
    stewards.into_iter().for_each(|table| reading.steward(table));
    (reading.registry, reading.ids)
}

// === impl Reading ===

impl Reading<'_, '_> {
    fn system(&mut self, mut table: Table<'_>) {
        let id = new_id(&mut table, &mut self.ids.systems);
        let (name, ods_code) = named(&mut table);
        let kind = table.get("kind").and_then(|node| node.line(NAME_CHARS_MAX)).unwrap_or_else(|| "other".to_owned());
        let tokens = self.tokens(&mut table, id.as_ref().map(|id| format!("system {id}")));
        let certificate_names = self.names(&mut table, id.as_ref().map(|id| format!("system {id}")));
        let keys = self.keys(&mut table, SYSTEM_SCOPES);
        let (profiles, rules) = (profiles(&mut table), rules(&mut table));
        let hooks = hooks(&mut table);
        let timeout = endpoint::timeout(&mut table);
        let retry = self.registry.retry;
        let write_back = table.get("write-back").map(|node| endpoint::write_back(&node, self.secrets, timeout, retry));
        let read = table.get("read").and_then(|node| endpoint::read(&node, self.secrets, timeout));
        if write_back.is_none() {
            table.warn("write-back", "none: statuses do not get into the record, its users must look for them here");
        }
        if tokens.is_empty() && certificate_names.is_empty() && !keys.are_any() {
            table.warn("tokens", "none: this system cannot send anything");
        }
        table.finish();
        let write_back = write_back.flatten();
        let as_write_back = |to: &super::registry::WriteBack| Endpoint {
            base_url: to.base_url.clone(),
            access: to.access.clone(),
            timeout,
        };
        let read = read.or_else(|| write_back.as_ref().map(as_write_back));
        if let (Some(id), Some(name), Some(ods_code)) = (id, name, ods_code) {
            self.registry.systems.insert(
                id.clone(),
                System {
                    id,
                    name,
                    ods_code,
                    kind,
                    tokens,
                    certificate_names,
                    keys,
                    profiles,
                    rules,
                    hooks,
                    read,
                    write_back,
                },
            );
        }
    }

    fn provider(&mut self, mut table: Table<'_>) {
        let id = new_id(&mut table, &mut self.ids.providers);
        let (name, ods_code) = named(&mut table);
        let tokens = self.tokens(&mut table, id.as_ref().map(|id| format!("provider {id}")));
        let certificate_names = self.names(&mut table, id.as_ref().map(|id| format!("provider {id}")));
        let keys = self.keys(&mut table, PROVIDER_SCOPES);
        let hooks = hooks(&mut table);
        let inbox = table.get("inbox");
        let inbox_id = inbox.as_ref().and(id.as_ref()).and_then(|id| id.as_str().parse::<InboxId>().ok());
        self.ids.inboxes.extend(inbox_id.clone());
        let retry = self.registry.retry;
        let kind = inbox.and_then(|node| {
            let mut inbox = node.table("a table with kind")?;
            let kind = endpoint::inbox_kind(&mut inbox, self.secrets, self.broker, retry);
            let escalation = escalation::of_inbox(&mut inbox, self.escalation);
            let opening = opening::of_inbox(&mut inbox);
            let notify = smtp::notify(&mut inbox, matches!(kind, Some(InboxKind::Worklist) | None));
            inbox.finish();
            Some((kind?, escalation, opening, notify))
        });
        if tokens.is_empty()
            && certificate_names.is_empty()
            && !keys.are_any()
            && kind.as_ref().is_some_and(|(kind, ..)| needs_token(kind, self.pages))
        {
            table.warn("tokens", NO_TOKEN);
        }
        table.finish();
        let (Some(id), Some(name), Some(ods_code)) = (id, name, ods_code) else { return };
        if let (Some((kind, escalation, opening, notify)), Some(inbox_id)) = (kind, inbox_id) {
            let provider = id.clone();
            let inbox = Inbox { id: inbox_id.clone(), provider, service: None, kind, escalation, opening, notify };
            self.registry.inboxes.insert(inbox_id, inbox);
        }
        self.registry
            .providers
            .insert(id.clone(), Provider { id, name, ods_code, tokens, certificate_names, keys, hooks });
    }

    fn inbox(&mut self, mut table: Table<'_>) {
        let id = new_id(&mut table, &mut self.ids.inboxes);
        let provider = table.need("provider", "the id of a provider").and_then(|node| {
            let ids: Vec<String> = self.ids.providers.iter().map(ToString::to_string).collect();
            let allowed = format!("the id of a provider: {}", ids.join(", "));
            let id = node.parse::<ProviderId>(&allowed)?;
            let known = self.ids.providers.contains(&id);
            if !known {
                node.fault(&format!("\"{id}\", which is no provider"), allowed);
            }
            known.then_some(id)
        });
        let service = table.get("service").and_then(|node| node.line(NAME_CHARS_MAX));
        if let (Some(service), Some(id)) = (&service, &id) {
            let of = self.ids.services.entry(service.clone());
            of.and_modify(|inbox| *inbox = None).or_insert(Some(id.clone()));
        }
        let kind = endpoint::inbox_kind(&mut table, self.secrets, self.broker, self.registry.retry);
        let escalation = escalation::of_inbox(&mut table, self.escalation);
        let opening = opening::of_inbox(&mut table);
        let notify = smtp::notify(&mut table, matches!(kind, Some(InboxKind::Worklist) | None));
        let owner = provider.as_ref().and_then(|id| self.registry.providers.get(id));
        if owner
            .is_some_and(|owner| owner.tokens.is_empty() && owner.certificate_names.is_empty() && !owner.keys.are_any())
            && kind.as_ref().is_some_and(|kind| needs_token(kind, self.pages))
        {
            table.warn("provider", NO_TOKEN);
        }
        table.finish();
        if let (Some(id), Some(provider), Some(kind)) = (id, provider, kind) {
            let inbox = Inbox { id: id.clone(), provider, service, kind, escalation, opening, notify };
            self.registry.inboxes.insert(id, inbox);
        }
    }

    fn steward(&mut self, mut table: Table<'_>) {
        let id = new_id(&mut table, &mut self.ids.stewards);
        let name = named_for_people(&mut table);
        let tokens = self.tokens(&mut table, id.as_ref().map(|id| format!("steward {id}")));
        let certificate_names = self.names(&mut table, id.as_ref().map(|id| format!("steward {id}")));
        let keys = self.keys(&mut table, STEWARD_SCOPES);
        if tokens.is_empty() && certificate_names.is_empty() && !keys.are_any() {
            table.warn(
                "tokens",
                "none: this steward can neither write the directory nor decide what is proposed for it",
            );
        }
        table.finish();
        if let (Some(id), Some(name)) = (id, name) {
            self.registry.stewards.insert(id.clone(), Steward { id, name, tokens, certificate_names, keys });
        }
    }

    /// `jwks`, `jwks-url`, `scopes` and `client-id`. One name at an issuer belongs to one client.
    fn keys(&mut self, table: &mut Table<'_>, default: &str) -> Keys {
        let keys = Keys::read(table, self.secrets.folder(), self.secrets.read_files(), default);
        for name in &keys.issued_as {
            if !self.issued_as.insert(name.clone()) {
                table.fault(
                    "client-id",
                    format!("found {}, which is another client's; allowed: each once", quoted(name)),
                );
            }
        }
        keys
    }

    /// `certificate-names`. One name belongs to one client.
    fn names(&mut self, table: &mut Table<'_>, owner: Option<String>) -> Vec<String> {
        let owner = owner.unwrap_or_else(|| "another client".to_owned());
        let names = tls::names(table);
        for name in &names {
            match self.names.entry(name.clone()) {
                Entry::Vacant(free) => drop(free.insert(owner.clone())),
                Entry::Occupied(taken) => {
                    let told = format!("found \"{name}\", which is a name of {}; allowed: each name once", taken.get());
                    table.fault("certificate-names", told);
                }
            }
        }
        names
    }

    /// The hashes of `tokens`. One token belongs to one client.
    fn tokens(&mut self, table: &mut Table<'_>, owner: Option<String>) -> Vec<TokenHash> {
        let owner = owner.unwrap_or_else(|| "another client".to_owned());
        let nodes = table.get("tokens").map(|node| node.items("a list of secrets")).unwrap_or_default();
        let mut hashes = Vec::with_capacity(nodes.len());
        for node in nodes {
            let Some(hash) = self.secrets.token_hash(&node) else { continue };
            match self.owners.get(&hash) {
                Some(other) => node.fault(&format!("a token that {other} has already"), "a token of its own"),
                None => {
                    self.owners.insert(hash.clone(), owner.clone());
                    hashes.push(hash);
                }
            }
        }
        hashes
    }
}

/// Whether a system of the provider must come to Onward to see a referral or to answer it.
fn needs_token(kind: &InboxKind, pages: bool) -> bool {
    match kind {
        InboxKind::Worklist => !pages,
        InboxKind::Amqp(_) => true,
        InboxKind::FhirRest(server) => server.answers == Answers::Push,
    }
}

/// `id`, which none of `given` has; kept among them.
fn new_id<T: FromStr + Ord + Clone + Display>(table: &mut Table<'_>, given: &mut BTreeSet<T>) -> Option<T> {
    let node = table.need("id", ID)?;
    let id = node.parse::<T>(ID)?;
    if id.to_string() == RESERVED {
        node.fault(&format!("\"{id}\", which stands for all targets of a referral"), "another id");
        return None;
    }
    if !given.insert(id.clone()) {
        node.fault(&format!("\"{id}\" a second time"), "an id once");
        return None;
    }
    Some(id)
}

/// `profiles`; whether they are known is seen when the folders that may hold them are read.
fn profiles(table: &mut Table<'_>) -> Vec<String> {
    const ALLOWED: &str = "a list of canonical URLs of profiles";
    let nodes = table.get("profiles").map(|node| node.items(ALLOWED)).unwrap_or_default();
    let url = |node: &Node<'_>| {
        let text = node.text("the canonical URL of a profile")?;
        let fits = text.len() <= PROFILE_MAX_BYTES && text.contains(':') && !text.contains(char::is_whitespace);
        if !fits {
            node.fault(
                &quoted(text),
                "the canonical URL of a profile, such as \"https://…/StructureDefinition/referral\"",
            );
        }
        fits.then(|| text.to_owned())
    };
    if nodes.len() > PROFILES_MAX {
        table.fault("profiles", format!("found {} profiles; allowed: at most {PROFILES_MAX}", nodes.len()));
    }
    nodes.iter().take(PROFILES_MAX).filter_map(url).collect()
}

/// `hooks`: where a client may have itself told of changes.
fn hooks(table: &mut Table<'_>) -> Vec<String> {
    let nodes = table.get("hooks").map(|node| node.items("a list of URLs")).unwrap_or_default();
    if nodes.len() > HOOKS_MAX {
        table.fault("hooks", format!("found {} URLs; allowed: at most {HOOKS_MAX}", nodes.len()));
    }
    nodes.iter().take(HOOKS_MAX).filter_map(base_url).collect()
}

/// `rules`
fn rules(table: &mut Table<'_>) -> RuleLevels {
    let mut levels = RuleLevels::default();
    let node = table.get("rules");
    let Some(mut table) = node.and_then(|node| node.table("a table of rules and their levels")) else { return levels };
    let words = RuleLevel::ALL.map(|level| (level.name(), level));
    for (name, level) in levels.by_name() {
        *level = table.get(name).and_then(|node| node.choice(&words)).unwrap_or(*level);
    }
    table.finish();
    levels
}

/// `name`
fn named_for_people(table: &mut Table<'_>) -> Option<String> {
    table.need("name", "a name for people").and_then(|node| node.line(NAME_CHARS_MAX))
}

/// `name` and `ods-code`.
fn named(table: &mut Table<'_>) -> (Option<String>, Option<String>) {
    let name = named_for_people(table);
    let ods_code = |node: Node<'_>| {
        let text = node.text(ODS)?;
        if !is_ods_code(text) {
            node.fault(&quoted(text), ODS);
        }
        is_ods_code(text).then(|| text.to_ascii_uppercase())
    };
    (name, table.need("ods-code", ODS).and_then(ods_code))
}
