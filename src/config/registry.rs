//! Who takes part: originating systems, providers, inboxes and the routes between them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{Access, Identity, Issuer, Keys, TokenHash, directory::Directory, opening::Opening};
use crate::{
    domain::{
        Destination, InboxId, Letter, ProviderId, Side, StewardId, SystemId, Terms, deadline::Escalation, endpoint,
        retry::RetryPolicy, rule_level::RuleLevels, working_days::WorkingTime,
    },
    places::Places,
    routing::{Known, RouteSet, Setting},
};

/// Everyone who takes part, and the routes. Replaced as a whole when the files change.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// The record systems that send referrals.
    pub systems: BTreeMap<SystemId, System>,
    /// The organisations that receive them.
    pub providers: BTreeMap<ProviderId, Provider>,
    /// Who keeps the directory.
    pub stewards: BTreeMap<StewardId, Steward>,
    /// Where referrals wait for them.
    pub inboxes: BTreeMap<InboxId, Inbox>,
    /// Which referral goes to which inbox.
    pub routes: RouteSet,
    /// Whose access tokens are taken beside Onward's own.
    pub issuer: Option<Issuer>,
    /// Where postcodes lie.
    pub places: Arc<Places>,
    /// What is told of the directory.
    pub directory: Directory,
    /// When people work, and so when the time counts that providers have.
    pub working_time: WorkingTime,
    /// When a message is tried again and given up, where an endpoint says nothing else.
    pub retry: RetryPolicy,
    /// What becomes of a referral of a person of whom another one is open at the same service.
    pub same_person: SamePerson,
}

/// What becomes of a referral of a person of whom another one is open at the same service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SamePerson {
    /// Nothing is looked for.
    Off,
    /// It is accepted, and those are told who may know.
    #[default]
    Warn,
    /// It is refused where its sender may know of the other one, and otherwise accepted as with `Warn`.
    Refuse,
}

/// How an endpoint is to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// When what failed is tried again, and when it is given up.
    pub retry: RetryPolicy,
    /// So many requests at once.
    pub concurrency: u16,
    /// At most so many messages and looks a second.
    pub rate: Option<u32>,
    /// So many messages a second after an outage.
    pub drain_rate: u32,
}

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// An originating system.
    System(SystemId),
    /// A provider.
    Provider(ProviderId),
    /// Who keeps the directory. No referral is anything to them.
    Steward(StewardId),
}

/// A client with what it is known by.
#[derive(Debug, Clone)]
pub struct Registered<'r> {
    /// Which one.
    pub client: Client,
    /// The tokens that it may show.
    pub tokens: &'r [TokenHash],
    /// By which names in a certificate it is known. None: it needs no certificate.
    pub certificate_names: &'r [String],
    /// By which keys it gets access tokens, and what for.
    pub keys: &'r Keys,
}

/// An originating system.
#[derive(Debug, Clone)]
pub struct System {
    /// Its id in routes, queue names and the journal.
    pub id: SystemId,
    /// Its name for people.
    pub name: String,
    /// The ODS code of the organisation that runs it, in capitals.
    pub ods_code: String,
    /// What it is, in the trust's own word, such as `mental-health-epr`. Nothing is decided by it.
    pub kind: String,
    /// The tokens it may show.
    pub tokens: Vec<TokenHash>,
    /// By which names in a certificate it is known. None: it needs no certificate.
    pub certificate_names: Vec<String>,
    /// By which keys it gets access tokens, and what for.
    pub keys: Keys,
    /// Profiles to which each resource of their types that it sends must conform.
    pub profiles: Vec<String>,
    /// How gravely the NHS's rules are taken for what it sends.
    pub rules: RuleLevels,
    /// Where it may have itself told of changes: URLs, and all that lies below them.
    pub hooks: Vec<String>,
    /// Where its records are read. Where write-back is.
    pub read: Option<Endpoint>,
    /// Where statuses go. `None`: its users look into Onward.
    pub write_back: Option<WriteBack>,
}

/// A FHIR server that is read.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Without a slash at the end.
    pub base_url: String,
    /// How Onward shows it who it is.
    pub access: Access,
    /// How long one request may take.
    pub timeout: Duration,
}

/// How statuses go back into the originating record. Kind `fhir-rest`, the only one in this version.
#[derive(Debug, Clone)]
pub struct WriteBack {
    /// Without a slash at the end.
    pub base_url: String,
    /// How Onward shows it who it is.
    pub access: Access,
    /// Whether a ServiceRequest that is still `active` there becomes `completed` with its Task.
    pub close_request: bool,
    /// How much goes back.
    pub detail: Detail,
    /// How long one request may take.
    pub timeout: Duration,
    /// How it is to be treated.
    pub pace: Pace,
}

/// How much of a provider's answer goes back into the record; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing at all.
    None,
    /// Statuses and codes, no words.
    Codes,
    /// And what was said in short.
    Summary,
    /// And every note and output.
    Full,
}

