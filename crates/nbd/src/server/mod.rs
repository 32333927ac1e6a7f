//! Several named disks on one socket.

mod budget;
mod connection;
mod handshake;
mod transmission;
mod transport;

use crate::error::{Error, Result};
use crate::protocol::MAX_STRING;
use block::{BlockRead, BlockWrite};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle};
use transport::Transport;

/// How many connections are served at once. More are closed unanswered.
const MAX_CONNECTIONS: usize = 64;

/// A disk to serve.
#[derive(Clone)]
pub enum Export {
    /// Clients can only read it.
    ReadOnly(Arc<dyn BlockRead>),
    /// Clients can also write it.
    Writable(Arc<dyn BlockWrite>),
}

impl Export {
    fn disk(&self) -> &dyn BlockRead {
        match self {
            Self::ReadOnly(disk) => &**disk,
            Self::Writable(disk) => &**disk,
        }
    }

    fn writable(&self) -> Option<&dyn BlockWrite> {
        match self {
            Self::ReadOnly(_) => None,
            Self::Writable(disk) => Some(&**disk),
        }
    }
}

/// A disk that is served, and what went wrong with it.
struct Served {
    name: String,
    export: Export,
    first_error: OnceLock<Arc<block::Error>>,
}

type Exports = BTreeMap<String, Arc<Served>>;

/// Disks by name, to be served on a socket.
///
/// ```no_run
/// # use std::sync::Arc;
/// # fn main() -> nbd::Result<()> {
/// let disk = Arc::new(block::MemoryDisk::new(1 << 30));
/// let running = nbd::Server::new().export("disk", nbd::Export::Writable(disk)).listen("/run/example/nbd.sock")?;
/// // qemu-system-x86_64 -blockdev driver=nbd,server.type=unix,server.path=/run/example/nbd.sock,export=disk,...
/// drop(running);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Server {
    exports: Exports,
}

impl Server {
    /// A server without exports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an export. A later one of the same name takes the place of the earlier.
    #[must_use]
    pub fn export(mut self, name: impl Into<String>, export: Export) -> Self {
        let name = name.into();
        let served = Served { name: name.clone(), export, first_error: OnceLock::new() };
        self.exports.insert(name, Arc::new(served));
        self
    }

    /// Serves on a new socket at `path`, until the [`Running`] is dropped.
    ///
    /// The socket is for its owner only; but as it exists for a moment before its mode is set, it belongs into a
    /// directory that nobody else may enter.
    ///
    /// # Errors
    /// [`Error::Socket`] when the socket cannot be made, for instance because `path` exists or is longer than
    /// a socket's may be (107 bytes); [`Error::NameTooLong`].
    pub fn listen(self, path: impl AsRef<Path>) -> Result<Running> {
        let path = path.as_ref().to_path_buf();
        self.check_names()?;
        let socket = |operation, source| Error::Socket { operation, path: path.clone(), source };
        let listener = UnixListener::bind(&path).map_err(|source| socket("bind", source))?;
        let private = std::fs::set_permissions(&path, Permissions::from_mode(0o600));
        private.and_then(|()| self.accept_on(Listener::Unix(listener, path.clone()))).map_err(|source| {
            remove(&path);
            socket("serve on", source)
        })
    }

