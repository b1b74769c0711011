//! A search as it is asked: parameters, their modifiers, prefixes and chains (R4 search, 3.1.1.4 and 3.1.1.5), and what the answer
//! shall be like (3.1.1.6).

use super::{
    COUNT_DEFAULT, COUNT_MAX, Condition, How, Include, Reference, Search, Shape, Sort, Test, Token, Wanted,
    compare::{plain, words_of},
    date::{Prefix, Span},
    near,
    parameter::{CONTROLS, parameter, parameters},
};
use crate::{
    definitions::{SearchKind, SearchParameter, resource_named},
    fhir::{
        Issue, IssueCode,
        reference::{Target, is_id, is_resource_type, parse},
    },
    fhirpath,
};

/// The most parameters of one search.
const PARAMETERS_MAX: usize = 64;
/// The most values of one parameter.
const VALUES_MAX: usize = 100;
/// None is longer, all of its values together.
const VALUE_MAX_BYTES: usize = 8_192;
/// The most bytes of all parameters.
const SEARCH_MAX_BYTES: usize = 65_536;
/// The most keys of `_sort`.
const SORT_MAX: usize = 4;

pub(super) fn read(of: &str, pairs: &[(String, String)], base: &str, lenient: bool) -> Result<Search, Vec<Issue>> {
    let mut search = Search {
        of: of.to_owned(),
        conditions: Vec::new(),
        includes: Vec::new(),
        revincludes: Vec::new(),
        sort: Vec::new(),
        count: COUNT_DEFAULT,
        near: None,
        after: None,
        total: false,
        shape: Shape::Whole,
        ignored: Vec::new(),
        used: Vec::new(),
    };
    if pairs.len() > PARAMETERS_MAX {
        let told = format!("a search has at most {PARAMETERS_MAX} parameters");
        return Err(vec![Issue::error(IssueCode::TooCostly, "http", told)]);
    }
    let long = pairs.iter().any(|(_, value)| value.len() > VALUE_MAX_BYTES);
    if long || pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > SEARCH_MAX_BYTES {
        let told = format!("a parameter has at most {VALUE_MAX_BYTES} bytes, all together at most {SEARCH_MAX_BYTES}");
        return Err(vec![Issue::error(IssueCode::TooLong, "http", told)]);
    }
    let mut wrong = Vec::new();
    for (name, value) in pairs {
        match search.take(name, value, base) {
            Ok(()) => search.used.push((name.clone(), value.clone())),
            Err(Refused::Unknown(issue)) if lenient => {
                search.ignored.push(Issue { severity: crate::fhir::Severity::Warning, ..issue });
            }
            Err(Refused::Unknown(issue) | Refused::Wrong(issue)) => wrong.push(issue),
        }
    }
    if wrong.is_empty() { Ok(search) } else { Err(wrong) }
}

/// Why a parameter is not taken.
pub(super) enum Refused {
    /// It is not known here: who is lenient goes on without it.
    Unknown(Issue),
    /// It is known, and cannot be read: going on would answer another question.
    Wrong(Issue),
}

pub(super) type Taken<T> = Result<T, Refused>;

/// The name of a parameter as an outcome may repeat it.
fn shown(name: &str) -> String {
    let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(60).collect();
    format!("http.{name}")
}

pub(super) fn unknown(name: &str, told: impl Into<String>) -> Refused {
    Refused::Unknown(Issue::error(IssueCode::NotSupported, shown(name), told))
}

pub(super) fn wrong(name: &str, told: impl Into<String>) -> Refused {
    Refused::Wrong(Issue::error(IssueCode::Value, shown(name), told))
}

impl Search {
    fn take(&mut self, name: &str, value: &str, base: &str) -> Taken<()> {
        match name {
            "_count" => {
                let count: usize = value.parse().map_err(|_| wrong(name, "use a whole number"))?;
                self.count = count.min(COUNT_MAX);
                // none at all means that only their number is wanted (R4 search, 3.1.1.6.3)
                self.total |= count == 0;
            }
            "_after" => self.after = Some(value.to_owned()),
            "_format" | "_pretty" => {}
            "_sort" => self.sort = sort(&self.of, name, value)?,
            "_include" | "_include:iterate" | "_include:recurse" => {
                let include = include(&self.of, name, value)?;
                if !include.iterate && include.from != self.of {
                    return Err(wrong(name, format!("what {} leads to is included: begin with its name", self.of)));
                }
                self.includes.push(include);
            }
            "_revinclude" | "_revinclude:iterate" | "_revinclude:recurse" => {
                self.revincludes.push(include(&self.of, name, value)?);
            }
            "_total" => match value {
                "accurate" => self.total = true,
                "none" | "estimate" => {}
                _ => return Err(wrong(name, "use accurate, estimate or none")),
            },
            "_summary" => {
                let told = "use true, text, data, count or false";
                self.shape = Shape::of_summary(value).ok_or_else(|| wrong(name, told))?;
                if self.shape == Shape::Count {
                    (self.count, self.total) = (0, true);
                }
            }
            "_elements" => self.shape = Shape::of_elements(value),
            _ => match near::read(&self.of, name, value) {
                Some(_) if self.near.is_some() => return Err(near::twice(name)),
                Some(near) => self.near = Some(near?),
                None => self.conditions.push(condition(&self.of, name, value, base, 1)?),
            },
        }
        Ok(())
    }
}

