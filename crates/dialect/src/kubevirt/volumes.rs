//! The DataVolumes into which the disks are uploaded, and the commands for it.

use super::label::{MAX_LABEL, shortened};
use super::yaml::Value;
use crate::render::{DiskFile, RenderError, RenderOptions, path_text};
use crate::shell::quoted;
use machine::{Disk, Machine};
use std::fmt::Write;

const KIB: u64 = 1 << 10;
/// Volumes are handed out in such units, in bytes.
const UNIT: u64 = 1 << 20;

/// The name of a disk's volume: as much of the machine's as leaves room for the disk's.
pub(super) fn name(machine: &str, disk: &str) -> String {
    let disk = shortened(disk, 20);
    format!("{}-{disk}", shortened(machine, MAX_LABEL - 1 - disk.len()))
}

/// A number of bytes as Kubernetes writes it, in the largest unit that it is a whole number of.
pub(super) fn quantity(bytes: u64) -> String {
    let units = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", KIB)];
    let whole = units.into_iter().find(|(_, size)| bytes.is_multiple_of(*size) && bytes > 0);
    whole.map_or_else(|| bytes.to_string(), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// The volume of a disk, which waits for its content.
pub(super) fn volume(disk: &Disk, file: &DiskFile, machine: &str) -> Value {
    let size = file.capacity.max(1).checked_next_multiple_of(UNIT).unwrap_or(file.capacity);
    let requests = Value::map().with("storage", Value::text(quantity(size)));
    let storage = Value::map()
        .with("resources", Value::map().with("requests", requests))
        .maybe("storageClassName", file.storage.as_ref().map(Value::text));
    // The upload does not wait for a machine that would use the volume first.
    let annotations =
        Value::map().with("cdi.kubevirt.io/storage.bind.immediate.requested", Value::text("true"));
    let metadata =
        Value::map().with("name", Value::text(name(machine, &disk.id))).with("annotations", annotations);
    Value::map()
        .with("apiVersion", Value::text("cdi.kubevirt.io/v1beta1"))
        .with("kind", Value::text("DataVolume"))
        .with("metadata", metadata)
        .with(
            "spec",
            Value::map().with("source", Value::map().with("upload", Value::map())).with("storage", storage),
        )
}

/// What to do with the file, as comments.
pub(super) fn commands(said: &Machine, options: &RenderOptions, name: &str) -> Result<String, RenderError> {
    let mut text = String::from(
        "# A virtual machine for KubeVirt, and volumes for its disks. In the directory with the images:\n#\n#   kubectl apply \
         -f THIS-FILE\n",
    );
    for disk in &said.disks {
        let path = path_text(&options.disk(&disk.id)?.path)?;
        // A comment ends with its line.
        let path = if path.chars().any(char::is_control) { "IMAGE".to_owned() } else { quoted(path) };
        let volume = self::name(name, &disk.id);
        let _ = writeln!(text, "#   virtctl image-upload dv {volume} --no-create --image-path={path}");
    }
    let _ = writeln!(text, "#   virtctl start {name}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_whole() {
        let quantities = [0, 1000, 1 << 10, 3 << 29, 5 << 30].map(quantity);
        assert_eq!(quantities, ["0", "1000", "1Ki", "1536Mi", "5Gi"]);
    }

    #[test]
    fn volumes_have_names_that_fit() {
        assert_eq!(name("web", "disk1"), "web-disk1");
        let long = name(&"x".repeat(63), "disk12");
        assert!(long.len() <= MAX_LABEL && long.ends_with("-disk12"));
    }
}
