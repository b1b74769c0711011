//! Where a page ended, as the link to the next one says it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::clock::from_micros;

/// Where the next page goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cursor {
    /// After this one in the order of ids.
    Made(Uuid),
    /// After the one that had last changed then, in the order of changes as they stood at `as_of`.
    Changed {
        /// When the last one had changed.
        at: Timestamp,
        /// Its id, or that of its Task where they are gone along.
        of: Uuid,
        /// When the first page was read.
        as_of: Timestamp,
    },
    /// After this one among those that are sorted here, as they stood at `as_of`.
    Sorted {
        /// Its logical id.
        id: String,
        /// When the first page was read.
        as_of: Timestamp,
    },
    /// After this one of those that go with this ServiceRequest.
    Within {
        /// The ServiceRequest.
        request: Uuid,
        /// The logical id of the last one.
        id: String,
    },
    /// After this place among the entries of the directory.
    Entry(Place),
}

/// A place in the order that a search asks for. It says by itself where it is, whatever becomes of the entry that stood there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// What ordered the last one, one for each key of `_sort`.
    pub keys: Vec<Option<String>>,
    /// How far it was, where the nearest come first: the bits of the metres.
    pub away: Option<u64>,
    /// Its logical id. Empty: before all.
    pub id: String,
}

impl Place {
    fn text(&self) -> String {
        let told = serde_json::to_vec(&(&self.keys, self.away, &self.id)).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(told)
    }

    fn read(text: &str) -> Option<Self> {
        let (keys, away, id) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        Some(Self { keys, away, id })
    }
}

impl Cursor {
    /// As it stands in a link.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Made(id) => format!("m.{id}"),
            Self::Changed { at, of, as_of } => {
                format!("c.{}.{}.{of}", as_of.as_microsecond(), at.as_microsecond())
            }
            Self::Sorted { id, as_of } => format!("s.{}.{id}", as_of.as_microsecond()),
            Self::Within { request, id } => format!("w.{request}.{id}"),
            Self::Entry(place) => format!("e.{}", place.text()),
        }
    }

    /// The cursor that a link names; none where it is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let moment = |text: &str| {
            let micros: i64 = text.parse().ok()?;
            Timestamp::from_microsecond(micros).ok().map(|_| from_micros(micros))
        };
        let (kind, rest) = text.split_once('.')?;
        Some(match kind {
            "m" => Self::Made(rest.parse().ok()?),
            "c" => {
                let (as_of, rest) = rest.split_once('.')?;
                let (at, of) = rest.split_once('.')?;
                Self::Changed { at: moment(at)?, of: of.parse().ok()?, as_of: moment(as_of)? }
            }
            "s" => {
                let (as_of, id) = rest.split_once('.')?;
                Self::Sorted { id: id.to_owned(), as_of: moment(as_of)? }
            }
            "w" => {
                let (request, id) = rest.split_once('.')?;
                Self::Within { request: request.parse().ok()?, id: id.to_owned() }
            }
            "e" => Self::Entry(Place::read(rest)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (id, at) = (Uuid::nil(), Timestamp::from_microsecond(1_700_000_000_123_456).unwrap());
        for cursor in [
            Cursor::Made(id),
            Cursor::Changed { at, of: id, as_of: Timestamp::UNIX_EPOCH },
            Cursor::Sorted { id: "a.b-c".into(), as_of: at },
            Cursor::Within { request: id, id: "a.b".into() },
            Cursor::Entry(Place { id: "a.b".into(), ..Place::default() }),
            Cursor::Entry(Place {
                keys: vec![None, Some("é.\"".into())],
                away: Some(1.5f64.to_bits()),
                id: "c".into(),
            }),
            Cursor::Entry(Place::default()),
        ] {
            assert_eq!(Cursor::read(&cursor.text()), Some(cursor));
        }
        for bad in
            ["", "m", "m.", "x.1", "c.1.2", "s.x.y", "c.9223372036854775807.0.00000000-0000-0000-0000-000000000000"]
        {
            assert_eq!(Cursor::read(bad), None, "{bad}");
        }
    }
}
