//! DMTF's Open Virtualization Format: DSP0243, versions 0.9 to 2.x.
//!
//! A descriptor is an XML document: references to files, disks, networks, and one or more virtual systems whose
//! hardware is a list of CIM resource allocations (DSP0243 2.1.1, clause 8). Read here is what one machine needs;
//! of a package of several machines, the one that is chosen. Names of elements are matched whatever the version's
//! namespace, because 0.9 and the vendors disagree on them.

mod capacity;
mod config;
mod deployment;
mod document;
mod error;
mod hardware;
mod item;
mod references;
mod render;
mod sections;
mod storage;
mod systems;

pub use capacity::{MAX_CAPACITY, Unit};
pub use error::{Error, Result};
pub use references::{FileReference, VirtualDisk};
pub use render::render;

use crate::Parsed;
use crate::dialects::{Dialect, ParseError};
use document::Document;
use machine::{Loss, Machine, Severity};

/// The longest descriptor that is read, in bytes.
pub const MAX_SIZE: usize = 32 << 20;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "ovf",
    description: "an OVF descriptor",
    ending: "ovf",
    executable: false,
    recognise: |head| head.xml_root() == Some("Envelope"),
    parse: Some(|bytes| {
        let ParsedOvf { machine, losses, .. } = parse(bytes)?;
        Ok(Parsed { machine, losses })
    }),
    render: Some(render),
};

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}

/// An OVF descriptor that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedOvf {
    /// The machine. The sources of its disks and media are the `href`s of [`files`](Self::files).
    pub machine: Machine,
    /// What the descriptor says and the machine cannot hold.
    pub losses: Vec<Loss>,
    /// The files of the package (References, clause 7.1), in order.
    pub files: Vec<FileReference>,
    /// The disks that the descriptor declares (DiskSection, clause 9.1), in order.
    pub disks: Vec<VirtualDisk>,
    /// The deployment configuration that was taken (DeploymentOptionSection, clause 9.8).
    pub configuration: Option<String>,
    /// The identifier of the machine in the descriptor (`ovf:id` of its VirtualSystem, clause 7.2).
    pub id: Option<String>,
    /// How many machines the descriptor describes beside this one; [`files`](Self::files) and [`disks`](Self::disks) are
    /// without those that only they have.
    pub others: usize,
}

/// Reads an OVF descriptor that describes one machine.
///
/// # Errors
/// When the bytes are no such descriptor, when it contradicts itself, when it asks for something that it says is
/// required and that is not known here, or when it describes several machines.
pub fn parse(bytes: &[u8]) -> Result<ParsedOvf> {
    parse_machine(bytes, None)
}

/// Reads one machine of an OVF descriptor: of several (VirtualSystemCollection, clause 7.3) the one that is `wanted`, by its
/// identifier or its name.
///
/// # Errors
/// As for [`parse`], and [`Error::SeveralSystems`] or [`Error::NoSuchSystem`] with the names of all of them when there are
/// several and none, or one that is not there, is wanted.
pub fn parse_machine(bytes: &[u8], wanted: Option<&str>) -> Result<ParsedOvf> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let text = document::decode_xml(bytes)?;
    let tree = document::tree(&text)?;
    let document = Document::new(&tree)?;
    let mut losses = Vec::new();
    let mut files = references::files(&document, &mut losses)?;
    let (system, others) = systems::choose(&document, wanted)?;
    let properties = sections::properties(&document, system);
    let mut disks = references::disks(&document, &files, &properties, &mut losses)?;
    let configuration = deployment::default_configuration(&document, &mut losses);
    let mut machine = Machine::default();
    let context = hardware::Context {
        document: &document,
        files: &files,
        disks: &disks,
        properties: &properties,
        configuration: configuration.as_deref(),
    };
    hardware::read(&context, system, &mut machine, &mut losses)?;
    sections::read(&document, system, &mut machine, &mut losses)?;
    if others > 0 {
        systems::leave_others_alone(&machine, &mut files, &mut disks);
        let why = format!("the package holds {others} more, which are left alone");
        losses.push(Loss::dropped(Severity::Note, "VirtualSystemCollection", why));
    }
    let id = document::attribute(system, "id").map(str::to_owned);
    Ok(ParsedOvf { machine, losses, files, disks, configuration, id, others })
}