/// An organisation that receives referrals.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// Its name for people.
    pub name: String,
    /// Its ODS code, in capitals.
    pub ods_code: String,
    /// The tokens it may show.
    pub tokens: Vec<TokenHash>,
    /// By which names in a certificate it is known. None: it needs no certificate.
    pub certificate_names: Vec<String>,
    /// By which keys it gets access tokens, and what for.
    pub keys: Keys,
    /// Where it may have itself told of changes: URLs, and all that lies below them.
    pub hooks: Vec<String>,
}

/// Who keeps the directory of services: a person, or a tool of hers.
#[derive(Debug, Clone)]
pub struct Steward {
    /// Its id, by which what was written is signed.
    pub id: StewardId,
    /// The name for people.
    pub name: String,
    /// The tokens that may be shown.
    pub tokens: Vec<TokenHash>,
    /// By which names in a certificate it is known. None: it needs no certificate.
    pub certificate_names: Vec<String>,
    /// By which keys it gets access tokens, and what for.
    pub keys: Keys,
}

/// Where referrals for a provider, or for one of its services, wait.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// Its id in routes and queue names.
    pub id: InboxId,
    /// Whose it is.
    pub provider: ProviderId,
    /// The service it is for, in the trust's own words or as an identifier.
    pub service: Option<String>,
    /// How referrals get out of it.
    pub kind: InboxKind,
    /// How long its provider has to open and to answer a referral.
    pub escalation: Escalation,
    /// When it takes referrals, and how many.
    pub opening: Opening,
    /// Whom mail tells that something waits in it.
    pub notify: Vec<String>,
}

/// How referrals get out of an inbox.
#[derive(Debug, Clone)]
pub enum InboxKind {
    /// Onward sends them to the provider's FHIR server.
    FhirRest(FhirRestInbox),
    /// The provider fetches them from Onward.
    Worklist,
    /// The provider's own consumer reads them from a queue of RabbitMQ.
    Amqp(AmqpInbox),
}

/// A queue that a provider's own consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmqpInbox {
    /// So many messages it holds; more are tried again later. Default 10,000.
    pub max_length: u32,
}

/// The FHIR server of a provider.
#[derive(Debug, Clone)]
pub struct FhirRestInbox {
    /// Without a slash at the end.
    pub base_url: String,
    /// How Onward shows it who it is.
    pub access: Access,
    /// How its answers come.
    pub answers: Answers,
    /// Who gives the delivered resources their ids.
    pub ids: Ids,
    /// How long one request may take.
    pub timeout: Duration,
    /// How it is to be treated.
    pub pace: Pace,
}

/// How a provider's answers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// It writes to Onward's Task.
    Push,
    /// It writes to its own copy, which Onward reads.
    Poll {
        /// How often.
        every: Duration,
    },
}

/// Who gives the delivered resources their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// Onward: `PUT` with our ids, where the server allows it.
    Client,
    /// The server: `POST` with `If-None-Exist`.
    Server,
}

// === impl Registry ===

impl Registry {
    /// Every client, with what it is known by.
    pub fn clients(&self) -> impl Iterator<Item = Registered<'_>> {
        let systems = self.systems.values().map(System::registered);
        let providers = self.providers.values().map(Provider::registered);
        let stewards = self.stewards.values().map(Steward::registered);
        systems.chain(providers).chain(stewards)
    }

    /// The client that the external issuer calls so.
    pub fn issued_as(&self, name: &str) -> Option<Registered<'_>> {
        self.clients().find(|one| one.keys.issued_as.iter().any(|known| known == name))
    }

    /// What an inbox is called for people: its service, else its provider's name, with its id where that is not enough.
    pub fn called(&self, inbox: &Inbox) -> String {
        let provider = self.providers.get(&inbox.provider).map_or("", |provider| provider.name.as_str());
        match &inbox.service {
            Some(service) => service.clone(),
            None if inbox.id.as_str() == inbox.provider.as_str() => provider.to_owned(),
            None => format!("{provider} ({})", inbox.id),
        }
    }

    /// Every certificate that Onward shows to an endpoint, each with what it is shown to.
    pub fn identities(&self) -> impl Iterator<Item = (String, &Arc<Identity>)> {
        let inboxes = self.inboxes.values().filter_map(|inbox| match &inbox.kind {
            InboxKind::FhirRest(rest) => Some((format!("inbox {}", inbox.id), rest.access.identity.as_ref()?)),
            _ => None,
        });
        let systems = self.systems.values().flat_map(|system| {
            let both = [system.read.as_ref().map(|to| &to.access), system.write_back.as_ref().map(|to| &to.access)];
            let shown = both.into_iter().flatten().filter_map(|access| access.identity.as_ref());
            shown.map(|identity| (format!("system {}", system.id), identity))
        });
        inboxes.chain(systems)
    }

    /// The client with this id, as [`Client`] writes it.
    pub fn client(&self, id: &str) -> Option<Registered<'_>> {
        let (kind, id) = id.split_once('/')?;
        match kind {
            "system" => self.systems.get(&id.parse().ok()?).map(System::registered),
            "provider" => self.providers.get(&id.parse().ok()?).map(Provider::registered),
            "steward" => self.stewards.get(&id.parse().ok()?).map(Steward::registered),
            _ => None,
        }
    }

    /// Whom a token of the configuration stands for that is shown over a connection whose certificate has these names; without a token,
    /// whose names the certificate has: nobody's, one client's, or those of several. Only the embedded registry has one token for several. A client that has
    /// names is believed its token only beside one of them, and any other only where tokens `count` by themselves. How long it takes
    /// does not tell whether or where a token is found.
    pub fn client_of(&self, token: Option<&str>, names: &[String], count: bool) -> Vec<Client> {
        let shown = token.map(TokenHash::of);
        let is_it = |one: &Registered<'_>| {
            let beside = one.is_beside(names);
            match &shown {
                // no early end: every hash is compared
                Some(shown) => {
                    let by_token = one.tokens.iter().filter(|token| token.is(shown)).count() > 0;
                    by_token && beside && (count || !one.certificate_names.is_empty())
                }
                None => beside && !one.certificate_names.is_empty(),
            }
        };
        self.clients().filter(is_it).map(|one| one.client).collect()
    }
}

