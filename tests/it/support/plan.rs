//! A configuration made for one test, and the service started from it: in this process or as the built binary.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use onward::{
    config::{Config, Env},
    service::Service,
};

/// The routes that the fixtures are made for.
pub const FIXTURE_ROUTES: &str = include_str!("../../../fixtures/routes.toml");

/// See the module's documentation.
pub struct Plan {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
    head: String,
    lists: String,
    routes: String,
    record: Option<String>,
    timeout: &'static str,
}

/// The token of a client, or of the server of one.
pub fn token(of: &str) -> String {
    format!("token-of-{of}-0123456789")
}

impl Plan {
    /// Nobody takes part yet; SQLite in a folder of its own, the embedded broker, loopback.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let head = format!("[store]\nurl = \"sqlite:{}\"\n", folder.path().join("onward.db").display());
        // nobody balances load here
        let env = [("ONWARD__LIMITS__STOP_PAUSE".to_owned(), "0s".to_owned())].into();
        Self { folder, env, head, lists: String::new(), routes: String::new(), record: None, timeout: "5s" }
    }

    /// The same with the store elsewhere.
    pub fn store_at(mut self, path: &std::path::Path) -> Self {
        let own = self.store_path().display().to_string();
        self.head = self.head.replace(&own, &path.display().to_string());
        self
    }

    /// The same with the store at this URL.
    pub fn store_url(mut self, url: &str) -> Self {
        self.env.insert("ONWARD__STORE__URL".to_owned(), url.to_owned());
        self
    }

    /// The same with a pause before it stops.
    pub fn pause(mut self, pause: &str) -> Self {
        self.env.insert("ONWARD__LIMITS__STOP_PAUSE".to_owned(), pause.to_owned());
        self
    }

    /// The same with a table more, such as `[retry]`.
    pub fn section(mut self, text: &str) -> Self {
        writeln!(self.head, "{text}").unwrap();
        self
    }

    /// The same listening on this port; 0 is a free one.
    pub fn port(self, port: u16) -> Self {
        self.section(&format!("[server]\nlisten = \"127.0.0.1:{port}\""))
    }

    /// The same over RabbitMQ at this URL.
    pub fn broker(self, url: &str, more: &str) -> Self {
        self.section(&format!("[broker]\nurl = \"{url}\"\n{more}"))
    }

    /// The same with an originating system whose record is the FHIR server at `record`. `more` goes into `write-back`.
    pub fn system(mut self, id: &str, ods_code: &str, record: &str, more: &str) -> Self {
        let servers = self.secret(&self.record.clone().unwrap_or_else(|| format!("record-of-{id}")));
        let own = self.secret(id);
        writeln!(
            self.lists,
            "[[system]]\nid = \"{id}\"\nname = \"{id}\"\nods-code = \"{ods_code}\"\ntokens = [{own}]\ntimeout = \"{}\"\n\
             write-back = {{ kind = \"fhir-rest\", base-url = \"{record}\", token = {servers}{more} }}\n",
            self.timeout
        )
        .unwrap();
        self
    }

    /// The same with so long to wait for the records of all systems that follow.
    pub fn timeout(mut self, timeout: &'static str) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with one record, `record-of-NAME`, for all systems that follow.
    pub fn record_token(mut self, name: &str) -> Self {
        self.record = Some(format!("record-of-{name}"));
        self
    }

    /// The same with a provider; `inbox` holds the keys of its inbox beside its token.
    pub fn provider(mut self, id: &str, ods_code: &str, inbox: &str) -> Self {
        let own = self.secret(id);
        let servers = self.secret(&format!("server-of-{id}"));
        let servers = if inbox.contains("fhir-rest") { format!(", token = {servers}") } else { String::new() };
        writeln!(
            self.lists,
            "[[provider]]\nid = \"{id}\"\nname = \"{id}\"\nods-code = \"{ods_code}\"\ntokens = [{own}]\n\
             inbox = {{ {inbox}{servers} }}\n"
        )
        .unwrap();
        self
    }

    /// The same with a provider whose only inbox has a name of its own and is a worklist.
    pub fn worklist(mut self, provider: &str, ods_code: &str, inbox: &str) -> Self {
        let own = self.secret(provider);
        writeln!(
            self.lists,
            "[[provider]]\nid = \"{provider}\"\nname = \"{provider}\"\nods-code = \"{ods_code}\"\ntokens = [{own}]\n\
             [[inbox]]\nid = \"{inbox}\"\nprovider = \"{provider}\"\nkind = \"worklist\"\n"
        )
        .unwrap();
        self
    }

    /// The same with these routes.
    pub fn routes(mut self, text: &str) -> Self {
        text.clone_into(&mut self.routes);
        self
    }

    /// The same with every referral going to this inbox.
    pub fn all_to(self, inbox: &str) -> Self {
        self.routes(&format!("[triage]\nto = \"{inbox}\"\n"))
    }

    fn secret(&mut self, of: &str) -> String {
        let name = format!("TOKEN_{}", of.to_ascii_uppercase().replace('-', "_"));
        self.env.insert(name.clone(), token(of));
        format!("{{ env = \"{name}\" }}")
    }

    /// Where the store lies.
    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join("onward.db")
    }

    /// What the configuration needs in its environment.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Writes it; where it lies.
    pub fn write(&self) -> PathBuf {
        self.put("routes.toml", &self.routes);
        self.put("onward.toml", &format!("{}[routes]\nfile = \"routes.toml\"\n\n{}", self.head, self.lists))
    }

    /// Writes a file whole: another process may be reading it.
    fn put(&self, name: &str, text: &str) -> PathBuf {
        let (new, file) = (self.folder.path().join(format!("{name}.new")), self.folder.path().join(name));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &file).unwrap();
        file
    }

    /// It as the service reads it.
    pub fn config(&self) -> Config {
        let file = self.write();
        let env: Env = self.env.clone().into_iter().collect();
        let (config, _) = Config::load(Some(&file), &env).unwrap_or_else(|faults| {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        config
    }

    /// The service, in this process.
    pub async fn start(&self) -> Service {
        Service::start(self.config()).await.unwrap()
    }
}
