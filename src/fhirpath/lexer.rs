//! Text to tokens (FHIRPath N1, 2.0.0, section "Lexical elements" and its grammar).

use super::ParseError;

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub at: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or a word: which, the parser knows.
    Word(String),
    /// A name between backticks: never a word.
    Name(String),
    /// A text between quotes.
    Text(String),
    /// Digits, with a point or without.
    Number(String),
    /// What follows `@`.
    Moment(String),
    /// `$this` and its kin, without the sign.
    Dollar(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

const SIGNS: [&str; 22] =
    ["!=", "!~", "<=", ">=", "{", "}", "(", ")", "[", "]", ".", ",", "+", "-", "*", "/", "|", "&", "<", ">", "=", "~"];

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip()?;
        let at = lexer.at;
        match lexer.next()? {
            Some(kind) => found.push(Token { at, kind }),
            None => return Ok(found),
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

// === impl Lexer ===

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, what: &'static str) -> ParseError {
        ParseError { at: self.at, what: what.to_owned() }
    }

    /// White space and comments.
    fn skip(&mut self) -> Result<(), ParseError> {
        loop {
            let rest = self.rest();
            let left = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}', '\u{a0}']);
            self.at += rest.len() - left.len();
            if left.starts_with("//") {
                self.at += left.find('\n').unwrap_or(left.len());
            } else if let Some(comment) = left.strip_prefix("/*") {
                let end = comment.find("*/").ok_or_else(|| self.error("a comment that does not end"))?;
                self.at += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Option<Kind>, ParseError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let kind = match first {
            'a'..='z' | 'A'..='Z' | '_' => Kind::Word(self.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned()),
            '0'..='9' => Kind::Number(self.number()),
            '\'' => Kind::Text(self.quoted('\'')?),
            '`' => Kind::Name(self.quoted('`')?),
            '@' => {
                self.at += 1;
                Kind::Moment(self.moment().to_owned())
            }
            '%' => {
                self.at += 1;
                Kind::Sign("%")
            }
            '$' => {
                self.at += 1;
                Kind::Dollar(self.take(|c| c.is_ascii_alphabetic()).to_owned())
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| self.error("a character that means nothing here"))?;
                self.at += sign.len();
                Kind::Sign(sign)
            }
        };
        Ok(Some(kind))
    }

    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn number(&mut self) -> String {
        let mut number = self.take(|c| c.is_ascii_digit()).to_owned();
        // `1.convertsToInteger()` calls a function; `1.5` goes on
        let fraction =
            self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        if fraction {
            self.at += 1;
            number.push('.');
            number.push_str(self.take(|c| c.is_ascii_digit()));
        }
        number
    }

    /// `2015-02-04T14:34:28.123+10:00`, `T14:34` or a part of it: as much as belongs to it.
    fn moment(&mut self) -> &'t str {
        let start = self.at;
        let digit = |c: char| c.is_ascii_digit();
        self.take(|c| c.is_ascii_digit() || c == '-');
        if self.rest().starts_with('T') {
            let is_time = self.at == start;
            self.at += 1;
            self.take(|c| c.is_ascii_digit() || c == ':');
            let fraction = self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(digit));
            if fraction {
                self.at += 1;
                self.take(digit);
            }
            let rest = self.rest();
            // a time has no offset
            if !is_time && rest.starts_with('Z') {
                self.at += 1;
            } else if !is_time && is_offset(rest) {
                self.at += 6;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.at += offset + 1;
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next().map(|(_, c)| c) {
                Some('u') => {
                    let mut code = 0;
                    for _ in 0..4 {
                        let digit = chars.next().and_then(|(_, c)| c.to_digit(16));
                        code = code * 16 + digit.ok_or_else(|| self.error("\\u wants four hexadecimal digits"))?;
                    }
                    text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Some('r') => text.push('\r'),
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('f') => text.push('\u{c}'),
                Some(c @ ('\'' | '"' | '`' | '\\' | '/')) => text.push(c),
                // R4's own rules have `\.` and `\d` in their patterns: the backslash is the pattern's
                Some(c) => {
                    text.push('\\');
                    text.push(c);
                }
                None => break,
            }
        }
        Err(self.error("a quote that does not end"))
    }
}

/// Whether a zone like `+10:00` stands at the start.
fn is_offset(text: &str) -> bool {
    match text.as_bytes() {
        [b'+' | b'-', h1, h2, b':', m1, m2, ..] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}
