//! What the demonstration is played on: a folder of its own with configuration and tokens, and the FHIR servers of the
//! simulated systems.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    double::{Double, Options},
    referrals::ROUTES,
};

/// An originating system: id, name for people, short name, ODS code, kind, whether its ServiceRequests are closed, detail.
pub struct SystemPart {
    /// Its id.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    ods_code: &'static str,
    kind: &'static str,
    close_request: bool,
    detail: &'static str,
}

/// A provider.
pub struct ProviderPart {
    /// Its id.
    pub id: &'static str,
    /// The inbox it has, where the routes lead.
    pub inbox: &'static str,
    /// Its name for people.
    pub name: &'static str,
    ods_code: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pushed,
    Polled,
    Worklist,
    /// A worklist that no simulated person works.
    ByHand,
}

/// The record systems.
pub const SYSTEMS: &[SystemPart] = &[
    SystemPart {
        id: "merseycare-rio",
        name: "Mersey Care",
        ods_code: "RW4",
        kind: "mental-health-epr",
        close_request: true,
        detail: "full",
    },
    SystemPart {
        id: "brownlow-gp",
        name: "Brownlow Green Practice",
        ods_code: "N82999",
        kind: "gp",
        close_request: false,
        detail: "summary",
    },
    SystemPart {
        id: "ward-epr",
        name: "The ward",
        ods_code: "REM",
        kind: "acute-epr",
        close_request: false,
        detail: "codes",
    },
];

/// The providers.
pub const PROVIDERS: &[ProviderPart] = &[
    ProviderPart { id: "life-rooms", inbox: "life-rooms", name: "The Life Rooms", ods_code: "RW4", kind: Kind::Pushed },
    ProviderPart {
        id: "housing-support",
        inbox: "housing-support",
        name: "Harbour Keys Housing Support",
        ods_code: "ZH999",
        kind: Kind::Polled,
    },
    ProviderPart {
        id: "link-workers",
        inbox: "link-workers",
        name: "The link workers",
        ods_code: "U99999",
        kind: Kind::Worklist,
    },
    ProviderPart { id: "triage-team", inbox: "triage", name: "The triage team", ods_code: "RW4", kind: Kind::Worklist },
    ProviderPart {
        id: BY_HAND,
        inbox: BY_HAND,
        name: "Wavertree Community Hub",
        ods_code: BY_HAND_CODE,
        kind: Kind::ByHand,
    },
];

/// The provider whose referrals nobody works but whoever logs in: its id, which is that of its inbox.
pub const BY_HAND: &str = "wavertree-hub";
/// Its ODS code, by which it is referred to.
pub const BY_HAND_CODE: &str = "ZH777";
/// The route to it, behind those of the fixtures, which name it nowhere.
const BY_HAND_ROUTE: &str = "
# ---- For whoever looks at the demonstration: referrals that wait to be worked by hand ----------------------------------

