//! The piece of the configuration that adds a system or a provider: written from what somebody fills in, and checked as the configuration
//! itself checks it, before it is pasted anywhere. Pure.

use std::path::Path;

use crate::{
    config::{Config, Env, Registry, TokenHash},
    domain::{InboxId, ProviderId, SystemId},
};

/// No field is longer (characters); what the configuration takes is shorter still.
pub const FIELD_CHARS_MAX: usize = 500;
/// In the place of a secret that lies in a file which is not read here.
const STAND_IN: &str = "ONWARD_PIECE";
const STAND_IN_TOKEN: &str = "a-token-that-stands-for-another-one";

/// What is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adds {
    /// A system that sends referrals.
    System,
    /// A provider that receives them.
    Provider,
}

/// How it and Onward come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// A system is told what becomes of its referrals by its FHIR server.
    WrittenBack,
    /// A system asks here what becomes of them.
    Asks,
    /// Referrals are sent to the provider's FHIR server, and it answers here.
    SentAnswers,
    /// They are sent to its FHIR server, and its copy is read.
    SentRead,
    /// The provider's people work on them on the pages here.
    Pages,
    /// The provider's system fetches and answers them here.
    Fetches,
}

/// What was filled in.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What is added.
    pub adds: Adds,
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The ODS code of its organisation.
    pub ods_code: String,
    /// How it is met.
    pub meets: Meets,
    /// Where its FHIR server is; looked at only where it has one.
    pub base_url: String,
    /// In which file the token lies that Onward shows there; empty where it is shown none.
    pub token_file: String,
}

/// A field in which something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// [`Draft::id`]
    Id,
    /// [`Draft::name`]
    Name,
    /// [`Draft::ods_code`]
    OdsCode,
    /// [`Draft::base_url`]
    BaseUrl,
    /// [`Draft::token_file`]
    TokenFile,
    /// None of them alone.
    All,
}

/// Something that is wrong with it, or worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where.
    pub field: Field,
    /// What.
    pub told: String,
}

// === impl Meets ===

impl Meets {
    /// Whether Onward connects to a FHIR server of its.
    pub fn has_server(self) -> bool {
        matches!(self, Self::WrittenBack | Self::SentAnswers | Self::SentRead)
    }

    /// Whether it comes to Onward by itself, and so needs a token.
    pub fn comes(self) -> bool {
        !matches!(self, Self::SentRead | Self::Pages)
    }
}

// === impl Draft ===

impl Draft {
    /// The piece, with what stands for the token that it comes with where it needs one.
    pub fn written(&self, token: Option<&TokenHash>) -> String {
        self.text(token, &format!("{{ file = {} }}", quoted(&self.token_file)))
    }

    /// What is wrong with it beside these who take part already, and what is worth saying where nothing is.
    ///
    /// # Errors
    /// What is wrong.
    pub fn checked(&self, registry: &Registry) -> Result<Vec<Said>, Vec<Said>> {
        let mut faults = Vec::new();
        let taken = match self.adds {
            Adds::System => self.id.parse::<SystemId>().is_ok_and(|id| registry.systems.contains_key(&id)),
            Adds::Provider => {
                self.id.parse::<ProviderId>().is_ok_and(|id| registry.providers.contains_key(&id))
                    || self.id.parse::<InboxId>().is_ok_and(|id| registry.inboxes.contains_key(&id))
            }
        };
        if taken {
            faults.push(Said {
                field: Field::Id, told: format!("“{}” is there already. Choose another id", self.id)
            });
        }
        if self.token_file.contains('"') || self.token_file.contains(char::is_control) {
            faults.push(Said { field: Field::TokenFile, told: "Write the name of a file".to_owned() });
        }
        // a hash of its own, so that it is nobody else's
        let token = self.meets.comes().then(|| TokenHash::of(STAND_IN));
        let mut text = self.text(token.as_ref(), &format!("{{ env = \"{STAND_IN}\" }}"));
        if self.meets == Meets::Pages {
            text.push_str("[people]\nlocal = true\n");
        }
        let env = Env::from_iter([(STAND_IN, STAND_IN_TOKEN)]);
        match Config::parse(&text, Path::new("onward.toml"), &env) {
            Ok((_, warnings)) if faults.is_empty() => {
                // what else a configuration needs is not this piece's to have
                let own =
                    warnings.iter().filter(|one| one.key.starts_with("system") || one.key.starts_with("provider"));
                Ok(own.map(|one| said(&one.key, &one.message)).collect())
            }
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more.iter().map(|one| said(&one.key, &one.message)));
                Err(faults)
            }
        }
    }

    fn text(&self, token: Option<&TokenHash>, shown: &str) -> String {
        let mut lines = vec![
            match self.adds {
                Adds::System => "[[system]]".to_owned(),
                Adds::Provider => "[[provider]]".to_owned(),
            },
            format!("id = {}", quoted(&self.id)),
            format!("name = {}", quoted(&self.name)),
            format!("ods-code = {}", quoted(&self.ods_code)),
        ];
        if let Some(token) = token {
            lines.push(format!("tokens = [{{ sha256 = \"{}\" }}]", token.hex()));
        }
        let shown = if self.token_file.is_empty() { String::new() } else { format!(", token = {shown}") };
        let server = format!("kind = \"fhir-rest\", base-url = {}{shown}", quoted(&self.base_url));
        match self.meets {
            Meets::WrittenBack => lines.push(format!("write-back = {{ {server} }}")),
            Meets::Asks => {}
            Meets::SentAnswers => lines.push(format!("inbox = {{ {server} }}")),
            Meets::SentRead => lines.push(format!("inbox = {{ {server}, answers = \"poll\" }}")),
            Meets::Pages | Meets::Fetches => lines.push("inbox = { kind = \"worklist\" }".to_owned()),
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A text as TOML has it: JSON escapes no character in another way (TOML 1.0, basic strings), and DEL, which it leaves, stands nowhere.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace('\u{7f}', "")).to_string()
}