fn known(of: &str) -> String {
    let controls = CONTROLS.iter().map(|control| control.name).filter(|name| !name.contains(':'));
    let near = near::NEAR.iter().filter(|near| near.of == of).map(|near| near.name);
    parameters(of).map(|parameter| parameter.name).chain(near).chain(controls).collect::<Vec<_>>().join(", ")
}

fn condition(of: &str, name: &str, value: &str, base: &str, depth: usize) -> Taken<Condition> {
    let (head, chain) = match name.split_once('.') {
        Some((head, chain)) => (head, Some(chain)),
        None => (name, None),
    };
    let (code, modifier) = match head.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier)),
        None => (head, None),
    };
    let parameter = parameter(of, code)
        .ok_or_else(|| unknown(name, format!("{of} cannot be searched by this parameter; use {}", known(of))))?;
    let expression = expression(parameter, name)?;
    let test = match (chain, modifier) {
        (Some(chain), modifier) => leads(parameter, name, chain, modifier, value, base, depth)?,
        (None, Some("missing")) => match value {
            "true" => Test::Missing(true),
            "false" => Test::Missing(false),
            _ => return Err(wrong(name, "use true or false")),
        },
        (None, modifier) => {
            let not = modifier == Some("not");
            let modifier = modifier.filter(|_| !not);
            if not && parameter.kind != SearchKind::Token {
                return Err(unknown(name, "only tokens can be searched by :not"));
            }
            let mut values = Vec::new();
            for one in split(value, ',').filter(|one| !one.trim().is_empty()) {
                values.push(wanted(parameter, name, modifier, one.trim(), base)?);
            }
            match values.len() {
                0 => return Err(wrong(name, "give a value")),
                n if n > VALUES_MAX => return Err(wrong(name, format!("give at most {VALUES_MAX} values"))),
                _ => Test::Any { values, not },
            }
        }
    };
    Ok(Condition { name: name.to_owned(), parameter, expression, test })
}

fn expression(parameter: &SearchParameter, name: &str) -> Taken<fhirpath::Expression> {
    // R4's own can all be read, which a test holds
    fhirpath::parse(parameter.expression).map_err(|_| unknown(name, "this parameter cannot be looked at here"))
}

/// A chain: `patient.identifier`, `subject:Patient.identifier`.
fn leads(
    parameter: &'static SearchParameter,
    name: &str,
    chain: &str,
    modifier: Option<&str>,
    value: &str,
    base: &str,
    depth: usize,
) -> Taken<Test> {
    if parameter.kind != SearchKind::Reference {
        return Err(unknown(name, "only references can be followed"));
    }
    if depth > 1 || chain.contains('.') {
        return Err(unknown(name, "references are followed once"));
    }
    let mut alternatives = Vec::new();
    let targets = parameter.targets.iter().copied().chain(modifier.and_then(resource_named).map(|of| of.name));
    for target in targets {
        if modifier.is_some_and(|modifier| modifier != target) || alternatives.iter().any(|(of, _)| *of == target) {
            continue;
        }
        match condition(target, chain, value, base, depth + 1) {
            Ok(condition) => alternatives.push((target, condition)),
            Err(Refused::Unknown(_)) => {}
            Err(refused @ Refused::Wrong(_)) => return Err(refused),
        }
    }
    if alternatives.is_empty() {
        let told = "what this reference leads to cannot be searched so; name its type (subject:Patient.identifier) and \
                    one of that type's parameters";
        return Err(unknown(name, told));
    }
    Ok(Test::Leads(alternatives))
}

