//! Serve a disk over NBD, and use a remote export as one.