/// A fault of the configuration at the field that it is of.
fn said(key: &str, message: &str) -> Said {
    let field = match key.rsplit('.').next().unwrap_or_default() {
        "id" => Field::Id,
        "name" => Field::Name,
        "ods-code" => Field::OdsCode,
        "base-url" => Field::BaseUrl,
        "token" => Field::TokenFile,
        _ => Field::All,
    };
    Said { field, told: in_words(message) }
}

/// What the configuration says of a value, for somebody who has typed it and sees no file: `found "X"; allowed: Y`.
fn in_words(message: &str) -> String {
    let upper = |text: &str| {
        let mut letters = text.chars();
        letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    let Some((found, allowed)) = message.strip_prefix("found ").and_then(|rest| rest.split_once("; allowed: ")) else {
        return upper(message);
    };
    match found.trim_matches('"') {
        "" => format!("Fill this in with {allowed}"),
        found => format!("“{found}” cannot be used here. Use {allowed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(adds: Adds, meets: Meets) -> Draft {
        Draft {
            adds,
            id: "mind-liverpool".into(),
            name: "Mind \"Liverpool\"\\".into(),
            ods_code: "AB123".into(),
            meets,
            base_url: "https://mind.example/fhir".into(),
            token_file: "mind.token".into(),
        }
    }

    /// What the configuration makes of a piece.
    fn read(draft: &Draft) -> Registry {
        let text = draft.written(draft.meets.comes().then(|| TokenHash::of("x")).as_ref());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mind.token"), STAND_IN_TOKEN).unwrap();
        let parsed = Config::parse(&text, &folder.path().join("onward.toml"), &Env::default());
        parsed.unwrap_or_else(|faults| panic!("{text}: {faults:?}")).0.registry
    }

    #[test]
    fn what_is_written_is_what_was_filled_in() {
        for meets in [Meets::WrittenBack, Meets::Asks] {
            let draft = draft(Adds::System, meets);
            assert!(draft.checked(&Registry::default()).is_ok(), "{meets:?}");
            let registry = read(&draft);
            let system = registry.systems.values().next().unwrap();
            assert_eq!((system.name.as_str(), system.tokens.len()), ("Mind \"Liverpool\"\\", 1));
            assert_eq!(system.write_back.is_some(), meets == Meets::WrittenBack);
        }
        for meets in [Meets::SentAnswers, Meets::SentRead, Meets::Pages, Meets::Fetches] {
            let draft = draft(Adds::Provider, meets);
            assert_eq!(draft.checked(&Registry::default()), Ok(vec![]), "{meets:?}");
            let registry = read(&draft);
            assert_eq!(registry.inboxes.len(), 1, "{meets:?}");
            let provider = registry.providers.values().next().unwrap();
            assert_eq!(provider.tokens.len(), usize::from(meets.comes()), "{meets:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_at_its_field_all_at_once() {
        let wrong = Draft {
            id: "Mind Liverpool".into(),
            name: String::new(),
            ods_code: "?".into(),
            base_url: "mind.example".into(),
            token_file: "a\"b".into(),
            ..draft(Adds::Provider, Meets::SentAnswers)
        };
        let faults = wrong.checked(&Registry::default()).unwrap_err();
        for field in [Field::Id, Field::Name, Field::OdsCode, Field::BaseUrl, Field::TokenFile] {
            assert!(faults.iter().any(|fault| fault.field == field), "{field:?}: {faults:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_marks_of_a_file() {
        assert_eq!(in_words("found \"\"; allowed: an ODS code"), "Fill this in with an ODS code");
        assert_eq!(in_words("found \"A b\"; allowed: an id: 1 to 48"), "“A b” cannot be used here. Use an id: 1 to 48");
        assert_eq!(in_words("is there twice"), "Is there twice");
        let empty = Draft { ods_code: String::new(), ..draft(Adds::Provider, Meets::Pages) };
        let faults = empty.checked(&Registry::default()).unwrap_err();
        assert!(faults.iter().all(|fault| !fault.told.contains("Found")), "{faults:?}");
    }

    #[test]
    fn who_is_there_already_is_not_added_again() {
        let there = read(&draft(Adds::Provider, Meets::Pages));
        let faults = draft(Adds::Provider, Meets::SentRead).checked(&there).unwrap_err();
        assert_eq!(faults[0].field, Field::Id, "{faults:?}");
        assert!(draft(Adds::System, Meets::Asks).checked(&there).is_ok(), "a system is no provider");
    }
}
