//! Functions of texts (FHIRPath N1, "String Manipulation", and those of its successor that HL7's suite for R4 has). Places and lengths
//! count characters.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use regex::Regex;

use super::{
    Collection, EvalError, Item,
    budget::Budget,
    eval::{Outcome, single},
    function::Function,
    pattern,
};

/// A pattern that is made while evaluating costs as much as this: compiling one takes a thousand times as long as looking at an element.
const PATTERN_STEPS: usize = 20_000;

/// What a function was given.
pub(super) struct Given<'g, 'a> {
    pub first: Option<&'g Collection<'a>>,
    pub second: Option<&'g Collection<'a>>,
    /// The pattern, where it was compiled beforehand.
    pub pattern: Option<&'g Regex>,
}

// === impl Given ===

impl<'a> Given<'_, 'a> {
    fn text(of: Option<&Collection<'a>>, what: &'static str) -> Outcome<Option<String>> {
        match of.map(|of| single(of, what)).transpose()?.flatten() {
            None => Ok(None),
            Some(item) => text_of(item, what),
        }
    }

    fn number(of: Option<&Collection<'a>>, what: &'static str) -> Outcome<Option<i64>> {
        match of.map(|of| single(of, what)).transpose()?.flatten().map(Item::value) {
            None => Ok(None),
            Some(Item::Integer(value)) => Ok(Some(value)),
            Some(_) => Err(EvalError::WrongType { what }),
        }
    }
}

fn text_of(item: &Item<'_>, what: &'static str) -> Outcome<Option<String>> {
    if item.is_valueless() {
        return Ok(None);
    }
    item.text().map(|text| Some(text.into_owned())).ok_or(EvalError::WrongType { what })
}

/// What a function of texts makes of a text.
pub(super) fn call<'a>(
    function: Function,
    on: &Collection<'a>,
    given: &Given<'_, 'a>,
    budget: &mut Budget,
) -> Outcome<Collection<'a>> {
    let what = function.name();
    if function == Function::Join {
        return join(on, given, budget);
    }
    let Some(item) = single(on, what)? else { return Ok(Collection::EMPTY) };
    if item.is_valueless() {
        return Ok(Collection::EMPTY);
    }
    let text = item.text().ok_or(EvalError::WrongType { what })?;
    budget.text(text.len())?;
    let made = |text: String| Collection::one(Item::made(text));
    match function {
        Function::Length => return Ok(count(text.chars().count())),
        Function::Upper => return Ok(made(text.to_uppercase())),
        Function::Lower => return Ok(made(text.to_lowercase())),
        Function::Trim => return Ok(made(text.trim().to_owned())),
        Function::ToChars => {
            budget.spend(text.len())?;
            return Ok(text.chars().map(|c| Item::made(c.to_string())).collect());
        }
        Function::Substring => return substring(&text, given),
        _ => {}
    }
    if let (Function::StartsWith | Function::EndsWith | Function::Contains, Some(part)) = (function, given.first)
        && let Some(part) = single(part, what)?
    {
        if part.is_valueless() {
            return Ok(Collection::EMPTY);
        }
        let part = part.text().ok_or(EvalError::WrongType { what })?;
        return Ok(Collection::truth(Some(match function {
            Function::StartsWith => text.starts_with(&*part),
            Function::EndsWith => text.ends_with(&*part),
            _ => text.contains(&*part),
        })));
    }
    if let (Function::Matches | Function::MatchesFull, Some(pattern)) = (function, given.pattern) {
        return Ok(Collection::truth(Some(pattern.is_match(&text))));
    }
    let Some(first) = Given::text(given.first, what)? else { return Ok(Collection::EMPTY) };
    match function {
        Function::Matches | Function::MatchesFull => {
            budget.spend(PATTERN_STEPS)?;
            let pattern = pattern::compile(&first, function == Function::MatchesFull).ok_or(EvalError::Pattern)?;
            Ok(Collection::truth(Some(pattern.is_match(&text))))
        }
        Function::IndexOf => Ok(place(&text, text.find(&first))),
        Function::LastIndexOf => Ok(place(&text, text.rfind(&first))),
        Function::Split => {
            budget.spend(text.len())?;
            Ok(text.split(&first).map(|part| Item::made(part.to_owned())).collect())
        }
        Function::Replace | Function::ReplaceMatches => {
            let Some(second) = Given::text(given.second, what)? else { return Ok(Collection::EMPTY) };
            replace(function, &text, &first, &second, given.pattern, budget).map(made)
        }
        Function::Encode => Ok(match first.as_str() {
            "base64" => made(STANDARD.encode(&*text)),
            "urlbase64" => made(URL_SAFE.encode(&*text)),
            "hex" => made(text.bytes().map(|b| format!("{b:02x}")).collect()),
            _ => Collection::EMPTY,
        }),
        Function::Decode => {
            let bytes = match first.as_str() {
                "base64" => STANDARD.decode(&*text).ok(),
                "urlbase64" => URL_SAFE.decode(&*text).ok(),
                "hex" => unhex(&text),
                _ => None,
            };
            Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Item::made).into())
        }
        Function::Escape => Ok(match first.as_str() {
            "html" => made(HTML.iter().fold(text.into_owned(), |text, (plain, written)| text.replace(plain, written))),
            "json" => made(json(&text)),
            _ => Collection::EMPTY,
        }),
        Function::Unescape => Ok(match first.as_str() {
            "html" => {
                made(HTML.iter().rev().fold(text.into_owned(), |text, (plain, written)| text.replace(written, plain)))
            }
            "json" => made(unescaped(&text)),
            _ => Collection::EMPTY,
        }),
        _ => Ok(Collection::EMPTY),
    }
}

