//! Vagrant boxes: a tar archive, usually in a gzip stream, whose `metadata.json` says which hypervisor it is for
//! (Vagrant's documentation, "Box File Format", and that of each provider).
//!
//! A box is read where it is: its files are windows over the archive, and a gzip stream is sought in, not unpacked.

use super::chunks::TarGate;
use super::recognise::{Named, Source};
use super::tar::{self, Index, Member};
use super::{Error, Facts, Package, PackagedFile, Result, local, lone, ovf_package};
use crate::dialects::{self, Head};
use crate::ovf;
use crate::text::excerpt;
use block::{BlockRead, Window};
use image::{Gate, GateError, GateReason, GzipDisk};
use machine::{Disk, Loss, Severity};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// The kind of package.
pub(super) static SOURCE: Source = Source {
    name: "vagrant",
    description: "a Vagrant box (.box)",
    open: |named| recognise(named).transpose(),
};

/// The file that makes an archive a box.
const METADATA: &str = "metadata.json";
/// The longest such file, in bytes.
const MAX_METADATA: usize = 1 << 20;
/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 32 << 20;
/// What begins a gzip stream (RFC 1952, section 2.3.1).
const GZIP: &[u8] = b"\x1f\x8b\x08";

/// What a box says of itself.
#[derive(Debug, Deserialize)]
struct Metadata {
    provider: String,
    /// The images of a box for libvirt that has several.
    #[serde(default)]
    disks: Vec<Image>,
}

/// An image of a box for libvirt.
#[derive(Debug, Deserialize)]
struct Image {
    path: String,
}

/// A box that was found.
struct Found<'a> {
    named: &'a Named,
    archive: Arc<dyn BlockRead>,
    index: Index,
    metadata: Metadata,
}

/// The box; none when the file is no tar archive with a `metadata.json` that names a provider.
fn recognise(named: &Named) -> Result<Option<Package>> {
    let Some(archive) = archive(named)? else { return Ok(None) };
    // A damaged archive is told about by whoever takes it for something else.
    let Ok(index) = Index::read(archive.as_ref()) else { return Ok(None) };
    let Some(member) = index.find(METADATA) else { return Ok(None) };
    let bytes = read(named, &archive, member, MAX_METADATA)?;
    let metadata = serde_json::from_slice(&bytes)
        .map_err(|source| Error::Metadata { path: named.path.clone(), source })?;
    Found { named, archive, index, metadata }.open().map(Some)
}

/// The tar archive that the file is, or that is in it.
fn archive(named: &Named) -> Result<Option<Arc<dyn BlockRead>>> {
    if tar::is_tar(&named.head) {
        return Ok(Some(Arc::clone(&named.disk)));
    }
    let is_archive = |head: Vec<u8>| tar::is_tar(&head);
    if !named.head.starts_with(GZIP) || !GzipDisk::head(Arc::clone(&named.disk), 512).is_ok_and(is_archive) {
        return Ok(None);
    }
    let failed = |source| Error::Disk { disk: named.name.clone(), source: Box::new(source) };
    let disk = GzipDisk::open_at(Arc::clone(&named.disk), &named.path).map_err(failed)?;
    Ok(Some(Arc::new(disk)))
}

/// The whole of a member.
fn read(named: &Named, archive: &Arc<dyn BlockRead>, member: &Member, limit: usize) -> Result<Vec<u8>> {
    let window = Window::new(Arc::clone(archive), member.range.clone())
        .map_err(|source| Error::Read { file: member.name.clone(), source })?;
    named.bytes(&window, limit)
}

