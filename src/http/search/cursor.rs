//! Where a page ended, as the link to the next one says it.

use jiff::Timestamp;
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
    /// After this entry of the directory, in the order that the search asks for. Empty: before all of them.
    Entry(String),
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
            Self::Entry(id) => format!("e.{id}"),
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
            "e" => Self::Entry(rest.to_owned()),
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
            Cursor::Entry("a.b".into()),
            Cursor::Entry(String::new()),
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
