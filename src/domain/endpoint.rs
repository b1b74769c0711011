//! The other end of a lane: which one it is, and on which terms it is spoken to.

use std::{fmt, str::FromStr, time::Duration};

use super::{lane::Side, retry::RetryPolicy};

/// One end that messages go to: an inbox on the way out, an originating system on the way back. Written as its queue is named:
/// `inbox.life-rooms`, `writeback.merseycare-rio`. It holds no address, and so no credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// Which side its lanes lead to.
    pub side: Side,
    /// The id of the inbox or of the originating system.
    pub to: String,
}

/// On which terms an endpoint is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Where it is; what is known of an endpoint at another address is no longer true. Empty where nothing is sent (a worklist).
    pub base_url: String,
    /// How long one request to it may take.
    pub timeout: Duration,
    /// When what failed is tried again, and when it is given up.
    pub retry: RetryPolicy,
    /// So many requests at once, delivering and polling together, in each process.
    pub concurrency: u16,
    /// At most so many messages and looks a second in each process; none is no limit.
    pub rate: Option<u32>,
    /// After an outage, what has waited is sent at so many messages a second.
    pub drain_rate: u32,
}

/// Not the name of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an endpoint: write inbox.ID or writeback.ID")]
pub struct NotADestination;

/// In flight at once, where nothing is said: enough for 160 a second at 100 ms each, few enough for a small server.
pub const CONCURRENCY_DEFAULT: u16 = 16;
/// Messages a second after an outage, where nothing is said.
pub const DRAIN_RATE_DEFAULT: u32 = 200;

impl Terms {
    /// Those of something that nothing is sent to.
    pub fn unlimited(retry: RetryPolicy) -> Self {
        Self {
            base_url: String::new(),
            timeout: Duration::ZERO,
            retry,
            concurrency: u16::MAX,
            rate: None,
            drain_rate: DRAIN_RATE_DEFAULT,
        }
    }
}

impl Destination {
    /// Of a side and an id.
    pub fn new(side: Side, to: impl Into<String>) -> Self {
        Self { side, to: to.into() }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.side {
            Side::Delivery => "inbox",
            Side::WriteBack => "writeback",
        };
        write!(f, "{kind}.{}", self.to)
    }
}

impl FromStr for Destination {
    type Err = NotADestination;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some(("inbox", to)) if !to.is_empty() => Ok(Self::new(Side::Delivery, to)),
            Some(("writeback", to)) if !to.is_empty() => Ok(Self::new(Side::WriteBack, to)),
            _ => Err(NotADestination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_its_queue_is_named() {
        for text in ["inbox.life-rooms", "writeback.merseycare-rio"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in ["life-rooms", "inbox.", "outbox.x", ""] {
            assert_eq!(text.parse::<Destination>(), Err(NotADestination), "{text}");
        }
    }
}