const HTML: [(&str, &str); 5] = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// A text with the escapes of JSON taken back; what is none stays as it is.
fn unescaped(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        found.push_str(before);
        let length = if after.starts_with('u') { 5 } else { after.chars().next().map_or(0, char::len_utf8) };
        let (escape, left) = after.split_at_checked(length).unwrap_or((after, ""));
        match serde_json::from_str::<String>(&format!("\"\\{escape}\"")) {
            Ok(plain) => found.push_str(&plain),
            Err(_) => {
                found.push('\\');
                found.push_str(escape);
            }
        }
        rest = left;
    }
    found.push_str(rest);
    found
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).ok()).collect()
}

fn count<'a>(n: usize) -> Collection<'a> {
    i64::try_from(n).ok().map(Item::Integer).into()
}

fn place<'a>(text: &str, at: Option<usize>) -> Collection<'a> {
    match at.and_then(|at| text.get(..at)) {
        Some(before) => count(before.chars().count()),
        None => Collection::one(Item::Integer(-1)),
    }
}

fn substring<'a>(text: &str, given: &Given<'_, 'a>) -> Outcome<Collection<'a>> {
    let what = "substring";
    let Some(start) = Given::number(given.first, what)? else { return Ok(Collection::EMPTY) };
    let length = Given::number(given.second, what)?;
    let Ok(start) = usize::try_from(start) else { return Ok(Collection::EMPTY) };
    let mut places = text.char_indices().map(|(at, _)| at);
    let Some(from) = places.nth(start) else { return Ok(Collection::EMPTY) };
    let rest = text.get(from..).unwrap_or_default();
    let part = match length {
        None => rest.to_owned(),
        Some(length) => rest.chars().take(usize::try_from(length).unwrap_or(0)).collect(),
    };
    Ok(Collection::one(Item::made(part)))
}

fn replace(
    function: Function,
    text: &str,
    what: &str,
    by: &str,
    compiled: Option<&Regex>,
    budget: &mut Budget,
) -> Outcome<String> {
    // each place between two characters may become as long as `by`
    budget.text((text.len() + 1).saturating_mul(by.len() + 1))?;
    if function == Function::Replace {
        return Ok(text.replace(what, by));
    }
    if what.is_empty() {
        return Ok(text.to_owned());
    }
    if let Some(pattern) = compiled {
        return Ok(pattern.replace_all(text, by).into_owned());
    }
    budget.spend(PATTERN_STEPS)?;
    let pattern = pattern::compile(what, false).ok_or(EvalError::Pattern)?;
    Ok(pattern.replace_all(text, by).into_owned())
}

fn join<'a>(on: &Collection<'a>, given: &Given<'_, 'a>, budget: &mut Budget) -> Outcome<Collection<'a>> {
    let between = Given::text(given.first, "join")?.unwrap_or_default();
    let mut texts = Vec::with_capacity(on.len());
    for item in on {
        if let Some(text) = text_of(item, "join")? {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        return Ok(Collection::EMPTY);
    }
    budget.text(texts.iter().map(|text| text.len() + between.len()).sum())?;
    Ok(Collection::one(Item::made(texts.join(&between))))
}
