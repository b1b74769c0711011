//! People of the demonstration: an account for each of some roles, with a password and a key that are made for this run and shown once.

use std::{fmt::Write as _, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    config::Config,
    domain::Position,
    people::{People, totp},
    store::Store,
};

/// Name, name for people, role.
const ALL: [(&str, &str, &str); 6] = [
    ("clara", "Clara, who refers", "referrer:merseycare-rio"),
    ("luke", "Luke, link worker", "provider-worker:wavertree-hub"),
    ("petra", "Petra, who looks after the hub", "provider-admin:wavertree-hub"),
    ("olga", "Olga, of the IT team", "operator"),
    ("rita", "Rita, who edits the routes", "route-editor"),
    ("adam", "Adam, auditor", "auditor"),
];

/// Makes them, and how each logs in. What stands before their names keeps those of several runs on one store apart.
pub(super) async fn make(store: Arc<dyn Store>, config: &Config, before: &str) -> Result<String, String> {
    let registry = Arc::new(ArcSwap::from_pointee(config.registry.clone()));
    let people = People::new(store, registry, config.people.clone());
    let mut told = String::from(
        "People log in at /login. Name, password and the key for an authenticator app (or: oathtool --totp -b KEY) are made for this run\n\
         and shown here only:\n",
    );
    for (name, full_name, role) in ALL {
        let position = role.parse::<Position>().map_err(|error| format!("{role}: {error}"))?;
        let name = format!("{before}{name}");
        let ready = people.add_ready(&name, full_name, vec![position]).await.map_err(|error| error.to_string())?;
        let (password, key) = (ready.password.reveal(), totp::shown(&ready.key));
        let _ = writeln!(told, "  {name:<6} {password}  {key}  {role}");
    }
    told.push_str("What Wavertree Community Hub gets nobody works but Luke: some referrals wait there for him.\n");
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Env, domain::ManualClock, store::sqlite::SqliteStore};

    #[test]
    fn each_of_them_is_something() {
        for (name, _, role) in ALL {
            assert!(role.parse::<crate::domain::Position>().is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_shown_of_somebody_lets_her_in() {
        let folder = tempfile::tempdir().unwrap();
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let store = SqliteStore::open(&folder.path().join("onward.db"), Arc::new(ManualClock::at(now))).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let text = "[people]\nlocal = true\n[[system]]\nid = \"merseycare-rio\"\nname = \"RiO\"\nods-code = \"RW4\"\n\
                    [[provider]]\nid = \"wavertree-hub\"\nname = \"Wavertree hub\"\nods-code = \"U99999\"\ninbox = { kind = \"worklist\" }\n";
        let config = Config::parse(text, &folder.path().join("onward.toml"), &Env::default()).unwrap().0;
        let told = make(store.clone(), &config, "run-").await.unwrap();
        let line: Vec<&str> = told.lines().find(|line| line.contains("run-luke")).unwrap().split_whitespace().collect();
        let key = totp_rs::Secret::try_from_base32(line[2]).unwrap().as_bytes().to_vec();
        let people = People::new(store, Arc::new(ArcSwap::from_pointee(config.registry)), config.people);
        let password = zeroize::Zeroizing::new(line[1].to_owned());
        let ended = people.log_in(line[0], password, &totp::code(&key, now), (None, "")).await.unwrap();
        let crate::people::LogIn::In(token, _) = ended else { panic!("{ended:?}") };
        let visitor = people.visitor(&token).await.unwrap().unwrap();
        assert_eq!(visitor.positions, ["provider-worker:wavertree-hub".parse().unwrap()]);
    }
}
