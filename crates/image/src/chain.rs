//! Converting every image of a chain, so that the new images stand on each other as the old ones do: [`convert_chain`].

use crate::copy::{self, CopyOptions, CopyReport, Progress};
use crate::create::{NewImage, NewParent};
use crate::error::{Error, Result};
use crate::gate::{DirectoryGate, Gate};
use crate::layer::LayerInfo;
use crate::open::{self, Image, ImageLayer};
use serde::Serialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// One image of a chain that was converted.
#[derive(Clone, Debug, Serialize)]
pub struct ConvertedImage {
    /// Where it is now.
    pub path: PathBuf,
    /// What copying it did.
    pub report: CopyReport,
}

/// Converts every image of `image`'s chain to one of the `new` format, root first, each naming the converted image
/// below it as its parent. The uppermost goes to `target`; those below it lie beside it, and are called as their originals
/// were, with the ending of `target`.
///
/// Answers with them in that order. `progress` begins anew with every image. The uppermost comes last: when `target` is
/// there, so is all that it stands on. When something fails, images that were already finished stay.
///
/// # Errors
/// As for [`copy()`](crate::copy()). [`Error::Option`] when the format has no images with a parent and the chain has more
/// than one; nothing is written then.
pub fn convert_chain(
    image: &Image,
    target: &Path,
    new: &NewImage,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<Vec<ConvertedImage>> {
    let layers: Vec<(&ImageLayer, &LayerInfo)> = image.layers().iter().zip(&image.info().layers).collect();
    let paths = paths(target, &layers, new);
    let mut converted: Vec<ConvertedImage> = Vec::with_capacity(layers.len());
    if let [(top, _), _, ..] = layers.as_slice() {
        let parent = Some(placeholder(new, top.own.size()));
        copy::check_layout(top.own.size(), target, &NewImage { parent, ..new.clone() })?;
    }
    for ((layer, _), path) in layers.iter().zip(&paths).rev() {
        let report = match converted.last() {
            None => copy::copy(Arc::clone(&layer.whole), path, new, options, progress)?,
            Some(below) => {
                let new = NewImage { parent: Some(parent(&below.path, new)?), ..new.clone() };
                copy::copy_layer(layer, path, &new, options, progress)?
            }
        };
        converted.push(ConvertedImage { path: path.clone(), report });
    }
    Ok(converted)
}

/// Where the images go, the uppermost first; no two to the same place.
fn paths(target: &Path, layers: &[(&ImageLayer, &LayerInfo)], new: &NewImage) -> Vec<PathBuf> {
    let usual = || new.format.endings.first().map(OsStr::new);
    let ending = target.extension().or_else(usual).unwrap_or_default().to_string_lossy();
    let mut paths: Vec<PathBuf> = vec![target.to_path_buf()];
    for (_, info) in layers.iter().skip(1) {
        let original = info.files.first().map(Path::new).and_then(Path::file_stem);
        let stem = original.map_or_else(|| "parent".into(), OsStr::to_string_lossy);
        let mut path = target.with_file_name(format!("{stem}.{ending}"));
        let mut number = 2_u32;
        while paths.contains(&path) {
            path = target.with_file_name(format!("{stem}-{number}.{ending}"));
            number += 1;
        }
        paths.push(path);
    }
    paths
}

/// A parent that need not exist, to see whether the format has images with one.
fn placeholder(new: &NewImage, virtual_size: u64) -> NewParent {
    let name = || "parent".to_owned();
    NewParent {
        name: name(),
        absolute: format!("/{}", name()),
        format: new.format.name,
        // As many digits as any format wants, and a number that none finds too large.
        content_id: Some(uuid::Uuid::from_u128(1).simple().to_string()),
        virtual_size,
        modified: 0,
    }
}

/// What an image has to know of the image at `path`, which was just written, to stand on it.
fn parent(path: &Path, new: &NewImage) -> Result<NewParent> {
    let failed = |operation| {
        let path = path.to_path_buf();
        move |source| Error::Host { operation, path, source }
    };
    let absolute = path.canonicalize().map_err(failed("find"))?;
    let modified = path.metadata().and_then(|metadata| metadata.modified()).map_err(failed("examine"))?;
    let (gate, name) = DirectoryGate::for_file(path)?;
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let options = open::OpenOptions { format: Some(new.format), ..open::OpenOptions::default() };
    let image = open::open_with(&gate, &name, &options)?;
    Ok(NewParent {
        name,
        absolute: absolute.to_string_lossy().into_owned(),
        format: new.format.name,
        content_id: image.info().layers.first().and_then(|layer| layer.content_id.clone()),
        virtual_size: image.info().virtual_size,
        modified: modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    })
}