macro_rules! registered {
    ($kind:ident) => {
        impl $kind {
            /// As a client.
            pub fn registered(&self) -> Registered<'_> {
                let Self { id, tokens, certificate_names, keys, .. } = self;
                Registered { client: Client::$kind(id.clone()), tokens, certificate_names, keys }
            }
        }
    };
}

registered!(System);
registered!(Provider);
registered!(Steward);

impl Registered<'_> {
    /// Whether a connection whose certificate has these names is one that this client's may be: it has one of its names, or it needs none.
    pub fn is_beside(&self, names: &[String]) -> bool {
        self.certificate_names.is_empty() || self.certificate_names.iter().any(|name| names.contains(name))
    }

    /// Whether it may be granted this by whatever it is known: a token of the configuration and a certificate allow whatever a client may,
    /// where its scopes are not said.
    pub fn may_be_granted(&self, kind: &str, letter: Letter) -> bool {
        let by_scopes_alone = self.tokens.is_empty() && self.certificate_names.is_empty();
        !(by_scopes_alone || self.keys.bounds_all) || self.keys.scopes.allow(kind, letter)
    }
}

impl fmt::Display for Client {
    /// The client's id where it stands beside those of other kinds: `system/epr`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(id) => write!(f, "system/{id}"),
            Self::Provider(id) => write!(f, "provider/{id}"),
            Self::Steward(id) => write!(f, "steward/{id}"),
        }
    }
}

impl Registry {
    /// A referral to this inbox that has not arrived after so long is told to its record as delayed.
    pub fn delayed_after(&self, inbox: &Inbox) -> SignedDuration {
        match &inbox.kind {
            InboxKind::FhirRest(rest) => rest.pace.retry.delayed_after,
            _ => self.retry.delayed_after,
        }
    }

    /// What a decision at this moment depends on beside the referral.
    pub fn setting(&self, at: Timestamp) -> Setting<'_> {
        Setting { at, working_time: &self.working_time, places: &self.places }
    }

    /// What a route set may name; `files` reads what lies beside it.
    pub fn known<'k>(&'k self, files: &'k dyn Fn(&str) -> Result<String, String>) -> Known<'k> {
        let mut services = BTreeMap::new();
        for inbox in self.inboxes.values() {
            if let Some(service) = &inbox.service {
                services.entry(service.clone()).and_modify(|of| *of = None).or_insert(Some(inbox.id.clone()));
            }
        }
        Known {
            inboxes: self.inboxes.keys().cloned().collect(),
            services: services.into_iter().filter_map(|(words, of)| Some((words, of?))).collect(),
            systems: self.systems.keys().cloned().collect(),
            working_time: &self.working_time,
            places: &self.places,
            files,
        }
    }

    /// Every endpoint that messages go to, and its terms. A worklist has none of its own: listing is a commit.
    pub fn terms(&self) -> HashMap<Destination, Terms> {
        let inboxes = self.inboxes.values().map(|inbox| {
            let terms = match &inbox.kind {
                InboxKind::FhirRest(rest) => rest.pace.terms(&rest.base_url, rest.timeout),
                _ => Terms::unlimited(self.retry),
            };
            (Destination::new(Side::Delivery, inbox.id.as_str()), terms)
        });
        let systems = self.systems.values().filter_map(|system| {
            let to = system.write_back.as_ref()?;
            let terms = to.pace.terms(&to.base_url, to.timeout);
            Some((Destination::new(Side::WriteBack, system.id.as_str()), terms))
        });
        inboxes.chain(systems).collect()
    }
}

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            concurrency: endpoint::CONCURRENCY_DEFAULT,
            rate: None,
            drain_rate: endpoint::DRAIN_RATE_DEFAULT,
        }
    }
}

impl Pace {
    fn terms(&self, base_url: &str, timeout: Duration) -> Terms {
        let Self { retry, concurrency, rate, drain_rate } = *self;
        Terms { base_url: base_url.to_owned(), timeout, retry, concurrency, rate, drain_rate }
    }
}

// === impl Detail ===

impl Detail {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Codes => "codes",
            Self::Summary => "summary",
            Self::Full => "full",
        }
    }
}