[[route]]
name = \"wavertree-hub-by-name\"
priority = 10
when = { performer = [\"ZH777\"] }
to = \"wavertree-hub\"
";

/// A folder that only this user can look into. It goes with its contents when this is dropped.
pub struct Folder(PathBuf);

/// See the module's documentation.
pub struct Stage {
    /// The data folder.
    pub folder: Folder,
    /// Where the configuration lies.
    pub config: PathBuf,
    /// The routes.
    pub routes: String,
    tokens: BTreeMap<String, String>,
    servers: BTreeMap<&'static str, Arc<Double>>,
}

// === impl Folder ===

impl Folder {
    fn make() -> io::Result<Self> {
        let name = format!("onward-demo-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        // not recursive: one that is there already is somebody else's
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only this user can read.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// === impl Stage ===

impl Stage {
    /// Starts the servers and writes configuration, routes and tokens. Onward is to listen at this port, 0 for any.
    ///
    /// # Errors
    /// Where a port or a file cannot be had.
    pub async fn set(poll_every: Duration, port: u16) -> io::Result<Self> {
        let folder = Folder::make()?;
        DirBuilder::new().mode(0o700).create(folder.path().join("tokens"))?;
        let mut tokens = BTreeMap::new();
        let mut servers = BTreeMap::new();
        let with_server = PROVIDERS.iter().filter(|p| p.has_server()).map(|p| p.id);
        for id in SYSTEMS.iter().map(|s| s.id).chain(with_server) {
            let token = random_token()?;
            tokens.insert(server_token_name(id), token.clone());
            servers.insert(id, Arc::new(Double::start(Options { token: Some(token), ..Options::default() }).await?));
        }
        for id in SYSTEMS.iter().map(|s| s.id).chain(PROVIDERS.iter().map(|p| p.id)) {
            tokens.insert(id.to_owned(), random_token()?);
        }
        for (name, token) in &tokens {
            folder.write(&format!("tokens/{name}"), token)?;
        }
        let routes = [ROUTES, BY_HAND_ROUTE].concat();
        folder.write("routes.toml", &routes)?;
        let mut stage = Self { config: folder.path().join("onward.toml"), folder, routes, tokens, servers };
        stage.config = stage.folder.write("onward.toml", &stage.config_text(poll_every, port))?;
        Ok(stage)
    }

    /// The server of a system or provider, where it has one.
    pub fn server(&self, id: &str) -> Option<&Arc<Double>> {
        self.servers.get(id)
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Double>> {
        self.servers.values()
    }

    /// The token that a system or provider shows to Onward.
    pub fn token(&self, id: &str) -> String {
        self.tokens.get(id).cloned().unwrap_or_default()
    }

    /// The token that its own server wants.
    pub fn server_token(&self, id: &str) -> String {
        self.token(&server_token_name(id))
    }

    fn config_text(&self, poll_every: Duration, port: u16) -> String {
        let store = format!("sqlite:{}", self.folder.path().join("onward.db").display());
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n\n[store]\nurl = {store:?}\n\n[retry]\nfirst = \"200ms\"\n\n\
             [registry]\nsource = \"store\"\n\n[people]\nlocal = true\n"
        );
        let server = |id: &str| {
            let base_url = self.server(id).map(|s| s.base_url()).unwrap_or_default();
            format!("base-url = \"{base_url}\", token = {{ file = \"tokens/{}\" }}", server_token_name(id))
        };
        for SystemPart { id, name, ods_code, kind, close_request, detail } in SYSTEMS {
            let server = server(id);
            text.push_str(&format!(
                "\n[[system]]\nid = \"{id}\"\nname = \"{name}\"\nods-code = \"{ods_code}\"\nkind = \"{kind}\"\n\
                 tokens = [{{ file = \"tokens/{id}\" }}]\nwrite-back = {{ kind = \"fhir-rest\", {server}, \
                 close-request = {close_request}, detail = \"{detail}\" }}\n"
            ));
        }
        for ProviderPart { id, inbox, name, ods_code, kind } in PROVIDERS {
            text.push_str(&format!(
                "\n[[provider]]\nid = \"{id}\"\nname = \"{name}\"\nods-code = \"{ods_code}\"\n\
                 tokens = [{{ file = \"tokens/{id}\" }}]\n"
            ));
            let poll_ms = poll_every.as_millis();
            let keys = match kind {
                Kind::Pushed => format!("kind = \"fhir-rest\", {}, answers = \"push\"", server(id)),
                Kind::Polled => format!(
                    "kind = \"fhir-rest\", {}, ids = \"server\", answers = \"poll\", poll-every = \"{poll_ms}ms\"",
                    server(id)
                ),
                Kind::Worklist | Kind::ByHand => "kind = \"worklist\"".to_owned(),
            };
            if inbox == id {
                text.push_str(&format!("inbox = {{ {keys} }}\n"));
            } else {
                let lines = keys.replace(", ", "\n");
                text.push_str(&format!("\n[[inbox]]\nid = \"{inbox}\"\nprovider = \"{id}\"\n{lines}\n"));
            }
        }
        text
    }
}

impl ProviderPart {
    /// Whether it has a server that Onward pushes to.
    pub fn has_server(&self) -> bool {
        matches!(self.kind, Kind::Pushed | Kind::Polled)
    }

    /// Whether simulated people work what it gets.
    pub fn is_played(&self) -> bool {
        self.kind != Kind::ByHand
    }

    /// Whether it answers at Onward; otherwise it changes its own copy.
    pub fn answers_at_onward(&self) -> bool {
        self.kind != Kind::Polled
    }
}

fn server_token_name(id: &str) -> String {
    format!("{id}.server")
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A port of this machine that nobody listens at just now.
///
/// # Errors
/// Where there is none.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The name for people of a system or inbox.
pub fn name_of(id: &str) -> &str {
    let system = SYSTEMS.iter().find(|s| s.id == id).map(|s| s.name);
    system.or_else(|| PROVIDERS.iter().find(|p| p.inbox == id).map(|p| p.name)).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    #[tokio::test]
    async fn the_configuration_is_right_and_nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let stage = Stage::set(Duration::from_millis(200), 0).await.unwrap();
        let (config, warnings) = Config::load(Some(&stage.config), &Env::default()).unwrap();
        assert_eq!((config.registry.systems.len(), config.registry.inboxes.len()), (3, 5));
        let (routes, _) = crate::route_sets::read_draft(&stage.routes, &BTreeMap::new(), &config.registry).unwrap();
        assert!(!routes.version().is_empty());
        // nobody is called at night for a demo
        let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert!(matches!(told.as_slice(), [one] if one.contains("told to nobody")), "{told:?}");
        assert!(!config.registry.client_of(Some(&stage.token("ward-epr")), &[], true).is_empty());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(stage.folder.path()), mode(&stage.folder.path().join("tokens/ward-epr"))), (0o700, 0o600));
        let path = stage.folder.path().to_owned();
        drop(stage);
        assert!(!path.exists());
    }
}
