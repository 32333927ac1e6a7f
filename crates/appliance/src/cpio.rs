//! Archives that the kernel unpacks into its initial RAM file system: cpio's "newc" format, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` describes it.

use std::io::{Result, Write};

/// `newc`, without checksums.
const MAGIC: &[u8] = b"070701";
/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Writes an archive.
pub(crate) struct Archive<W> {
    to: W,
    inode: u32,
    written: u64,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, inode: 0, written: 0 }
    }

    /// Adds a directory. Those above it come before.
    pub(crate) fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, 0o040_755, (0, 0), &[])
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.entry(name, 0o100_000 | mode, (0, 0), contents)
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(name, 0o020_600, (major, minor), &[])
    }

    /// Ends the archive; answers with its length.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.inode = 0;
        self.entry(TRAILER, 0, (0, 0), &[])?;
        self.to.flush()?;
        Ok(self.written)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) -> Result<()> {
        let too_long = |_| std::io::Error::from(std::io::ErrorKind::FileTooLarge);
        let size = u32::try_from(contents.len()).map_err(too_long)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_long)?;
        self.inode += 1;
        self.put(MAGIC)?;
        // inode, mode, uid, gid, links, mtime, size, device of the file (2), device that it is (2), name's size, check
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        for field in fields {
            self.put(format!("{field:08x}").as_bytes())?;
        }
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.align()?;
        self.put(contents)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    fn align(&mut self) -> Result<()> {
        while !self.written.is_multiple_of(4) {
            self.put(&[0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn cpio_lists_and_extracts_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.directory("bin").unwrap();
        archive.file("bin/odd", 0o755, b"12345").unwrap();
        archive.file("empty", 0o600, b"").unwrap();
        let written = archive.finish().unwrap();
        assert_eq!((written, written % 4), (bytes.len() as u64, 0));
        let mut cpio = Command::new("cpio")
            .args(["--extract", "--make-directories", "--quiet"])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("apt install cpio");
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        assert!(cpio.wait().unwrap().success());
        assert_eq!(std::fs::read(directory.path().join("bin/odd")).unwrap(), b"12345");
        assert_eq!(std::fs::read(directory.path().join("empty")).unwrap(), b"");
    }
}
