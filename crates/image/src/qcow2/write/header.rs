//! The header of a new image, with its extensions and the backing file's name ([`header`]).

use super::super::extensions::{BACKING_FORMAT, DATA_FILE, END, Extension};
use super::super::header::{
    AUTOCLEAR_RAW_DATA, COMPRESSION, EXTERNAL_DATA, HeaderTail, HeaderV2, HeaderV3, MAGIC, WRITTEN,
};
use super::clusters::{REFCOUNT_ORDER, RefcountTable};
use super::plan::Plan;
use crate::create::Compression;
use zerocopy::IntoBytes;

/// Everything from the header to the backing file's name, in the order in which it stands in the first cluster.
pub(super) fn header(plan: &Plan, refcounts: RefcountTable) -> Vec<u8> {
    let extensions = extensions(plan);
    let name = plan.backing.as_ref().map_or("", |backing| &backing.name);
    let name_offset = if name.is_empty() { 0 } else { u64::from(WRITTEN) + extensions.len() as u64 };
    let common = HeaderV2 {
        magic: MAGIC,
        version: 3.into(),
        backing_file_offset: name_offset.into(),
        backing_file_size: (name.len() as u32).into(),
        cluster_bits: plan.geometry.cluster_bits.into(),
        size: plan.size.into(),
        crypt_method: 0.into(),
        l1_size: (plan.l1_entries() as u32).into(),
        l1_table_offset: plan.geometry.cluster().into(),
        refcount_table_offset: refcounts.offset.into(),
        refcount_table_clusters: (refcounts.clusters as u32).into(),
        nb_snapshots: 0.into(),
        snapshots_offset: 0.into(),
    };
    let zstd = plan.compression == Some(Compression::Zstd);
    let external = plan.data_file.is_some();
    let incompatible = if zstd { COMPRESSION } else { 0 } | if external { EXTERNAL_DATA } else { 0 };
    let extra = HeaderV3 {
        incompatible_features: incompatible.into(),
        compatible_features: 0.into(),
        autoclear_features: if external { AUTOCLEAR_RAW_DATA } else { 0 }.into(),
        refcount_order: REFCOUNT_ORDER.into(),
        header_length: WRITTEN.into(),
    };
    let tail = HeaderTail { compression_type: zstd.into(), padding: [0; 7] };
    [common.as_bytes(), extra.as_bytes(), tail.as_bytes(), &extensions, name.as_bytes()].concat()
}

/// How many bytes of the first cluster that takes.
pub(super) fn length(plan: &Plan) -> u64 {
    let name = plan.backing.as_ref().map_or(0, |backing| backing.name.len());
    u64::from(WRITTEN) + (extensions(plan).len() + name) as u64
}

fn extensions(plan: &Plan) -> Vec<u8> {
    let format = plan.backing.as_ref().map(|backing| (BACKING_FORMAT, backing.format));
    let data_file = plan.data_file.as_ref().map(|name| (DATA_FILE, name.as_str()));
    let mut bytes = Vec::new();
    for (kind, text) in format.into_iter().chain(data_file).chain([(END, "")]) {
        let extension = Extension { kind: kind.into(), length: (text.len() as u32).into() };
        bytes.extend_from_slice(extension.as_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}
