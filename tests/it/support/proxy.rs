//! A TCP proxy that lets connections come to grief: between Onward and a server that has no faults of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What becomes of connections and of what they carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Everything goes through.
    Through,
    /// New connections are closed at once, nothing is forwarded.
    Refuse,
    /// Every answer comes this much later.
    Delay(Duration),
    /// Nothing goes either way until another mode is set; what came meanwhile is not lost.
    Hold,
    /// Whatever comes vanishes, either way, and no connection ends: the other end of the line is gone and nobody says so.
    Swallow,
    /// The same with requests alone: nobody acts on them.
    SwallowRequests,
    /// The same with answers alone: requests are acted on.
    SwallowAnswers,
    /// The request is forwarded and acted on; with this chance the connection is closed when its answer comes.
    CutAnswers(f64),
}

/// See the module's documentation. Ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    target: Mutex<SocketAddr>,
    mode: Mutex<Mode>,
    connections: Mutex<CancellationToken>,
    dice: Mutex<fastrand::Rng>,
    cut: AtomicUsize,
    held: AtomicUsize,
    made: AtomicUsize,
}

impl Proxy {
    /// One in front of `target`; the same seed gives the same dice.
    pub async fn start(target: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dice = Mutex::new(fastrand::Rng::with_seed(seed));
        let shared = Shared {
            target: Mutex::new(target),
            mode: Mutex::new(Mode::Through),
            connections: Mutex::default(),
            dice,
            cut: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
        };
        let shared = Arc::new(shared);
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, Arc::clone(&shared))));
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// New connections lead there from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap() = target;
    }

    /// Ends all connections there are. One on which something has vanished must end: what comes after a gap is not what was sent.
    pub fn cut_all(&self) {
        let connections = std::mem::take(&mut *self.shared.connections.lock().unwrap());
        connections.cancel();
    }

    /// How many times something has been held or has vanished.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }

    /// How many connections were made.
    pub fn made(&self) -> usize {
        self.shared.made.load(Ordering::Relaxed)
    }

    /// How many connections it has cut.
    pub fn cut(&self) -> usize {
        self.shared.cut.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        if *shared.mode.lock().unwrap() == Mode::Refuse {
            continue;
        }
        shared.made.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        let cut = shared.connections.lock().unwrap().clone();
        tokio::spawn(cut.run_until_cancelled_owned(async move {
            let target = *shared.target.lock().unwrap();
            let Ok(far) = TcpStream::connect(target).await else { return };
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            // whichever ends first ends both: a cut answer closes the request's side, too
            tokio::select! {
                () = forward(near_in, far_out, &shared, false) => {}
                () = forward(far_in, near_out, &shared, true) => {}
            }
        }));
    }
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, shared: &Shared, answers: bool) {
    let mode = || *shared.mode.lock().unwrap();
    let swallows = || match mode() {
        Mode::Swallow => true,
        Mode::SwallowRequests => !answers,
        Mode::SwallowAnswers => answers,
        _ => false,
    };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if mode() == Mode::Hold || swallows() {
            shared.held.fetch_add(1, Ordering::Relaxed);
        }
        while mode() == Mode::Hold {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if swallows() {
            match read {
                Ok(1..) => continue,
                // not even that one end is gone is told to the other
                _ => return std::future::pending().await,
            }
        }
        let Ok(n @ 1..) = read else { return };
        if answers {
            match mode() {
                Mode::Delay(by) => tokio::time::sleep(by).await,
                Mode::CutAnswers(chance) if shared.dice.lock().unwrap().f64() < chance => {
                    shared.cut.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                _ => {}
            }
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
