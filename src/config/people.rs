//! Reads `[people]`: how people log in, and for how long.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Registry, Secret,
    secret::Secrets,
    tls::existing,
    url::{base_url, is_open_to_listeners},
};
use crate::{
    domain::{Organisation, PersonRole, Position},
    toml_reader::{Node, Table},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const TEXT_CHARS_MAX: usize = 500;
const SCOPES_MAX: usize = 20;
const LEVELS_MAX: usize = 10;
const RULES_MAX: usize = 1_000;
const FIELDS_MAX: usize = 10;

/// `[people]`: how people log in, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct People {
    /// Whether there are accounts of Onward's own. Default no.
    pub local: bool,
    /// A session that is not used for so long ends. Default 15 minutes.
    pub idle: Duration,
    /// A session ends after so long, however much it is used. Default 12 hours.
    pub longest: Duration,
    /// The glass of a referral that was broken stays open for so long. Default 30 minutes.
    pub glass: Duration,
    /// An account that has ended is forgotten after so long. Default 365 days.
    pub forget_after: Duration,
    /// Who says who somebody is, by OpenID Connect.
    pub oidc: Option<Oidc>,
}

/// `[people.oidc]`: an issuer of OpenID Connect, such as NHS CIS2 or the trust's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// As it calls itself: its discovery document lies below it.
    pub issuer: String,
    /// As what Onward is registered there.
    pub client_id: String,
    /// How Onward shows there who it is.
    pub proof: Proof,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// How surely somebody must have been recognised: one of these values of `acr`. Empty: as the issuer sees fit.
    pub acr_values: Vec<String>,
    /// The claim with her name for people. Default `name`.
    pub name_claim: String,
    /// What makes whom what.
    pub roles: Vec<RoleRule>,
}

/// How Onward shows the issuer who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By a secret that both have.
    Secret(Secret),
    /// By what it signs (`private_key_jwt`).
    Key(ClientKey),
}

/// A key of Onward's own that the issuer knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// A PEM file, read whenever something is signed.
    pub file: PathBuf,
    /// By which the issuer knows it (`kid`).
    pub id: String,
    /// How it signs.
    pub algorithm: Algorithm,
}

/// How something is signed (RFC 7518, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256.
    Rs256,
    /// RSA with SHA-384.
    Rs384,
    /// RSA with SHA-512, as NHS England asks for.
    Rs512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Rs256, Self::Rs384, Self::Rs512, Self::Es256, Self::Es384];

    /// As JWS names it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }
}

/// `[[people.oidc.role]]`: a claim that makes a person something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// The claim, in the ID token or of the userinfo endpoint.
    pub claim: String,
    /// What it must say, or one of the things it says.
    pub says: Says,
    /// What she is then.
    pub position: Position,
}

/// What a claim must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// This text.
    Text(String),
    /// An object with all these fields, such as one of CIS2's `nhsid_nrbac_roles`.
    Fields(Vec<(String, String)>),
}

impl Default for People {
    fn default() -> Self {
        let (idle, longest, glass) = (15 * MINUTE, 12 * HOUR, 30 * MINUTE);
        Self { local: false, idle, longest, glass, forget_after: 365 * DAY, oidc: None }
    }
}

// === impl People ===

impl People {
    /// Whether anybody can log in.
    pub const fn any(&self) -> bool {
        self.local || self.oidc.is_some()
    }

    /// `reached` is where others reach Onward.
    pub(super) fn read(
        mut table: Table<'_>,
        (secrets, folder): (&Secrets<'_>, &Path),
        registry: &Registry,
        reached: &str,
    ) -> Self {
        let default = Self::default();
        let local = table.get("local").and_then(|node| node.bool()).unwrap_or(default.local);
        let idle = table.get("idle").and_then(|node| node.duration(MINUTE, 12 * HOUR)).unwrap_or(default.idle);
        let longest =
            table.get("longest").and_then(|node| node.duration(5 * MINUTE, 24 * HOUR)).unwrap_or(default.longest);
        let glass = table.get("glass").and_then(|node| node.duration(MINUTE, 12 * HOUR)).unwrap_or(default.glass);
        let forget_after =
            table.get("forget-after").and_then(|node| node.duration(DAY, 3650 * DAY)).unwrap_or(default.forget_after);
        let oidc = table.get("oidc").and_then(|node| Oidc::read(node.table("a table")?, (secrets, folder), registry));
        let people = Self { local, idle, longest, glass, forget_after, oidc };
        if people.idle > people.longest {
            table.fault("idle", "found a longer time than longest; allowed: at most that");
        }
        if people.any() && is_open_to_listeners(reached) {
            let told = "people log in over http:// to another machine; needed: tls in [server], or [server] base-url with the \
                        https:// of what stands before Onward: their cookie would travel unencrypted";
            table.fault("", told);
        }
        table.finish();
        people
    }
}

// === impl Oidc ===

impl Oidc {
    fn read(mut table: Table<'_>, from: (&Secrets<'_>, &Path), registry: &Registry) -> Option<Self> {
        let node = table.need("issuer", "\"https://HOST/PATH\", as the issuer calls itself");
        let issuer = node.as_ref().and_then(|node| {
            let issuer = base_url(node)?;
            if is_open_to_listeners(&issuer) {
                node.fault("http:// to another machine", "https://");
                return None;
            }
            // as it stands: an issuer that ends in a slash is another one
            node.text("a text").map(str::to_owned)
        });
        let client_id =
            table.need("client-id", "as what Onward is registered there").and_then(|node| node.line(TEXT_CHARS_MAX));
        let proof = Proof::read(&mut table, from);
        let scopes = words(&mut table, "scopes", SCOPES_MAX);
        let acr_values = words(&mut table, "acr-values", LEVELS_MAX);
        let name_claim = table.get("name-claim").and_then(|node| node.line(TEXT_CHARS_MAX));
        let rules = table.tables("role");
        if rules.len() > RULES_MAX {
            table.fault("role", format!("found {} roles; allowed: at most {RULES_MAX}", rules.len()));
        }
        if rules.is_empty() {
            table.warn("role", "none: nobody who logs in may do anything");
        }
        let roles = rules.into_iter().take(RULES_MAX).filter_map(|rule| RoleRule::read(rule, registry)).collect();
        table.finish();
        Some(Self {
            issuer: issuer?,
            client_id: client_id?,
            proof: proof?,
            scopes,
            acr_values,
            name_claim: name_claim.unwrap_or_else(|| "name".to_owned()),
            roles,
        })
    }
}

