//! The support matrix: which vendor supports which guest system on which hypervisor, and what was seen here.
//!
//! The statements are data below `support/` in the project, each with its source; [`Matrix::builtin`] is what comes with
//! the program. [`Matrix::answer`] puts those together that bear on one guest and one place. It is pure, and knows three
//! kinds of answer beside "not supported": supported, supported with conditions, and unknown, which is no judgement.

mod answer;
mod check;
mod evidence;
mod matrix;
mod statement;
mod system;
mod version;

pub use answer::{Answer, Stated};
pub use evidence::Seen;
pub use matrix::{DataError, Matrix};
pub use statement::{Guest, Host, NamedVersion, Source, Statement, Verdict};
pub use system::{Place, System, UnknownName};
