//! Tells the service manager how things are (`sd_notify(3)`), where one listens: in the socket that `NOTIFY_SOCKET` names.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

/// The one who started this process, if it wants to be told.
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    /// It ends a process that is silent for longer.
    patience: Option<Duration>,
}

impl Manager {
    pub(super) fn of_process() -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().and_then(|path| {
            let connected = connect(&path);
            connected.inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told")).ok()
        });
        let meant = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let patience =
            std::env::var("WATCHDOG_USEC").ok().and_then(|usec| usec.parse().ok()).map(Duration::from_micros);
        Self { socket, patience: patience.filter(|patience| meant && !patience.is_zero()) }
    }

    /// Says one thing, such as `READY=1`. Nobody waits for an answer.
    pub(super) fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(what.as_bytes())
        {
            tracing::debug!(%error, what, "the service manager was not told");
        }
    }

    /// Says that it lives for as long as it does: from a task like those that do the work, so that what holds all of them up
    /// silences it. Never returns.
    pub(super) async fn keep_watching(&self) {
        let Some(patience) = self.patience else { return std::future::pending().await };
        let mut every = tokio::time::interval(patience / 3);
        loop {
            every.tick().await;
            self.tell("WATCHDOG=1");
        }
    }
}

/// A path, or a name in the abstract space behind `@`.
fn connect(to: &str) -> io::Result<UnixDatagram> {
    let address = match to.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
