//! The connections to one export: as many as there are requests at once, up to a few.

use super::Geometry;
use super::connection::Connection;
use crate::error::{Error, Result};
use crate::protocol::flag;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many connections are open at most.
const MAX_CONNECTIONS: usize = 4;
/// How long the server may take over the negotiation of a further connection. Some servers promise several
/// connections and then serve one after the other: those are left alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections to one export.
pub(super) struct Pool {
    path: PathBuf,
    export: String,
    geometry: Geometry,
    state: Mutex<State>,
    /// A connection came back or went away.
    changed: Condvar,
}

struct State {
    idle: Vec<Connection>,
    /// How many there are, idle or not.
    open: usize,
    /// How many there may be.
    limit: usize,
}

impl Pool {
    /// Makes the first connection.
    pub(super) fn connect(path: &Path, export: &str) -> Result<(Self, Geometry)> {
        let (connection, geometry) = Connection::open(path, export, None)?;
        let limit = if geometry.has(flag::CAN_MULTI_CONN) { MAX_CONNECTIONS } else { 1 };
        let pool = Self {
            path: path.to_path_buf(),
            export: export.to_owned(),
            geometry,
            state: Mutex::new(State { idle: vec![connection], open: 1, limit }),
            changed: Condvar::new(),
        };
        Ok((pool, geometry))
    }

    /// Lends a connection for one request.
    pub(super) fn with<T>(&self, request: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut loan = Loan { pool: self, connection: Some(self.take()?) };
        let Some(connection) = &mut loan.connection else {
            return Err(Error::Protocol { reason: "no connection" });
        };
        let result = request(connection);
        // After anything but a refusal in good order, nobody knows what comes next on this connection.
        if matches!(&result, Err(error) if !matches!(error, Error::Request { .. })) {
            loan.connection = None;
        }
        result
    }

    /// An idle connection, a new one, or, when there may be no more, the next that comes back.
    fn take(&self) -> Result<Connection> {
        let mut state = self.state();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.open >= state.limit {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let patience = (state.open > 0).then_some(PATIENCE);
            state.open += 1;
            drop(state);
            let opened = self.open_another(patience);
            match opened {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    state = self.state();
                    state.open -= 1;
                    if state.open == 0 {
                        return Err(error);
                    }
                    // What works is enough.
                    state.limit = state.open;
                }
            }
        }
    }

    fn open_another(&self, patience: Option<Duration>) -> Result<Connection> {
        let (connection, geometry) = Connection::open(&self.path, &self.export, patience)?;
        if geometry != self.geometry {
            return Err(Error::Protocol { reason: "the export is another one now" });
        }
        Ok(connection)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for connection in std::mem::take(&mut self.state().idle) {
            connection.close();
        }
    }
}

/// A connection that comes back, if it is still there, when this is dropped.
struct Loan<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        match self.connection.take() {
            Some(connection) if !std::thread::panicking() => state.idle.push(connection),
            _ => state.open -= 1,
        }
        drop(state);
        self.pool.changed.notify_one();
    }
}
