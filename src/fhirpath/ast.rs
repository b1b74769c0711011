//! What an expression is once it was read, and how it is written again.

use std::fmt::{self, Display, Write as _};

use rust_decimal::Decimal;

use super::{function::Function, moment::Moment, pattern::Pattern, types::TypeName};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// `{}`
    Empty,
    Boolean(bool),
    Integer(i64),
    Decimal(Decimal),
    Text(Box<str>),
    Moment(Moment),
    /// A number and its unit; a word of the calendar where `calendar` says so.
    Quantity {
        value: Decimal,
        unit: Box<str>,
        calendar: bool,
    },
    This,
    Index,
    Total,
    /// `%name`
    Variable(Box<str>),
    /// `name`, or `on.name`.
    Child {
        on: Option<Box<Expr>>,
        name: Box<str>,
    },
    Call {
        on: Option<Box<Expr>>,
        function: Function,
        arguments: Vec<Expr>,
        pattern: Option<Pattern>,
    },
    /// `on is Type`, `on.is(Type)`, and the same for `as` and `ofType`.
    Typed {
        on: Option<Box<Expr>>,
        how: Typing,
        name: TypeName,
    },
    /// `on[index]`
    Item {
        on: Box<Expr>,
        index: Box<Expr>,
    },
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    Binary {
        how: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
}

/// What is asked of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    Is,
    As,
    OfType,
}

/// An operator with two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Times,
    Divide,
    Div,
    Mod,
    Plus,
    Minus,
    Join,
    Union,
    LessOrEqual,
    Less,
    Greater,
    GreaterOrEqual,
    Equal,
    Equivalent,
    NotEqual,
    NotEquivalent,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}

// === impl Operator ===

impl Operator {
    /// The operator that is written so.
    pub(super) fn written(text: &str) -> Option<Self> {
        Some(match text {
            "*" => Self::Times,
            "/" => Self::Divide,
            "div" => Self::Div,
            "mod" => Self::Mod,
            "+" => Self::Plus,
            "-" => Self::Minus,
            "&" => Self::Join,
            "|" => Self::Union,
            "<=" => Self::LessOrEqual,
            "<" => Self::Less,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "=" => Self::Equal,
            "~" => Self::Equivalent,
            "!=" => Self::NotEqual,
            "!~" => Self::NotEquivalent,
            "in" => Self::In,
            "contains" => Self::Contains,
            "and" => Self::And,
            "or" => Self::Or,
            "xor" => Self::Xor,
            "implies" => Self::Implies,
            _ => return None,
        })
    }

    /// How it is written.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Times => "*",
            Self::Divide => "/",
            Self::Div => "div",
            Self::Mod => "mod",
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Join => "&",
            Self::Union => "|",
            Self::LessOrEqual => "<=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "=",
            Self::Equivalent => "~",
            Self::NotEqual => "!=",
            Self::NotEquivalent => "!~",
            Self::In => "in",
            Self::Contains => "contains",
            Self::And => "and",
            Self::Or => "or",
            Self::Xor => "xor",
            Self::Implies => "implies",
        }
    }

    /// How tightly it binds; `is` and `as` bind with [`TYPING`].
    pub(super) fn strength(self) -> u8 {
        match self {
            Self::Times | Self::Divide | Self::Div | Self::Mod => 11,
            Self::Plus | Self::Minus | Self::Join => 10,
            Self::Union => 8,
            Self::LessOrEqual | Self::Less | Self::Greater | Self::GreaterOrEqual => 7,
            Self::Equal | Self::Equivalent | Self::NotEqual | Self::NotEquivalent => 6,
            Self::In | Self::Contains => 5,
            Self::And => 4,
            Self::Or | Self::Xor => 3,
            Self::Implies => 2,
        }
    }
}

/// How tightly `is` and `as` bind.
pub(super) const TYPING: u8 = 9;

/// How tightly a sign before an expression binds.
pub(super) const SIGN: u8 = 12;

/// Words that are no names.
pub(super) const WORDS: [&str; 8] = ["and", "or", "xor", "implies", "div", "mod", "true", "false"];

// === impl Typing ===

impl Typing {
    /// How it is written as a function.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::As => "as",
            Self::OfType => "ofType",
        }
    }
}

// === impl Expr ===

impl Expr {
    /// Whether it must stand between brackets where something is asked of it.
    fn is_compound(&self) -> bool {
        matches!(self, Self::Negative(_) | Self::Positive(_) | Self::Binary { .. })
    }
}

fn on(f: &mut fmt::Formatter<'_>, on: Option<&Expr>) -> fmt::Result {
    match on {
        Some(on) if on.is_compound() => write!(f, "({on})."),
        Some(on) => write!(f, "{on}."),
        None => Ok(()),
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("{}"),
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Decimal(value) => value.fmt(f),
            Self::Text(text) => quoted(f, text, '\''),
            Self::Moment(moment) => write!(f, "@{}", moment.literal()),
            Self::Quantity { value, unit, calendar: true } => write!(f, "{value} {unit}"),
            Self::Quantity { value, unit, calendar: false } => {
                write!(f, "{value} ")?;
                quoted(f, unit, '\'')
            }
            Self::This => f.write_str("$this"),
            Self::Index => f.write_str("$index"),
            Self::Total => f.write_str("$total"),
            Self::Variable(name) => {
                f.write_str("%")?;
                name_of(f, name)
            }
            Self::Child { on: of, name } => {
                on(f, of.as_deref())?;
                name_of(f, name)
            }
            Self::Call { on: of, function, arguments, .. } => {
                on(f, of.as_deref())?;
                write!(f, "{}(", function.name())?;
                for (n, argument) in arguments.iter().enumerate() {
                    if n > 0 {
                        f.write_str(", ")?;
                    }
                    argument.fmt(f)?;
                }
                f.write_str(")")
            }
            Self::Typed { on: of, how, name } => {
                on(f, of.as_deref())?;
                write!(f, "{}({name})", how.text())
            }
            Self::Item { on: of, index } if of.is_compound() => write!(f, "({of})[{index}]"),
            Self::Item { on: of, index } => write!(f, "{of}[{index}]"),
            Self::Negative(of) if of.is_compound() => write!(f, "-({of})"),
            Self::Negative(of) => write!(f, "-{of}"),
            Self::Positive(of) if of.is_compound() => write!(f, "+({of})"),
            Self::Positive(of) => write!(f, "+{of}"),
            Self::Binary { how, left, right } => {
                side(f, left)?;
                write!(f, " {} ", how.text())?;
                side(f, right)
            }
        }
    }
}

fn side(f: &mut fmt::Formatter<'_>, of: &Expr) -> fmt::Result {
    if of.is_compound() { write!(f, "({of})") } else { of.fmt(f) }
}

/// A name, between backticks where it could be taken for something else.
pub(super) fn name_of(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !WORDS.contains(&name)
        && !["is", "as", "in", "contains"].contains(&name);
    if plain { f.write_str(name) } else { quoted(f, name, '`') }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\r' => f.write_str("\\r")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\u{c}' => f.write_str("\\f")?,
            c if c == quote => write!(f, "\\{c}")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}
