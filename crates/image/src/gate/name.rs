//! Names inside images, as strings: nothing here touches a file.

/// Protocols of image tools and URLs: what stands before the first colon when a name is not a file's.
const PROTOCOLS: &[&str] = &[
    "blkdebug",
    "blkverify",
    "data",
    "driver",
    "fat",
    "file",
    "ftp",
    "ftps",
    "gluster",
    "host_cdrom",
    "host_device",
    "http",
    "https",
    "iscsi",
    "json",
    "nbd",
    "nfs",
    "null-aio",
    "null-co",
    "nvme",
    "rbd",
    "sheepdog",
    "ssh",
    "vdpa",
    "vvfat",
];

/// The protocol that `name` starts with, if it is one rather than a file's name.
pub(super) fn protocol(name: &str) -> Option<&str> {
    let (before, after) = name.split_once(':')?;
    let (plain, _) = before.split_once('+').unwrap_or((before, ""));
    let known = PROTOCOLS.iter().any(|protocol| plain.eq_ignore_ascii_case(protocol));
    (known || after.starts_with("//")).then_some(before)
}

/// `name` with `.`, empty and resolvable `..` components removed; `None` when it climbs above its root.
///
/// An absolute name stays absolute.
pub(crate) fn normalised(name: &str) -> Option<String> {
    let mut components: Vec<&str> = Vec::new();
    for component in name.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            other => components.push(other),
        }
    }
    let root = if name.starts_with('/') { "/" } else { "" };
    Some(format!("{root}{}", components.join("/")))
}

/// What `reference`, found inside the file `from`, is called from the root.
///
/// Only joins: whether the result may be opened is the gate's to say.
pub(crate) fn sibling(from: &str, reference: &str) -> String {
    let absolute = reference.starts_with('/') || protocol(reference).is_some() || is_windows(reference);
    let windows = is_absolute_windows(from);
    let directory = if windows { from.rsplit_once(['\\', '/']) } else { from.rsplit_once('/') };
    match directory {
        Some((directory, _)) if !absolute && windows => {
            format!("{directory}\\{}", reference.replace('/', "\\"))
        }
        Some((directory, _)) if !absolute => format!("{directory}/{reference}"),
        _ => reference.to_owned(),
    }
}

/// Whether a name is a path of Windows from a drive's or a server's root, which no relative name here looks like: a
/// description names a disk so, and what lies beside that disk has the same kind of name.
fn is_absolute_windows(name: &str) -> bool {
    matches!(name.as_bytes(), [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic())
        || name.starts_with("\\\\")
}

/// The last component of a name with backslashes, as Windows products write them; `None` for other names.
pub(super) fn windows_base_name(name: &str) -> Option<&str> {
    is_windows(name).then(|| name.rsplit(['\\', '/']).next().unwrap_or(name)).filter(|base| !base.is_empty())
}

/// The last component of any name that has more than one, whoever wrote it.
pub(crate) fn foreign_base_name(name: &str) -> Option<&str> {
    let base = name.rsplit(['\\', '/']).next()?;
    (base.len() < name.len() && !base.is_empty() && base != "..").then_some(base)
}

fn is_windows(name: &str) -> bool {
    name.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_from_names_with_colons() {
        for (name, expected) in [
            ("nbd:unix:/run/x", Some("nbd")),
            ("json:{\"driver\":\"raw\"}", Some("json")),
            ("https://host/x", Some("https")),
            ("nbd+unix://x", Some("nbd+unix")),
            ("unknown://x", Some("unknown")),
            ("disk:1.vmdk", None),
            ("C:\\vm\\disk.vmdk", None),
            ("disk.vmdk", None),
        ] {
            assert_eq!(protocol(name), expected, "{name}");
        }
    }

    #[test]
    fn normalising_never_climbs() {
        assert_eq!(normalised("a/./b//../c").as_deref(), Some("a/c"));
        assert_eq!(normalised("../a"), None);
        assert_eq!(normalised("a/../../a"), None);
        assert_eq!(normalised("/a/../b").as_deref(), Some("/b"));
    }

    #[test]
    fn references_are_relative_to_the_file_that_holds_them() {
        assert_eq!(sibling("vm/top.qcow2", "base.qcow2"), "vm/base.qcow2");
        assert_eq!(sibling("top.qcow2", "sub/base.qcow2"), "sub/base.qcow2");
        assert_eq!(sibling("vm/top.qcow2", "/etc/passwd"), "/etc/passwd");
        assert_eq!(sibling("vm/top.qcow2", "nbd:unix:x"), "nbd:unix:x");
        assert_eq!(sibling(r"C:\vm\top.avhdx", "base.vhdx"), r"C:\vm\base.vhdx");
        assert_eq!(sibling(r"\\host\vm\top.avhdx", "../b/base.vhdx"), r"\\host\vm\..\b\base.vhdx");
        assert_eq!(sibling(r"odd\name.qcow2", "base.qcow2"), "base.qcow2");
    }
}