    /// Serves on a TCP port of this machine's loopback address (IPv4), until the [`Running`] is dropped. Port 0 is any
    /// that is free: [`Running::address`] says which.
    ///
    /// Every user of this machine can connect: there is no TLS, and no password.
    ///
    /// # Errors
    /// [`Error::Port`] when the port cannot be had; [`Error::NameTooLong`].
    pub fn listen_on_loopback(self, port: u16) -> Result<Running> {
        self.check_names()?;
        let refused = |source| Error::Port { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        self.accept_on(Listener::Tcp(listener)).map_err(refused)
    }

    fn check_names(&self) -> Result<()> {
        let long = self.exports.keys().find(|name| name.len() > MAX_STRING);
        long.map_or(Ok(()), |name| Err(Error::NameTooLong { length: name.len() }))
    }

    fn accept_on(self, listener: Listener) -> io::Result<Running> {
        let (shared, exports) = (Arc::new(Shared::default()), Arc::new(self.exports));
        let accepting = {
            let (listener, shared, exports) = (listener.try_clone()?, shared.clone(), exports.clone());
            Builder::new()
                .name("nbd-accept".to_owned())
                .spawn(move || accept(&listener, &shared, &exports))?
        };
        Ok(Running { listener, shared, exports, accepting: Some(accepting) })
    }

    /// Serves one peer that is already connected, until it leaves.
    pub fn serve(&self, stream: &UnixStream) {
        connection::serve(stream, &self.exports);
    }
}

/// Where connections come in.
enum Listener {
    /// A Unix socket, and where it lies.
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Unix(listener, path) => Self::Unix(listener.try_clone()?, path.clone()),
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
        })
    }

    /// Waits for the next connection.
    fn accept(&self) -> io::Result<Arc<dyn Transport>> {
        Ok(match self {
            Self::Unix(listener, _) => Arc::new(listener.accept()?.0),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // A reply is sent whole: waiting for more of it would only cost time.
                stream.set_nodelay(true)?;
                Arc::new(stream)
            }
        })
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// A server at work. Dropping it ends every connection, waits for what is being served at the moment, and removes the
/// socket.
pub struct Running {
    listener: Listener,
    shared: Arc<Shared>,
    exports: Arc<Exports>,
    accepting: Option<JoinHandle<()>>,
}

impl Running {
    /// Where the socket lies; an empty path when it is a TCP port.
    pub fn path(&self) -> &Path {
        match &self.listener {
            Listener::Unix(_, path) => path,
            Listener::Tcp(_) => Path::new(""),
        }
    }

    /// The address and port, when it is a TCP port.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Unix(..) => None,
            Listener::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    /// The first error that the disk behind an export gave; `None` while there was none, or when there is no such
    /// export.
    ///
    /// A client learns no more than `EIO` of it, and QEMU tells its user no more than that.
    pub fn first_error(&self, export: &str) -> Option<Arc<block::Error>> {
        self.exports.get(export)?.first_error.get().cloned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // On Linux, shutting a listening socket down ends a blocked accept.
        if let Err(errno) = rustix::net::shutdown(self.listener.as_fd(), rustix::net::Shutdown::Both) {
            tracing::warn!(%errno, "cannot shut the listening socket down");
        }
        if let Some(Err(_)) = self.accepting.take().map(JoinHandle::join) {
            tracing::error!("the accepting thread panicked");
        }
        for peer in std::mem::take(&mut *self.shared.peers()) {
            peer.stream.close();
            peer.join();
        }
        if let Listener::Unix(_, path) = &self.listener {
            remove(path);
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove the socket");
    }
}

/// What the accepting thread and the owner share.
#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    peers: Mutex<Vec<Peer>>,
}

impl Shared {
    fn peers(&self) -> MutexGuard<'_, Vec<Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connected client.
struct Peer {
    stream: Arc<dyn Transport>,
    thread: JoinHandle<()>,
}

impl Peer {
    fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a thread that served a connection panicked");
        }
    }
}

/// Accepts connections until told to stop.
fn accept(listener: &Listener, shared: &Shared, exports: &Arc<Exports>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        match accepted {
            Ok(stream) => admit(stream, shared, exports),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Most likely out of file descriptors; trying at once would only burn time.
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
    }
}

/// Gives a connection a thread of its own, unless there are too many.
fn admit(stream: Arc<dyn Transport>, shared: &Shared, exports: &Arc<Exports>) {
    let mut peers = shared.peers();
    for finished in peers.extract_if(.., |peer| peer.thread.is_finished()) {
        finished.join();
    }
    if peers.len() >= MAX_CONNECTIONS {
        tracing::warn!("too many connections: one more is closed");
        return;
    }
    let serving = {
        let (stream, exports) = (stream.clone(), exports.clone());
        move || {
            connection::serve(stream.as_ref(), &exports);
            // The owner's handle keeps the socket open: tell the client that this is the end.
            stream.close();
        }
    };
    match Builder::new().name("nbd".to_owned()).spawn(serving) {
        Ok(thread) => peers.push(Peer { stream, thread }),
        Err(error) => tracing::warn!(%error, "no thread for a connection"),
    }
}
