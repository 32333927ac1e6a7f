//! Virtual-disk formats and the copy engine.
