//! What a path leads to, by its contents.

use super::chunks::TarGate;
use super::tar::{self, Index};
use super::{DirectoryGate, Error, Facts, Kind, Package, PackagedFile, Result, lone, ovf_package};
use crate::{ovf, vmx};
use block::BlockRead;
use image::Gate;
use machine::{Loss, Severity};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a file is looked at to recognise it, in bytes.
const HEAD: u64 = 64 << 10;

/// A file that the user named.
struct Named {
    path: PathBuf,
    /// Its name in its directory.
    name: String,
    gate: Arc<dyn Gate>,
    disk: Arc<dyn BlockRead>,
    head: Vec<u8>,
}

pub(super) fn open(path: &Path) -> Result<Package> {
    if path.is_dir() {
        return Err(Error::Directory { path: path.to_path_buf() });
    }
    let refused = |source| Error::Path { path: path.to_path_buf(), source };
    let (gate, name) = DirectoryGate::for_file(path).map_err(refused)?;
    let disk = gate.open(&name).map_err(refused)?;
    let mut head = vec![0; usize::try_from(disk.size().min(HEAD)).unwrap_or(0)];
    disk.read_at(&mut head, 0).map_err(|source| Error::Read { file: name.clone(), source })?;
    let named = Named { path: path.to_path_buf(), name, gate: Arc::new(gate), disk, head };
    if tar::is_tar(&named.head) {
        return named.ova();
    }
    if let Some(package) = named.image()? {
        return Ok(package);
    }
    match named.extension().as_str() {
        "vmx" => named.vmx(),
        "ovf" => named.ovf(),
        "ova" => named.ova(),
        _ if named.looks_like_xml() => named.ovf(),
        _ if named.looks_like_vmx() => named.vmx(),
        "raw" | "img" | "dd" | "bin" if named.disk.size() > 0 => {
            lone::package(&named.path, &named.name, named.gate)
        }
        _ => Err(Error::Unrecognised { path: named.path }),
    }
}

impl Named {
    fn extension(&self) -> String {
        self.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
    }

    fn looks_like_xml(&self) -> bool {
        let utf_16 = self.head.starts_with(&[0xff, 0xfe]) || self.head.starts_with(&[0xfe, 0xff]);
        let head = self.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.head);
        utf_16 || head.trim_ascii_start().starts_with(b"<")
    }

    fn looks_like_vmx(&self) -> bool {
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        head.lines().any(|line| {
            let key = line.split('=').next().unwrap_or_default().trim();
            matches!(key, "config.version" | "virtualhw.version")
        })
    }

    /// A machine of a disk image alone; none when the file is no image, or raw, which everything is.
    fn image(&self) -> Result<Option<Package>> {
        let probe = image::probe(self.disk.as_ref())
            .map_err(|source| Error::Read { file: self.name.clone(), source })?;
        let whole_archive =
            ["ova", "tgz"].contains(&self.extension().as_str()) || self.name.ends_with(".tar.gz");
        if probe.gzip && whole_archive {
            return Err(Error::Compressed { path: self.path.clone(), compression: "gzip" });
        }
        match probe.format.name {
            "raw" if !probe.gzip => Ok(None),
            "zip" | "7z" | "xz" | "bzip2" | "zstd" | "lz4" => {
                Err(Error::Compressed { path: self.path.clone(), compression: probe.format.name })
            }
            _ if probe.gzip || probe.format.is_readable() => {
                lone::package(&self.path, &self.name, Arc::clone(&self.gate)).map(Some)
            }
            _ => Err(Error::UnsupportedImage { path: self.path.clone(), format: probe.format.description }),
        }
    }

    /// The whole file, when it is no longer than a description may be.
    fn bytes(&self, disk: &dyn BlockRead, limit: usize) -> Result<Vec<u8>> {
        let size = disk.size();
        let length = usize::try_from(size).ok().filter(|&length| length <= limit);
        let length = length.ok_or_else(|| Error::TooLarge { path: self.path.clone(), size })?;
        let mut bytes = vec![0; length];
        disk.read_at(&mut bytes, 0).map_err(|source| Error::Read { file: self.name.clone(), source })?;
        Ok(bytes)
    }

    fn vmx(self) -> Result<Package> {
        let bytes = self.bytes(self.disk.as_ref(), vmx::MAX_SIZE)?;
        let parsed = vmx::parse(&bytes).map_err(|source| Error::Vmx { path: self.path.clone(), source })?;
        let files = parsed
            .machine
            .disks
            .iter()
            .filter_map(|disk| disk.source.clone())
            .map(|name| PackagedFile { size: self.gate.open(&name).ok().map(|disk| disk.size()), name })
            .collect();
        let mut package = Package {
            kind: Kind::Vmx,
            machine: parsed.machine,
            losses: parsed.losses,
            facts: Facts { path: self.path.clone(), files, ..Facts::default() },
            stored: Arc::clone(&self.gate),
            meant: self.gate,
            manifest: None,
        };
        package.name_after(&self.path);
        Ok(package)
    }

    fn ovf(self) -> Result<Package> {
        let bytes = self.bytes(self.disk.as_ref(), ovf::MAX_SIZE)?;
        let parsed = ovf::parse(&bytes)
            .map_err(|source| Error::Ovf { path: self.path.clone(), source: Box::new(source) })?;
        ovf_package(Kind::Ovf, &self.path, &self.name, parsed, self.gate)
    }

    fn ova(self) -> Result<Package> {
        let refused = |source| Error::Tar { path: self.path.clone(), source };
        let index = Index::read(self.disk.as_ref()).map_err(refused)?;
        let descriptor = self.descriptor(&index)?;
        let range = descriptor.range.clone();
        let descriptor = descriptor.name.clone();
        let window = block::Window::new(Arc::clone(&self.disk), range)
            .map_err(|source| Error::Read { file: descriptor.clone(), source })?;
        let bytes = self.bytes(&window, ovf::MAX_SIZE)?;
        let parsed = ovf::parse(&bytes)
            .map_err(|source| Error::Ovf { path: self.path.join(&descriptor), source: Box::new(source) })?;
        let terminated = index.terminated;
        let gate = TarGate::new(Arc::clone(&self.disk), index, self.path.clone(), &descriptor);
        // Names are relative to the descriptor, so its own is too.
        let name = descriptor.rsplit('/').next().unwrap_or(&descriptor);
        let mut package = ovf_package(Kind::Ova, &self.path, name, parsed, Arc::new(gate))?;
        if !terminated {
            let why = "the archive has no end mark: files may be missing after the last";
            package.losses.push(Loss::dropped(Severity::Warning, self.name, why));
        }
        Ok(package)
    }

    /// The only descriptor of an archive.
    fn descriptor<'a>(&self, index: &'a Index) -> Result<&'a tar::Member> {
        let is_descriptor = |member: &&tar::Member| member.name.to_ascii_lowercase().ends_with(".ovf");
        let found: Vec<&tar::Member> = index.members().iter().filter(is_descriptor).collect();
        match found.as_slice() {
            [] => Err(Error::NoDescriptor { path: self.path.clone(), members: index.members().len() }),
            [one] => Ok(*one),
            several => Err(Error::SeveralDescriptors {
                path: self.path.clone(),
                names: several.iter().take(16).map(|member| crate::text::excerpt(&member.name, 80)).collect(),
            }),
        }
    }
}
