//! Units of measure, as far as comparing quantities needs them: what UCUM builds from metres, grams, seconds and their like. A unit
//! with an offset or a scale of its own (`Cel`, `pH`, `[degF]`) is only ever equal to itself.

use rust_decimal::Decimal;

/// Units may stand between brackets so deep.
const DEPTH_MAX: usize = 8;

/// What is counted: m, g, s, rad, K, C, cd, mol, and what has a dimension of its own to us (`[iU]`, `10*`, money).
const DIMENSIONS: usize = 8;

/// A unit: a number times powers of what is counted. The number is a fraction, because a minute's sixtieth has no end as a decimal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    pub factor: Decimal,
    pub per: Decimal,
    pub powers: [i8; DIMENSIONS],
}

const NONE: [i8; DIMENSIONS] = [0; DIMENSIONS];

/// A unit by its symbol: how it is written, how many of what it is, whether it takes prefixes.
const ATOMS: &[(&str, &str, &str, bool)] = &[
    ("m", "1", "m", true),
    ("g", "1", "g", true),
    ("s", "1", "s", true),
    ("rad", "1", "rad", true),
    ("K", "1", "K", true),
    ("C", "1", "C", true),
    ("cd", "1", "cd", true),
    ("mol", "1", "mol", true),
    ("%", "0.01", "", false),
    ("[ppth]", "0.001", "", false),
    ("[ppm]", "0.000001", "", false),
    ("min", "60", "s", false),
    ("h", "3600", "s", false),
    ("d", "86400", "s", false),
    ("wk", "604800", "s", false),
    ("mo", "2629800", "s", false),
    ("a", "31557600", "s", false),
    ("l", "0.001", "m3", true),
    ("L", "0.001", "m3", true),
    ("t", "1000000", "g", true),
    ("bar", "100000000", "g.m-1.s-2", true),
    ("Hz", "1", "s-1", true),
    ("N", "1000", "g.m.s-2", true),
    ("Pa", "1000", "g.m-1.s-2", true),
    ("J", "1000", "g.m2.s-2", true),
    ("W", "1000", "g.m2.s-3", true),
    ("A", "1", "C.s-1", true),
    ("V", "1000", "g.m2.s-2.C-1", true),
    ("Ohm", "1000", "g.m2.s-1.C-2", true),
    ("kat", "1", "mol.s-1", true),
    ("U", "0.000000016666666666666666667", "mol.s-1", true),
    ("eq", "1", "mol", true),
    ("osm", "1", "mol", true),
    ("cal", "4184", "g.m2.s-2", true),
    ("m[H2O]", "9806650", "g.m-1.s-2", true),
    ("m[Hg]", "133322387.415", "g.m-1.s-2", true),
    ("[in_i]", "0.0254", "m", false),
    ("[ft_i]", "0.3048", "m", false),
    ("[yd_i]", "0.9144", "m", false),
    ("[mi_i]", "1609.344", "m", false),
    ("[in_us]", "0.025400050800101600203200406401", "m", false),
    ("[lb_av]", "453.59237", "g", false),
    ("[oz_av]", "28.349523125", "g", false),
    ("[stone_av]", "6350.29318", "g", false),
    ("[gr]", "0.06479891", "g", false),
    ("[drp]", "0.00000005", "m3", false),
    ("[tsp_us]", "0.00000492892159375", "m3", false),
    ("[tbs_us]", "0.00001478676478125", "m3", false),
    ("[foz_us]", "0.0000295735295625", "m3", false),
    ("[pt_us]", "0.000473176473", "m3", false),
    ("[qt_us]", "0.000946352946", "m3", false),
    ("[gal_us]", "0.003785411784", "m3", false),
];

const PREFIXES: &[(&str, i32)] = &[
    ("da", 1),
    ("Y", 24),
    ("Z", 21),
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("h", 2),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
    ("a", -18),
    ("z", -21),
    ("y", -24),
];

/// The unit that is written so; none where we do not know it.
pub(super) fn unit(text: &str) -> Option<Unit> {
    let (unit, rest) = term(text, 0)?;
    rest.is_empty().then_some(unit)
}

/// `kg.m/s2`: components, each times or by the next.
fn term(text: &str, depth: usize) -> Option<(Unit, &str)> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut found = Unit::of(Decimal::ONE);
    let (mut rest, mut by) = match text.strip_prefix('/') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    loop {
        let (next, after) = component(rest, depth)?;
        found = if by { found.by(&next)? } else { found.times(&next)? };
        rest = after;
        by = match rest.chars().next() {
            Some('.') => false,
            Some('/') => true,
            _ => return Some((found, rest)),
        };
        rest = rest.get(1..)?;
    }
}

