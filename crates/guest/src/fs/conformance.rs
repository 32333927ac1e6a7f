//! What every [`Mounter`] has to do, checked step by step.
//!
//! An implementation's tests call [`check`] with a tree whose root filesystem is writable, mounted and otherwise
//! empty or not: everything happens below one directory, which is left empty.

use super::{ErrorKind, FileKind, GuestFs, Mounter, Result};

/// Where the checks happen.
const HERE: &str = "/anyvisor-conformance";

type Check = fn(&mut dyn GuestFs) -> Result<()>;

/// Every check, by name.
const CHECKS: &[(&str, Check)] = &[
    ("a file is written, read and listed", writes_and_lists),
    ("a file that is written again keeps its owner and mode", keeps_owner),
    ("what is missing or of the wrong kind is said so", says_what_is_wrong),
    ("a read is bounded", bounds_reads),
    ("links are resolved inside the tree", resolves_links),
    ("links in a circle end", ends_loops),
    ("names are replaced by a rename", renames),
    ("directories are made with those above, and removed when empty", directories),
    ("extended attributes are kept", attributes),
];

/// Runs every check on `mounter`.
///
/// # Panics
/// At the first check that fails, with its name.
pub fn check(mounter: &mut dyn Mounter) {
    let tree = mounter.tree();
    for (name, check) in CHECKS {
        tree.create_dir(HERE).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Err(error) = check(tree) {
            panic!("{name}: {error}");
        }
        clear(tree, HERE).unwrap_or_else(|error| panic!("{name}: cleaning up: {error}"));
    }
    match mounter.trim("/") {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Unsupported, "trimming fails for a sound reason: {error}")
        }
    }
}

fn path(name: &str) -> String {
    format!("{HERE}/{name}")
}

