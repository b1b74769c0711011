//! Making one connection, bounded in time.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{AsyncTcpStream, Connection, ConnectionProperties, tcp::OwnedTLSConfig, uri::AMQPScheme};
use tokio::time::timeout;

use super::address::Address;
use crate::resolve::Resolver;

const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A second handle on a connection's socket. lapin runs a thread for each connection that ends only with the socket: a
/// broker that accepts and never speaks would leave one behind at every try.
#[derive(Clone, Default)]
pub(super) struct Fuse(Arc<Mutex<FuseState>>);

#[derive(Default)]
struct FuseState {
    blown: bool,
    socket: Option<TcpStream>,
}

/// Cuts off what did not become a connection.
struct BlowOnDrop(Option<Fuse>);

/// Connects to one node: TCP, TLS and AMQP's greeting within `limit`. The error is in words fit for the health page.
pub(super) async fn connect(
    address: &Address,
    name: &str,
    ca_pem: Option<String>,
    resolver: &Resolver,
    limit: Duration,
) -> Result<(Connection, Fuse), String> {
    let mut failing = BlowOnDrop(Some(Fuse::default()));
    let fuse = failing.0.clone().unwrap_or_default();
    let resolver = resolver.clone();
    let runtime = lapin::runtime::default_runtime().map_err(|error| error.to_string())?;
    // lapin's own recovery stays off. It gives up after 16 tries, fails every publish meanwhile, replays consumers whose
    // queue is gone and does not repair channels; what must be rebuilt anyway is rebuilt in one way only.
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        address.uri(),
        runtime,
        async move |uri, runtime| {
            let resolver = &resolver;
            let tls = OwnedTLSConfig { cert_chain: ca_pem.clone(), ..Default::default() };
            // lapin's own `connection_timeout` has no effect on its asynchronous connections, and it would look the name up
            // without any
            let reach = async {
                let (host, port) = (&uri.authority.host, uri.authority.port);
                let found = resolver.resolve(host).await?;
                let found: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
                let stream = AsyncTcpStream::connect(&runtime, found).await?;
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => stream.into_tls(host, tls.as_ref()).await,
                }
            };
            let reached = timeout(limit, reach).await;
            let reached = reached.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let socket = match &reached {
                AsyncTcpStream::Plain(socket) => socket.get_ref().as_fd().try_clone_to_owned(),
                AsyncTcpStream::Rustls(tls) => tls.get_ref().0.get_ref().as_fd().try_clone_to_owned(),
                _ => return Ok(reached),
            };
            fuse.arm(TcpStream::from(socket?));
            Ok(reached)
        },
        properties,
    );
    match timeout(limit, connecting).await {
        Ok(Ok(connection)) => Ok((connection, failing.0.take().unwrap_or_default())),
        Ok(Err(error)) => Err(address.redact(&error.to_string())),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
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
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.socket = Some(socket);
        // the socket may come only after its connection was given up
        if state.blown {
            state.blow();
        }
    }

    /// Cuts the connection off, whatever state it is in.
    fn blow(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).blow();
    }
}

impl FuseState {
    fn blow(&mut self) {
        self.blown = true;
        if let Some(socket) = self.socket.take() {
            // an error says that it was closed already
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for BlowOnDrop {
    fn drop(&mut self) {
        if let Some(fuse) = &self.0 {
            fuse.blow();
        }
    }
}