fn wanted(parameter: &SearchParameter, name: &str, modifier: Option<&str>, value: &str, base: &str) -> Taken<Wanted> {
    let no_modifier = || unknown(name, "this modifier is not supported for this parameter");
    Ok(match (parameter.kind, modifier) {
        (SearchKind::Token, None) => {
            let token = token(value);
            // one that no resource can have is a slip, and nothing would be a wrong answer to it
            if let (Some(known), Some(code)) = (words_of(parameter), &token.code)
                && !known.contains(&code.as_str())
            {
                return Err(wrong(name, format!("use one of {}", known.join(", "))));
            }
            Wanted::Token(token)
        }
        (SearchKind::Token | SearchKind::Reference, Some("text")) => Wanted::Words(plain(&unescaped(value))),
        (SearchKind::Reference, Some("identifier")) => Wanted::Identifier(token(value)),
        (SearchKind::Reference, None) => reference(value, None, base),
        (SearchKind::Reference, Some(kind)) => {
            let allowed = is_resource_type(kind) && (parameter.targets.is_empty() || parameter.targets.contains(&kind));
            if !allowed {
                return Err(no_modifier());
            }
            reference(value, Some(kind), base)
        }
        (SearchKind::Date, None) => {
            let (prefix, text) = Prefix::of(value);
            let told = "use a FHIR date or dateTime, after eq, ne, gt, lt, ge, le, sa, eb or ap where that is meant";
            // in a query an unescaped “+” has become a space
            let span = Span::of(&text.replace(' ', "+")).ok_or_else(|| wrong(name, told))?;
            Wanted::Date(prefix, span)
        }
        (SearchKind::Number, None) => {
            Wanted::Number(value.parse().map_err(|_| wrong(name, "use a number, without a prefix"))?)
        }
        (SearchKind::String, None) => Wanted::Text(How::Starts, plain(&unescaped(value))),
        (SearchKind::String, Some("contains")) => Wanted::Text(How::Contains, plain(&unescaped(value))),
        (SearchKind::String, Some("exact")) => Wanted::Text(How::Exact, unescaped(value)),
        (SearchKind::Uri, None) => Wanted::Uri(How::Exact, unescaped(value)),
        (SearchKind::Uri, Some("below")) => Wanted::Uri(How::Below, unescaped(value)),
        (SearchKind::Uri, Some("above")) => Wanted::Uri(How::Above, unescaped(value)),
        _ => return Err(no_modifier()),
    })
}

fn token(value: &str) -> Token {
    let mut parts = split(value, '|');
    let first = parts.next().unwrap_or_default();
    let Some(second) = parts.next() else { return Token { system: None, code: Some(unescaped(first)) } };
    Token { system: Some(unescaped(first)), code: Some(unescaped(second)).filter(|code| !code.is_empty()) }
}

fn reference(value: &str, kind: Option<&str>, base: &str) -> Wanted {
    let value = unescaped(value);
    match parse(&value) {
        Target::Relative { kind, id, version } => {
            Wanted::Reference { kind: Some(kind.to_owned()), id: id.to_owned(), version: version.map(str::to_owned) }
        }
        Target::Absolute { base: of, kind, id, version } if of == base => {
            Wanted::Reference { kind: Some(kind.to_owned()), id: id.to_owned(), version: version.map(str::to_owned) }
        }
        _ if is_id(&value) => Wanted::Reference { kind: kind.map(str::to_owned), id: value, version: None },
        _ => Wanted::Url(value),
    }
}

fn sort(of: &str, name: &str, value: &str) -> Taken<Vec<Sort>> {
    let mut keys = Vec::new();
    for key in value.split(',').map(str::trim).filter(|key| !key.is_empty()) {
        let (key, descending) = match key.strip_prefix('-') {
            Some(key) => (key, true),
            None => (key, false),
        };
        // what is near comes the nearest first by itself, and what shapes the answer orders nothing
        let names = || parameters(of).map(|parameter| parameter.name).collect::<Vec<_>>().join(", ");
        let told = || format!("{of} cannot be sorted by this; use {}", names());
        let parameter = parameter(of, key).ok_or_else(|| unknown(name, told()))?;
        keys.push(Sort {
            name: parameter.name,
            descending,
            kind: parameter.kind,
            expression: expression(parameter, name)?,
        });
    }
    if keys.is_empty() || keys.len() > SORT_MAX {
        return Err(wrong(name, format!("give one to {SORT_MAX} parameters")));
    }
    Ok(keys)
}

fn include(of: &str, name: &str, value: &str) -> Taken<Include> {
    let told = "use Type:parameter or Type:parameter:Target, with a parameter that finds references";
    let mut parts = value.split(':');
    let from = parts.next().and_then(resource_named).ok_or_else(|| wrong(name, told))?.name;
    let by = match parts.next() {
        Some("*") => None,
        Some(code) => {
            // `Task:for` is the element that `patient` and `subject` look at
            let code = if (from, code) == ("Task", "for") { "subject" } else { code };
            let by = parameter(from, code).filter(|parameter| parameter.kind == SearchKind::Reference);
            let by = by.ok_or_else(|| wrong(name, told))?;
            Some(Reference { name: by.name, targets: by.targets, expression: expression(by, name)? })
        }
        None => return Err(wrong(name, told)),
    };
    let to = match parts.next().filter(|to| !to.is_empty()) {
        Some(to) => Some(resource_named(to).ok_or_else(|| wrong(name, told))?.name.to_owned()),
        // of what leads back to the matches only what leads to them is meant
        None if name.starts_with("_rev") && !name.contains(':') => Some(of.to_owned()),
        None => None,
    };
    if parts.next().is_some() {
        return Err(wrong(name, told));
    }
    Ok(Include { from: from.to_owned(), by, to, iterate: name.contains(':') })
}

/// The parts between marks that are not escaped (R4 search, 3.1.1.5.4).
pub(super) fn split(text: &str, mark: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c: char| {
        let is_mark = c == mark && !escaped;
        escaped = c == '\\' && !escaped;
        is_mark
    })
}

/// Without the signs that escape.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next @ ('\\' | ',' | '|' | '$'))) => {
                plain.push(*next);
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}
