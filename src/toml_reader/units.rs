//! Spans of time and sizes as people write them: `30s`, `1h30m`, `7d`, `5MiB`.

use std::time::Duration;

const UNITS_MS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A span of time: numbers with a unit of `ms`, `s`, `m`, `h` or `d`, the larger first; `None` for anything else.
pub fn duration_from(text: &str) -> Option<Duration> {
    let (mut rest, mut sum_ms, mut smallest) = (text, 0u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == unit)?;
        if *unit_ms >= smallest {
            return None;
        }
        smallest = *unit_ms;
        sum_ms = sum_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = tail;
    }
    (smallest != u64::MAX).then(|| Duration::from_millis(sum_ms))
}

/// A span of time as [`duration_from`] reads it.
pub fn duration_text(span: Duration) -> String {
    let mut rest_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, unit_ms) in UNITS_MS {
        if rest_ms >= unit_ms {
            text.push_str(&format!("{}{unit}", rest_ms / unit_ms));
            rest_ms %= unit_ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size in bytes: a number with `B`, `KiB`, `MiB` or `GiB`; `None` for anything else.
pub fn size_from(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