fn component(text: &str, depth: usize) -> Option<(Unit, &str)> {
    if let Some(inner) = text.strip_prefix('(') {
        let (found, rest) = term(inner, depth + 1)?;
        return Some((found, annotation(rest.strip_prefix(')')?)));
    }
    if text.starts_with('{') {
        return Some((Unit::of(Decimal::ONE), annotation(text)));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let after = text.get(digits..)?;
    if digits > 0 && !after.starts_with(['*', '^']) {
        let factor = text.get(..digits)?.parse().ok()?;
        return Some((Unit::of(factor), annotation(after)));
    }
    if let Some(rest) = text.strip_prefix("10*").or_else(|| text.strip_prefix("10^")) {
        let (power, rest) = exponent(rest)?;
        return Some((Unit::of(ten_to(i32::from(power))?), annotation(rest)));
    }
    let mut bracket = false;
    let end = text.find(|c: char| {
        bracket = (bracket || c == '[') && c != ']';
        !bracket && matches!(c, '.' | '/' | '(' | ')' | '{' | '+' | '-' | '0'..='9')
    });
    let (symbol, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    let (power, rest) = exponent(rest)?;
    Some((atom(symbol)?.to_the(power)?, annotation(rest)))
}

/// What follows an annotation, which counts for nothing: `{tablet}`.
fn annotation(text: &str) -> &str {
    let after = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    after.map_or(text, |(_, rest)| rest)
}

fn exponent(text: &str) -> Option<(i8, &str)> {
    let signed = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = signed.find(|c: char| !c.is_ascii_digit()).unwrap_or(signed.len());
    if digits == 0 {
        return (signed.len() == text.len()).then_some((1, text));
    }
    let end = text.len() - signed.len() + digits;
    Some((text.get(..end)?.trim_start_matches('+').parse().ok()?, text.get(end..)?))
}

fn atom(symbol: &str) -> Option<Unit> {
    let named = |symbol: &str| ATOMS.iter().find(|(known, ..)| *known == symbol);
    if let Some((_, factor, of, _)) = named(symbol) {
        return of_base(factor, of);
    }
    PREFIXES.iter().find_map(|(prefix, power)| {
        let (_, factor, of, metric) = named(symbol.strip_prefix(prefix)?)?;
        let unit = of_base(factor, of).filter(|_| *metric)?;
        Some(Unit { factor: unit.factor.checked_mul(ten_to(*power)?)?, ..unit })
    })
}

/// So many of `g.m2.s-2`.
fn of_base(factor: &str, of: &str) -> Option<Unit> {
    const BASE: [&str; DIMENSIONS] = ["m", "g", "s", "rad", "K", "C", "cd", "mol"];
    let mut powers = NONE;
    for part in of.split('.').filter(|part| !part.is_empty()) {
        let end = part.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(part.len());
        let (symbol, power) = part.split_at_checked(end)?;
        let at = BASE.iter().position(|base| *base == symbol)?;
        *powers.get_mut(at)? += if power.is_empty() { 1 } else { power.parse().ok()? };
    }
    Some(Unit { powers, ..Unit::of(factor.parse().ok()?) })
}

/// A product; none where it is too great, or too small to be held.
pub(super) fn product(a: Decimal, b: Decimal) -> Option<Decimal> {
    let found = a.checked_mul(b)?;
    let lost = found.is_zero() && !a.is_zero() && !b.is_zero();
    (!lost).then(|| found.normalize())
}

fn ten_to(power: i32) -> Option<Decimal> {
    let digits = power.unsigned_abs();
    if digits > 27 {
        return None;
    }
    if power < 0 {
        Decimal::try_new(1, digits).ok()
    } else {
        Decimal::try_from_i128_with_scale(10i128.pow(digits), 0).ok()
    }
}

// === impl Unit ===

impl Unit {
    /// A number.
    fn of(factor: Decimal) -> Self {
        Self { factor, per: Decimal::ONE, powers: NONE }
    }

    /// One times the other.
    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        let (factor, per) = (product(self.factor, other.factor)?, product(self.per, other.per)?);
        Some(Self { factor, per, powers: zip(&self.powers, &other.powers, i8::checked_add)? })
    }

    /// One by the other.
    pub(super) fn by(&self, other: &Self) -> Option<Self> {
        let (factor, per) = (product(self.factor, other.per)?, product(self.per, other.factor)?);
        Some(Self { factor, per, powers: zip(&self.powers, &other.powers, i8::checked_sub)? })
    }

    fn to_the(self, power: i8) -> Option<Self> {
        let one = Self::of(Decimal::ONE);
        (0..power.unsigned_abs()).try_fold(one, |found, _| if power < 0 { found.by(&self) } else { found.times(&self) })
    }

    /// Its powers as UCUM writes them: `g.m-1`.
    pub(super) fn base(&self) -> String {
        const BASE: [&str; DIMENSIONS] = ["m", "g", "s", "rad", "K", "C", "cd", "mol"];
        let parts: Vec<String> = BASE
            .iter()
            .zip(self.powers)
            .filter(|(_, power)| *power != 0)
            .map(|(symbol, power)| if power == 1 { (*symbol).to_owned() } else { format!("{symbol}{power}") })
            .collect();
        if parts.is_empty() { "1".to_owned() } else { parts.join(".") }
    }
}

fn zip(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS], by: fn(i8, i8) -> Option<i8>) -> Option<[i8; DIMENSIONS]> {
    let mut found = NONE;
    for ((slot, a), b) in found.iter_mut().zip(a).zip(b) {
        *slot = by(*a, *b)?;
    }
    Some(found)
}