fn clear(tree: &mut dyn GuestFs, directory: &str) -> Result<()> {
    for entry in tree.list(directory)? {
        let path = format!("{directory}/{}", entry.name);
        match entry.kind {
            FileKind::Directory => clear(tree, &path)?,
            _ => tree.remove(&path)?,
        }
    }
    tree.remove(directory)
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

fn writes_and_lists(tree: &mut dyn GuestFs) -> Result<()> {
    let file = path("file");
    let contents: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    tree.write(&file, &contents, 0o640)?;
    tree.write(&path("empty"), b"", 0o600)?;
    assert!(tree.read(&file, 100_000)? == contents);
    assert!(tree.read(&path("empty"), 0)?.is_empty());
    let metadata = tree.metadata(&file)?;
    assert_eq!((metadata.kind, metadata.size, metadata.mode), (FileKind::File, 100_000, 0o640));
    assert_eq!((metadata.uid, metadata.gid), (0, 0));
    let mut names: Vec<_> = tree.list(HERE)?.into_iter().map(|entry| entry.name).collect();
    names.sort();
    assert_eq!(names, ["empty", "file"]);
    assert!(tree.exists(&file)? && !tree.exists(&path("other"))?);
    Ok(())
}

fn keeps_owner(tree: &mut dyn GuestFs) -> Result<()> {
    let file = path("file");
    tree.write(&file, b"one", 0o644)?;
    tree.set_owner(&file, 12, 34, 0o751)?;
    tree.write(&file, b"second", 0o600)?;
    let metadata = tree.metadata(&file)?;
    assert_eq!((metadata.uid, metadata.gid, metadata.mode, metadata.size), (12, 34, 0o751, 6));
    Ok(())
}

fn says_what_is_wrong(tree: &mut dyn GuestFs) -> Result<()> {
    tree.write(&path("file"), b"", 0o644)?;
    let missing = path("missing");
    let below = path("missing/below");
    assert_eq!(kind_of(tree.read(&missing, 10)), Some(ErrorKind::NotFound), "read");
    assert_eq!(kind_of(tree.metadata(&missing)), Some(ErrorKind::NotFound), "metadata");
    assert_eq!(kind_of(tree.list(&missing)), Some(ErrorKind::NotFound), "list");
    assert_eq!(kind_of(tree.remove(&missing)), Some(ErrorKind::NotFound), "remove");
    assert_eq!(kind_of(tree.write(&below, b"", 0o644)), Some(ErrorKind::NotFound), "write");
    assert_eq!(kind_of(tree.rename(&missing, &path("other"))), Some(ErrorKind::NotFound), "rename");
    assert_eq!(kind_of(tree.read(HERE, 10)), Some(ErrorKind::WrongKind), "read a directory");
    assert_eq!(kind_of(tree.list(&path("file"))), Some(ErrorKind::WrongKind), "list a file");
    assert_eq!(kind_of(tree.read_link(&path("file"))), Some(ErrorKind::WrongKind), "read_link of a file");
    assert_eq!(kind_of(tree.symlink("x", &path("file"))), Some(ErrorKind::WrongKind), "link over a file");
    Ok(())
}

fn bounds_reads(tree: &mut dyn GuestFs) -> Result<()> {
    tree.write(&path("file"), &[7; 1000], 0o644)?;
    assert_eq!(kind_of(tree.read(&path("file"), 999)), Some(ErrorKind::TooLarge));
    assert_eq!(tree.read(&path("file"), 1000)?.len(), 1000);
    Ok(())
}

fn resolves_links(tree: &mut dyn GuestFs) -> Result<()> {
    tree.create_dir(&path("real"))?;
    tree.write(&path("real/file"), b"in the tree", 0o644)?;
    tree.symlink("real", &path("relative"))?;
    tree.symlink(&path("real/file"), &path("absolute"))?;
    // However far up it goes, it stays inside.
    let outside = format!("../../../../../../../..{}", path("real/file"));
    tree.symlink(&outside, &path("upwards"))?;
    for name in ["relative/file", "absolute", "upwards"] {
        assert_eq!(tree.read(&path(name), 100)?, b"in the tree", "{name}");
    }
    assert_eq!(tree.metadata(&path("relative"))?.kind, FileKind::Symlink);
    assert_eq!(tree.read_link(&path("relative"))?, "real");
    // A write goes to where the link leads and leaves the link.
    tree.write(&path("absolute"), b"changed", 0o644)?;
    assert_eq!(tree.read(&path("real/file"), 100)?, b"changed");
    assert_eq!(tree.metadata(&path("absolute"))?.kind, FileKind::Symlink);
    // A link is replaced by a link, and removed without what it leads to.
    tree.symlink("elsewhere", &path("relative"))?;
    assert_eq!(tree.read_link(&path("relative"))?, "elsewhere");
    assert_eq!(kind_of(tree.read(&path("relative"), 10)), Some(ErrorKind::NotFound));
    tree.remove(&path("absolute"))?;
    assert!(tree.exists(&path("real/file"))?);
    Ok(())
}

fn ends_loops(tree: &mut dyn GuestFs) -> Result<()> {
    tree.symlink("b", &path("a"))?;
    tree.symlink("a", &path("b"))?;
    assert!(tree.read(&path("a"), 10).is_err());
    Ok(())
}

fn renames(tree: &mut dyn GuestFs) -> Result<()> {
    tree.write(&path("from"), b"new", 0o644)?;
    tree.write(&path("to"), b"old", 0o600)?;
    tree.rename(&path("from"), &path("to"))?;
    assert_eq!(tree.read(&path("to"), 10)?, b"new");
    assert!(!tree.exists(&path("from"))?);
    Ok(())
}

fn directories(tree: &mut dyn GuestFs) -> Result<()> {
    tree.create_dir(&path("one/two/three"))?;
    tree.create_dir(&path("one/two/three"))?;
    assert_eq!(tree.metadata(&path("one/two"))?.mode, 0o755);
    assert!(tree.remove(&path("one")).is_err(), "a directory with something in it is not removed");
    tree.remove(&path("one/two/three"))?;
    assert!(!tree.exists(&path("one/two/three"))?);
    tree.write(&path("file"), b"", 0o644)?;
    assert!(tree.create_dir(&path("file")).is_err());
    Ok(())
}

fn attributes(tree: &mut dyn GuestFs) -> Result<()> {
    const LABEL: &str = "security.selinux";
    tree.write(&path("file"), b"", 0o644)?;
    assert_eq!(tree.xattr(&path("file"), LABEL)?, None);
    tree.set_xattr(&path("file"), LABEL, b"system_u:object_r:etc_t:s0\0")?;
    assert_eq!(tree.xattr(&path("file"), LABEL)?.as_deref(), Some(&b"system_u:object_r:etc_t:s0\0"[..]));
    tree.write(&path("file"), b"more", 0o644)?;
    assert_eq!(tree.xattr(&path("file"), LABEL)?.as_deref(), Some(&b"system_u:object_r:etc_t:s0\0"[..]));
    Ok(())
}
