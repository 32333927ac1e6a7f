//! What carries a connection: [`Transport`], a Unix or a TCP socket.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// A connected socket. Both directions can be used at once.
pub(super) trait Transport: Send + Sync {
    /// Receives into `buf`; answers how much, 0 at the end.
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// Sends some of `parts`; answers how much.
    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends both directions, also for whoever waits in one of them.
    fn close(&self);
}

impl Transport for UnixStream {
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut stream = self;
        stream.read(buf)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut stream = self;
        stream.write_vectored(parts)
    }

    fn close(&self) {
        // It fails only when the peer was faster.
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Transport for TcpStream {
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut stream = self;
        stream.read(buf)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut stream = self;
        stream.write_vectored(parts)
    }

    fn close(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// A transport as a reader and a writer.
#[derive(Clone, Copy)]
pub(super) struct Channel<'a>(pub(super) &'a dyn Transport);

impl Read for Channel<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buf)
    }
}

impl Write for Channel<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