// === impl Proof ===

impl Proof {
    fn read(table: &mut Table<'_>, (secrets, folder): (&Secrets<'_>, &Path)) -> Option<Self> {
        let (secret, key) = (table.get("client-secret"), table.get("client-key"));
        match (secret, key) {
            (Some(secret), None) => secrets.password(&secret).map(Self::Secret),
            (None, Some(key)) => ClientKey::read(&key, folder).map(Self::Key),
            _ => {
                let told = "needed: either client-secret, { env = \"NAME\" } or { file = \"PATH\" }, or client-key, \
                            { file = \"PATH\", id = \"KID\", algorithm = \"RS512\" }";
                table.fault("client-secret", told);
                None
            }
        }
    }
}

impl ClientKey {
    fn read(node: &Node<'_>, folder: &Path) -> Option<Self> {
        const FILE: &str = "the path of a PEM file with a key";
        let mut table = node.table("a table with file, id and algorithm")?;
        let file = table.need("file", FILE).and_then(|node| existing(&node, folder, FILE));
        let id =
            table.need("id", "the id by which the issuer knows the key").and_then(|node| node.line(TEXT_CHARS_MAX));
        let words = Algorithm::ALL.map(|algorithm| (algorithm.code(), algorithm));
        let algorithm = table.need("algorithm", "how it signs").and_then(|node| node.choice(&words));
        table.finish();
        Some(Self { file: file?, id: id?, algorithm: algorithm? })
    }
}

// === impl RoleRule ===

impl RoleRule {
    fn read(mut table: Table<'_>, registry: &Registry) -> Option<Self> {
        let claim = table.need("claim", "the name of a claim").and_then(|node| node.line(TEXT_CHARS_MAX));
        let (value, fields) = (table.get("value"), table.get("fields"));
        let says = match (value, fields) {
            (Some(value), None) => value.line(TEXT_CHARS_MAX).map(Says::Text),
            (None, Some(fields)) => self::fields(&fields).map(Says::Fields),
            _ => {
                table.fault("value", "needed: either value, or fields for a claim that is an object or a list of them");
                None
            }
        };
        let role = table.need("role", "a role").and_then(|node| {
            let words: Vec<(&str, PersonRole)> = PersonRole::ALL.iter().map(|role| (role.code(), *role)).collect();
            node.choice(&words)
        });
        let organisation = table.get("organisation");
        let named = organisation.as_ref().map(|node| node.text("the id of a system or provider"));
        let position = role.and_then(|role| {
            // a fault of the text is told by its node
            let named = match named {
                Some(text) => Some(text?),
                None => None,
            };
            let position = Position::of(role, named).ok();
            if position.is_none() {
                let told = "needed for referrer: the id of a system; for provider-worker and provider-admin: of a provider; \
                            for the others: none";
                table.fault("organisation", told);
            }
            position
        });
        if let (Some(node), Some(position)) = (&organisation, &position)
            && !is_known(registry, position)
        {
            node.fault("an organisation that is not there", "the id of a [[system]] or a [[provider]]");
        }
        table.finish();
        Some(Self { claim: claim?, says: says?, position: position? })
    }
}

/// Whether a position is held in an organisation that there is.
pub fn is_known(registry: &Registry, position: &Position) -> bool {
    match position.organisation() {
        Some(Organisation::System(id)) => registry.systems.contains_key(&id),
        Some(Organisation::Provider(id)) => registry.providers.contains_key(&id),
        None => true,
    }
}

/// `["org_code=RW4", …]`.
fn fields(node: &Node<'_>) -> Option<Vec<(String, String)>> {
    const ALLOWED: &str = "a list of \"FIELD=TEXT\"";
    let items = node.items(ALLOWED);
    if !(1..=FIELDS_MAX).contains(&items.len()) {
        node.fault(&format!("{} fields", items.len()), format!("1 to {FIELDS_MAX}"));
        return None;
    }
    let one = |item: &Node<'_>| {
        let text = item.line(TEXT_CHARS_MAX)?;
        let split = text.split_once('=').map(|(field, text)| (field.to_owned(), text.to_owned()));
        if split.is_none() {
            item.fault("something else", ALLOWED);
        }
        split
    };
    items.iter().map(one).collect()
}

fn words(table: &mut Table<'_>, key: &'static str, most: usize) -> Vec<String> {
    let nodes = table.get(key).map(|node| node.items("a list of words")).unwrap_or_default();
    if nodes.len() > most {
        table.fault(key, format!("found {}; allowed: at most {most}", nodes.len()));
    }
    let word = |node: &Node<'_>| {
        let word = node.line(TEXT_CHARS_MAX)?;
        if word.contains(char::is_whitespace) {
            node.fault("several words", "one word each");
            return None;
        }
        Some(word)
    };
    nodes.iter().take(most).filter_map(word).collect()
}
