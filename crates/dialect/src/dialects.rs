//! The ways to write a virtual machine down: [`DIALECTS`].

use crate::{Parsed, RenderError, RenderOptions, Rendered};
use machine::Machine;
use profile::Profile;
use std::error::Error;
use std::fmt;

/// A way to write a virtual machine down in one file.
#[derive(Debug)]
pub struct Dialect {
    /// Its name on the command line: `vmx`.
    pub name: &'static str,
    /// Its name for people, with an article: `a VMware configuration (.vmx)`.
    pub description: &'static str,
    /// The ending of its files, without a dot. [`file_name`](Self::file_name) has the whole name.
    pub ending: &'static str,
    /// Whether its files are programs.
    pub executable: bool,
    /// Whether a file is written so, by what it holds. Names decide nothing here.
    pub recognise: fn(head: &Head<'_>) -> bool,
    /// Reads a whole file; `None` for what is only written.
    pub parse: Option<Parse>,
    /// Writes a file; `None` for what is only read.
    pub render: Option<Render>,
}

/// Reads the whole of a description.
pub type Parse = fn(bytes: &[u8]) -> Result<Parsed, ParseError>;

/// Why a description could not be read. Every dialect has its own reasons; each says where, and what to do.
#[derive(Debug)]
pub struct ParseError {
    reason: Box<dyn Error + Send + Sync>,
    remedy: &'static str,
}

impl ParseError {
    /// A dialect's own error, with what the user can do about it.
    pub fn new(reason: impl Error + Send + Sync + 'static, remedy: &'static str) -> Self {
        Self { reason: Box::new(reason), remedy }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        self.remedy
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for ParseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

/// Writes a description of a machine that is on the profile's hardware already.
pub type Render = fn(&Machine, &Profile, &RenderOptions) -> Result<Rendered, RenderError>;

/// The beginning of a file.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its first bytes: all of a small file, the first 64 KiB of another.
    pub bytes: &'a [u8],
    /// Its first bytes as text, whatever the encoding made of them.
    pub text: &'a str,
}

impl Head<'_> {
    /// The local name of an XML document's first element; `None` when it is no XML.
    pub fn xml_root(&self) -> Option<&str> {
        let mut rest = self.text.trim_start_matches('\u{feff}').trim_start();
        loop {
            rest = rest.strip_prefix('<')?;
            let end = if rest.starts_with("!--") { "-->" } else { ">" };
            if !rest.starts_with(['?', '!']) {
                let name = rest.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next()?;
                return Some(name.rsplit(':').next().unwrap_or(name));
            }
            rest = rest.split_once(end)?.1.trim_start();
        }
    }
}

/// Every dialect, in the order in which they are listed and tried.
pub static DIALECTS: &[&Dialect] = &[
    &crate::vmx::DIALECT,
    &crate::ovf::DIALECT,
    &crate::vbox::DIALECT,
    &crate::kubevirt::DIALECT,
    &crate::openstack::DIALECT,
    &crate::openstack::UPLOAD,
    &crate::libvirt::DIALECT,
    &crate::xl::DIALECT,
    &crate::xva::DIALECT,
    &crate::qemu_script::DIALECT,
    &crate::hyperv::VMCX,
    &crate::hyperv::XML,
    &crate::hyperv::POWERSHELL,
    &crate::hyperv::JSON,
    &crate::proxmox::DIALECT,
    &crate::proxmox::IMPORT,
];

/// The dialect of that name.
pub fn by_name(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.name == name)
}

/// The dialect in which a file is written that can also be read.
pub fn recognise(head: &Head<'_>) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.parse.is_some() && (dialect.recognise)(head))
}

impl Dialect {
    /// The name of a file that describes the machine with that stem: `web.vmx`.
    pub fn file_name(&self, stem: &str) -> String {
        format!("{stem}.{}", self.ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_xml_is_found_behind_what_may_precede_it() {
        let root = |text: &str| Head { bytes: text.as_bytes(), text }.xml_root().map(str::to_owned);
        assert_eq!(
            root("<?xml version='1.0'?>\n<!-- a > b -->\n<a:Envelope x='1'>").as_deref(),
            Some("Envelope")
        );
        assert_eq!(root("\u{feff}<domain/>").as_deref(), Some("domain"));
        assert_eq!(root("<!DOCTYPE x><y>").as_deref(), Some("y"));
        for none in ["", "name = 1", "<?xml", "<!-- "] {
            assert_eq!(root(none), None, "{none}");
        }
    }

    #[test]
    fn names_are_plain_and_different() {
        for (index, dialect) in DIALECTS.iter().enumerate() {
            assert!(dialect.parse.is_some() || dialect.render.is_some(), "{}", dialect.name);
            assert!(DIALECTS.iter().skip(index + 1).all(|other| other.name != dialect.name));
        }
    }
}