impl Found<'_> {
    fn open(self) -> Result<Package> {
        let provider = self.metadata.provider.clone();
        let path = self.named.path.clone();
        let mut package = match provider.as_str() {
            "virtualbox" => self.ovf()?,
            "libvirt" => self.images()?,
            "vmware_desktop" | "vmware_fusion" | "vmware_workstation" | "vmware" => {
                self.described(&["vmx"])?
            }
            "hyperv" => self.described(&["vmcx", "xml"])?,
            _ => return Err(Error::Provider { path, provider: excerpt(&provider, 40) }),
        };
        package.kind = SOURCE.name;
        let why =
            format!("it is a box for {provider}: what its Vagrantfile sets when it is started is not read");
        package.losses.push(Loss::dropped(Severity::Note, "Vagrantfile", why));
        Ok(package)
    }

    fn lacks(&self, missing: &'static str) -> Error {
        let provider = excerpt(&self.metadata.provider, 40);
        Error::BoxLacks { path: self.named.path.clone(), provider, missing }
    }

    /// The first member with one of those endings, in the order of the endings.
    fn member(&self, endings: &[&str]) -> Option<&Member> {
        let ends = |member: &&Member, ending: &str| {
            member.name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case(ending))
        };
        endings.iter().find_map(|ending| self.index.members().iter().find(|member| ends(member, ending)))
    }

    /// VirtualBox exports its machine as OVF, `box.ovf`.
    fn ovf(self) -> Result<Package> {
        let member = self.member(&["ovf"]).ok_or_else(|| self.lacks(".ovf file"))?;
        let name = member.name.clone();
        let bytes = read(self.named, &self.archive, member, ovf::MAX_SIZE)?;
        let parsed = ovf::parse(&bytes)
            .map_err(|source| Error::Ovf { path: self.named.path.join(&name), source: Box::new(source) })?;
        let path = &self.named.path;
        let gate = TarGate::new(self.archive, self.index, path.clone(), &name);
        let name = name.rsplit('/').next().unwrap_or(&name);
        ovf_package(SOURCE.name, path, name, parsed, Arc::new(gate))
    }

    /// libvirt's boxes hold `box.img`, or the images that `metadata.json` lists, and nothing of the machine.
    fn images(self) -> Result<Package> {
        let mut names: Vec<String> = self.metadata.disks.iter().map(|disk| disk.path.clone()).collect();
        if names.is_empty() {
            names.push("box.img".to_owned());
        }
        let path = self.named.path.clone();
        let Some(first) = names.first().filter(|name| self.index.find(name).is_some()) else {
            return Err(self.lacks("box.img"));
        };
        let gate: Arc<dyn Gate> = Arc::new(self.gate(String::new()));
        let mut package = lone::package(&path, first, Arc::clone(&gate))?;
        for name in names.iter().skip(1) {
            let number = package.machine.disks.len() + 1;
            let Some(like) = package.machine.disks.first().cloned() else { break };
            let mut attachment = like.attachment;
            attachment.unit =
                package.machine.disks.iter().map(|disk| disk.attachment.unit + 1).max().unwrap_or(0);
            package.machine.disks.push(Disk {
                id: format!("disk{number}"),
                attachment,
                source: Some(name.clone()),
                format: None,
                capacity: None,
                boot_order: None,
                ..like
            });
            let size = gate.open(name).ok().map(|disk| disk.size());
            package.facts.files.push(PackagedFile { name: name.clone(), size });
        }
        Ok(package)
    }

    /// A description in one of the dialects, with its disks somewhere in the box.
    fn described(self, endings: &[&str]) -> Result<Package> {
        let member = self.member(endings).ok_or_else(|| self.lacks("description of a machine"))?;
        let (name, path) = (member.name.clone(), self.named.path.clone());
        let bytes = read(self.named, &self.archive, member, MAX_DESCRIPTION)?;
        let text = super::recognise::text(bytes.get(..64 << 10).unwrap_or(&bytes));
        let dialect = dialects::recognise(&Head { bytes: &bytes, text: &text });
        let unrecognised = || Error::Unrecognised { path: path.join(&name) };
        let dialect = dialect.ok_or_else(unrecognised)?;
        let parse = dialect.parse.ok_or_else(unrecognised)?;
        let what = dialect.description;
        let parsed =
            parse(&bytes).map_err(|source| Error::Description { path: path.join(&name), what, source })?;
        let directory = name.rsplit_once('/').map(|(directory, _)| directory.to_owned()).unwrap_or_default();
        let gate: Arc<dyn Gate> = Arc::new(self.gate(directory));
        let sources = parsed.machine.disks.iter().filter_map(|disk| disk.source.clone());
        let files = sources
            .map(|name| PackagedFile { size: gate.open(&name).ok().map(|disk| disk.size()), name })
            .collect();
        let mut package = Package {
            kind: SOURCE.name,
            machine: parsed.machine,
            losses: parsed.losses,
            facts: Facts { path: path.clone(), files, ..Facts::default() },
            stored: Arc::clone(&gate),
            meant: gate,
            digests: None,
        };
        package.name_after(&path);
        Ok(package)
    }

    /// The gate to the members of the box, for a description in `directory`.
    fn gate(self, directory: String) -> BoxGate {
        BoxGate { archive: self.archive, index: self.index, path: self.named.path.clone(), directory }
    }
}

/// The gate to the members of a box: by the longest end of a name that is one, whatever host the name is of.
struct BoxGate {
    archive: Arc<dyn BlockRead>,
    index: Index,
    path: PathBuf,
    /// Where the description is.
    directory: String,
}

impl BoxGate {
    fn member(&self, name: &str) -> Option<&Member> {
        let parts = local::parts(name);
        if parts.contains(&"..") {
            return None;
        }
        (0..parts.len()).find_map(|skipped| {
            let end = parts.get(skipped..)?.join("/");
            let beside = format!("{}/{end}", self.directory);
            [beside, end].iter().find_map(|name| self.find(name.trim_start_matches('/')))
        })
    }

    /// A member whatever the case of its name: Windows does not tell.
    fn find(&self, name: &str) -> Option<&Member> {
        let like = || self.index.members().iter().find(|member| member.name.eq_ignore_ascii_case(name));
        self.index.find(name).or_else(like)
    }
}

impl Gate for BoxGate {
    fn open(&self, name: &str) -> std::result::Result<Arc<dyn BlockRead>, GateError> {
        let refuse = |reason| GateError::new(name, reason);
        if name.is_empty() || name.contains('\0') {
            return Err(refuse(GateReason::NotAName));
        }
        if let Some((protocol, _)) = name.split_once("://") {
            return Err(refuse(GateReason::Protocol { protocol: protocol.to_owned() }));
        }
        let member =
            self.member(name).ok_or_else(|| refuse(GateReason::Missing { root: self.path.clone() }))?;
        let window = Window::new(Arc::clone(&self.archive), member.range.clone())
            .map_err(|error| refuse(GateReason::Unreadable(error)))?;
        Ok(Arc::new(window))
    }

    fn describe(&self, name: &str) -> PathBuf {
        self.path.join(self.member(name).map_or(name, |member| member.name.as_str()))
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let names = self.index.members().iter().filter_map(|member| {
            let rest = member.name.strip_prefix(&prefix)?;
            (!rest.contains('/')).then(|| member.name.clone())
        });
        names.collect()
    }
}
