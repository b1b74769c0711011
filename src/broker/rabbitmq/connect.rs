//! Making one connection, bounded in time.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    tcp::{AMQPUriTcpExt, OwnedTLSConfig},
};
use tokio::time::timeout;

use super::address::Address;

/// TCP and TLS. lapin's own `connection_timeout` has no effect on its asynchronous connections.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);
/// All of it, AMQP's greeting included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A second handle on a connection's socket. lapin runs a thread for each connection that ends only with the socket: a
/// broker that accepts and never speaks would leave one behind at every try.
#[derive(Clone, Default)]
pub(super) struct Fuse(Arc<Mutex<Option<TcpStream>>>);

/// Connects to one node. The error is in words fit for the health page.
pub(super) async fn connect(
    address: &Address,
    name: &str,
    ca_pem: Option<String>,
) -> Result<(Connection, Fuse), String> {
    let fuse = Fuse::default();
    let stream = fuse.clone();
    let runtime = lapin::runtime::default_runtime().map_err(|error| error.to_string())?;
    // lapin's own recovery stays off. It gives up after 16 tries, fails every publish meanwhile, replays consumers whose
    // queue is gone and does not repair channels; what must be rebuilt anyway is rebuilt in one way only.
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        address.uri(),
        runtime,
        async move |uri, runtime| {
            let tls = OwnedTLSConfig { cert_chain: ca_pem.clone(), ..Default::default() };
            let reached = timeout(REACH_TIMEOUT, uri.connect_with_config_async(tls.as_ref(), &runtime)).await;
            let reached = reached.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let socket = match &reached {
                AsyncTcpStream::Plain(socket) => socket.get_ref().as_fd().try_clone_to_owned(),
                AsyncTcpStream::Rustls(tls) => tls.get_ref().0.get_ref().as_fd().try_clone_to_owned(),
                _ => return Ok(reached),
            };
            stream.arm(TcpStream::from(socket?));
            Ok(reached)
        },
        properties,
    );
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok((connection, fuse)),
        Ok(Err(error)) => {
            fuse.blow();
            Err(address.redact(&error.to_string()))
        }
        Err(_) => {
            fuse.blow();
            Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
        }
    }
}

/// Ends a connection, politely if it can still speak.
pub(super) async fn close(connection: &Connection, fuse: &Fuse) {
    if connection.status().connected() {
        let _ = timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await;
    }
    fuse.blow();
}

impl Fuse {
    fn arm(&self, socket: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    /// Cuts the connection off, whatever state it is in.
    fn blow(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // an error says that it was closed already
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
