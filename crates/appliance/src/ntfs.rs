//! The host's `ntfs-3g`, for the appliance of a kernel without an NTFS driver: the program, the libraries that it is
//! linked with, and its loader, at the places where they look for each other.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the program may be.
const PROGRAMS: &[&str] = &["/usr/bin/ntfs-3g", "/bin/ntfs-3g", "/usr/sbin/ntfs-3g", "/sbin/ntfs-3g"];
/// More than it has.
const LIBRARIES: usize = 32;

/// Files of the host, and where they go in the appliance. Empty when the host has no `ntfs-3g`: the agent then says so,
/// should an NTFS volume be mounted.
pub(crate) fn files() -> Vec<(PathBuf, String)> {
    let Some(program) = PROGRAMS.iter().map(Path::new).find(|path| path.is_file()) else {
        return Vec::new();
    };
    let mut files = vec![(program.to_path_buf(), "bin/ntfs-3g".to_string())];
    // The loader's own tool; the program is the host's, so it may be asked.
    let output = Command::new("ldd").arg(program).output();
    let listing =
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for path in libraries(&listing).into_iter().take(LIBRARIES) {
        let target = path.trim_start_matches('/').to_string();
        files.push((PathBuf::from(path), target));
    }
    files
}

/// The paths in `ldd`'s listing: `libx.so.1 => /lib/libx.so.1 (0x…)`, or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn libraries(listing: &str) -> Vec<&str> {
    listing
        .lines()
        .filter_map(|line| {
            let path = line.split_once("=>").map_or(line, |(_, path)| path);
            path.split_whitespace().next()
        })
        .filter(|path| path.starts_with('/') && !path.split('/').any(|part| part == ".."))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_listing() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibntfs-3g.so.89 => /lib/libntfs-3g.so.89 (0x7f)\n\
                       \tlibx.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(libraries(listing), ["/lib/libntfs-3g.so.89", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
