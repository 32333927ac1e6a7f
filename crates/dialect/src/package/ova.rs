//! An OVF package in one tar archive (DSP0243 2.1.1, clause 6.3), read where it is.

use super::chunks::TarGate;
use super::recognise::{Named, Source};
use super::tar::{self, Index};
use super::{Error, Package, Result, ovf_package};
use crate::ovf;
use machine::{Loss, Severity};
use std::sync::Arc;

/// The kind of package.
pub(super) static SOURCE: Source = Source {
    name: "ova",
    description: "an OVF package in one archive (.ova)",
    open: |named| tar::is_tar(&named.head).then(|| open(named)),
};

pub(super) fn open(named: &Named) -> Result<Package> {
    let refused = |source| Error::Tar { path: named.path.clone(), source };
    let index = Index::read(named.disk.as_ref()).map_err(refused)?;
    let descriptor = descriptor(named, &index)?;
    let range = descriptor.range.clone();
    let descriptor = descriptor.name.clone();
    let window = block::Window::new(Arc::clone(&named.disk), range)
        .map_err(|source| Error::Read { file: descriptor.clone(), source })?;
    let bytes = named.bytes(&window, ovf::MAX_SIZE)?;
    let parsed = ovf::parse_machine(&bytes, named.options.machine.as_deref())
        .map_err(|source| Error::Ovf { path: named.path.join(&descriptor), source: Box::new(source) })?;
    let terminated = index.terminated;
    let gate = TarGate::new(Arc::clone(&named.disk), index, named.path.clone(), &descriptor);
    // Names are relative to the descriptor, so its own is too.
    let name = descriptor.rsplit('/').next().unwrap_or(&descriptor);
    let mut package = ovf_package(SOURCE.name, &named.path, name, parsed, Arc::new(gate))?;
    if !terminated {
        let why = "the archive has no end mark: files may be missing after the last";
        package.losses.push(Loss::dropped(Severity::Warning, &named.name, why));
    }
    Ok(package)
}

/// The only descriptor of an archive.
fn descriptor<'a>(named: &Named, index: &'a Index) -> Result<&'a tar::Member> {
    let is_descriptor = |member: &&tar::Member| member.name.to_ascii_lowercase().ends_with(".ovf");
    let found: Vec<&tar::Member> = index.members().iter().filter(is_descriptor).collect();
    match found.as_slice() {
        [] => Err(Error::NoDescriptor { path: named.path.clone(), members: index.members().len() }),
        [one] => Ok(*one),
        several => Err(Error::SeveralDescriptors {
            path: named.path.clone(),
            names: several.iter().take(16).map(|member| crate::text::excerpt(&member.name, 80)).collect(),
        }),
    }
}
