//! Tokens to an expression: the grammar of FHIRPath N1 (2.0.0), by precedence climbing.

use super::{
    ParseError,
    ast::{Expr, Operator, SIGN, TYPING, Typing, WORDS},
    function::Function,
    item::decimal_of,
    lexer::{Kind, Token, tokens},
    moment::{Moment, Unit},
    pattern::{self, Pattern},
    types::TypeName,
};

/// What may be written in one expression.
pub(super) const TEXT_MAX_BYTES: usize = 16 * 1024;

/// How high the tree of an expression may be: evaluating it takes stack for each level.
pub(super) const HEIGHT_MAX: usize = 100;

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(ParseError { at: TEXT_MAX_BYTES, what: "it is too long".to_owned() });
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len(), depth: 0 };
    let (expr, _) = parser.expression(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.error("an operator was expected here")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    end: usize,
    depth: usize,
}

/// An expression and the height of its tree.
type High = (Expr, usize);

// === impl Parser ===

impl Parser {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn take(&mut self) -> Option<Kind> {
        let kind = self.tokens.get(self.next).map(|token| token.kind.clone());
        self.next += 1;
        kind
    }

    fn error(&self, what: impl Into<String>) -> ParseError {
        ParseError { at: self.tokens.get(self.next).map_or(self.end, |token| token.at), what: what.into() }
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Kind::Sign(found)) if *found == sign)
    }

    fn skip(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ParseError> {
        if self.skip(sign) { Ok(()) } else { Err(self.error(format!("“{sign}” was expected here"))) }
    }

    fn higher(&self, height: usize) -> Result<usize, ParseError> {
        if height < HEIGHT_MAX { Ok(height + 1) } else { Err(self.error("it is nested too deeply")) }
    }

    /// An expression whose operators all bind more tightly than `than`.
    fn expression(&mut self, than: u8) -> Result<High, ParseError> {
        if self.depth >= HEIGHT_MAX {
            return Err(self.error("it is nested too deeply"));
        }
        self.depth += 1;
        let found = self.operators(than);
        self.depth -= 1;
        found
    }

    fn operators(&mut self, than: u8) -> Result<High, ParseError> {
        let (mut left, mut height) = self.signed()?;
        loop {
            let text = match self.peek() {
                Some(Kind::Sign(sign)) => *sign,
                Some(Kind::Word(word)) => word.as_str(),
                _ => return Ok((left, height)),
            };
            let typing = match text {
                "is" => Some(Typing::Is),
                "as" => Some(Typing::As),
                _ => None,
            };
            if let Some(how) = typing.filter(|_| TYPING > than) {
                self.next += 1;
                let name = self.type_name()?;
                height = self.higher(height)?;
                left = Expr::Typed { on: Some(left.into()), how, name };
                continue;
            }
            let Some(how) = Operator::written(text).filter(|how| how.strength() > than) else {
                return Ok((left, height));
            };
            self.next += 1;
            let (right, right_height) = self.expression(how.strength())?;
            height = self.higher(height.max(right_height))?;
            left = Expr::Binary { how, left: left.into(), right: right.into() };
        }
    }

    /// A term with a sign before it, or without.
    fn signed(&mut self) -> Result<High, ParseError> {
        let negative = self.is_sign("-");
        if !negative && !self.is_sign("+") {
            return self.path();
        }
        self.next += 1;
        let (of, height) = self.expression(SIGN)?;
        let height = self.higher(height)?;
        Ok((if negative { Expr::Negative(of.into()) } else { Expr::Positive(of.into()) }, height))
    }

    /// A term and what is asked of it: `.name`, `.function()`, `[1]`.
    fn path(&mut self) -> Result<High, ParseError> {
        let (mut found, mut height) = self.term()?;
        loop {
            if self.skip(".") {
                let (next, below) = self.invocation(Some(found))?;
                height = self.higher(height.max(below))?;
                found = next;
            } else if self.skip("[") {
                let (index, below) = self.expression(0)?;
                self.expect("]")?;
                height = self.higher(height.max(below))?;
                found = Expr::Item { on: found.into(), index: index.into() };
            } else {
                return Ok((found, height));
            }
        }
    }

    fn term(&mut self) -> Result<High, ParseError> {
        let expr = match self.peek() {
            Some(Kind::Sign("(")) => {
                self.next += 1;
                let found = self.expression(0)?;
                self.expect(")")?;
                return Ok(found);
            }
            Some(Kind::Sign("{")) => {
                self.next += 1;
                self.expect("}")?;
                Expr::Empty
            }
            Some(Kind::Sign("%")) => {
                self.next += 1;
                match self.take() {
                    Some(Kind::Word(name) | Kind::Name(name) | Kind::Text(name)) => Expr::Variable(name.into()),
                    _ => return Err(self.before("a name was expected after “%”")),
                }
            }
            Some(Kind::Text(_)) => match self.take() {
                Some(Kind::Text(text)) => Expr::Text(text.into()),
                _ => Expr::Empty,
            },
            Some(Kind::Number(_)) => self.number()?,
            Some(Kind::Moment(text)) => {
                let moment = Moment::of_literal(text).ok_or_else(|| self.error("no date, and no time"))?;
                self.next += 1;
                Expr::Moment(moment)
            }
            Some(Kind::Dollar(name)) => {
                let expr = match name.as_str() {
                    "this" => Expr::This,
                    "index" => Expr::Index,
                    "total" => Expr::Total,
                    _ => return Err(self.error("only $this, $index and $total are known")),
                };
                self.next += 1;
                expr
            }
            Some(Kind::Word(word)) if word == "true" || word == "false" => {
                let value = word == "true";
                self.next += 1;
                Expr::Boolean(value)
            }
            _ => return self.invocation(None),
        };
        Ok((expr, 1))
    }

    /// An error at the token that was just taken.
    fn before(&mut self, what: &str) -> ParseError {
        self.next = self.next.saturating_sub(1);
        self.error(what)
    }

    fn number(&mut self) -> Result<Expr, ParseError> {
        let Some(Kind::Number(text)) = self.take() else { return Ok(Expr::Empty) };
        let decimal = |parser: &mut Self| decimal_of(&text).ok_or_else(|| parser.before("a number that is too great"));
        let unit = match self.peek() {
            Some(Kind::Text(unit)) => Some((unit.as_str(), false)),
            Some(Kind::Word(word)) if Unit::word(word).is_some() => Some((word.as_str(), true)),
            _ => None,
        };
        if let Some((unit, calendar)) = unit {
            let unit = unit.into();
            self.next += 1;
            return Ok(Expr::Quantity { value: decimal(self)?, unit, calendar });
        }
        if text.contains('.') {
            return Ok(Expr::Decimal(decimal(self)?));
        }
        let value = text.parse::<i32>().map_err(|_| self.before("a whole number that is too great"))?;
        Ok(Expr::Integer(value.into()))
    }

    /// A name, or a function with its arguments.
    fn invocation(&mut self, on: Option<Expr>) -> Result<High, ParseError> {
        let on = on.map(Box::new);
        let name = match self.peek() {
            Some(Kind::Word(word)) if !WORDS.contains(&word.as_str()) => word.clone(),
            Some(Kind::Name(name)) => name.clone(),
            _ => return Err(self.error("a value or a name was expected here")),
        };
        let start = self.next;
        self.next += 1;
        if !self.skip("(") {
            return Ok((Expr::Child { on, name: name.into() }, 1));
        }
        let typing = match name.as_str() {
            "is" => Some(Typing::Is),
            "as" => Some(Typing::As),
            "ofType" => Some(Typing::OfType),
            _ => None,
        };
        if let Some(how) = typing {
            let name = self.type_name()?;
            self.expect(")")?;
            return Ok((Expr::Typed { on, how, name }, 1));
        }
        let (arguments, height) = self.arguments()?;
        let unknown = |parser: &mut Self, what: String| {
            parser.next = start;
            parser.error(what)
        };
        let Some(function) = Function::named(&name) else {
            return Err(unknown(self, "there is no function of this name".to_owned()));
        };
        let due = function.arguments();
        if !due.contains(&arguments.len()) {
            let wants = if due.start() == due.end() {
                due.end().to_string()
            } else {
                format!("{} to {}", due.start(), due.end())
            };
            return Err(unknown(self, format!("{}() takes {wants} arguments", function.name())));
        }
        let pattern = match (function, arguments.first()) {
            (Function::Matches | Function::MatchesFull | Function::ReplaceMatches, Some(Expr::Text(text))) => {
                let compiled = pattern::compile(text, function == Function::MatchesFull);
                Some(Pattern(compiled.ok_or_else(|| unknown(self, "a pattern that cannot be used".to_owned()))?))
            }
            _ => None,
        };
        Ok((Expr::Call { on, function, arguments, pattern }, height))
    }

    fn arguments(&mut self) -> Result<(Vec<Expr>, usize), ParseError> {
        let (mut arguments, mut height) = (Vec::new(), 1);
        if self.skip(")") {
            return Ok((arguments, height));
        }
        loop {
            let (argument, below) = self.expression(0)?;
            height = height.max(self.higher(below)?);
            arguments.push(argument);
            if self.skip(")") {
                return Ok((arguments, height));
            }
            self.expect(",")?;
        }
    }

    /// `Patient`, `FHIR.Patient`, `System.Integer`.
    fn type_name(&mut self) -> Result<TypeName, ParseError> {
        // R4's own search parameters write `as(Reference)`, its oldest rules `as('Reference')`
        let part = |parser: &mut Self| match parser.take() {
            Some(Kind::Word(name) | Kind::Name(name)) => Ok(name),
            _ => Err(parser.before("the name of a type was expected here")),
        };
        let at = self.next;
        let first = part(self)?;
        let found = if matches!(first.as_str(), "System" | "FHIR") && self.skip(".") {
            TypeName::resolve(Some(&first), &part(self)?)
        } else {
            TypeName::resolve(None, &first)
        };
        found.ok_or_else(|| {
            self.next = at;
            self.error("there is no type of this name")
        })
    }
}
