//! The guest's tree of files: Debian's own packages, installed by `mmdebstrap`, kept as a tar.

use crate::error::Context as _;
use crate::tool::{command, command_as_root, is_root, run, say};
use crate::{Recipe, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The tar of the recipe's tree, made when the cache does not have it.
pub(crate) fn tree(recipe: &Recipe, cache: &Path) -> Result<PathBuf> {
    let tar = cache.join(format!("{}-{}.tar.zst", recipe.name, recipe.tree_key()));
    if tar.exists() {
        return Ok(tar);
    }
    say(format_args!("installing {} with mmdebstrap (one to three minutes, once)", recipe.name));
    let start = Instant::now();
    let partial = cache.join(format!("{}.partial.tar.zst", recipe.name));
    run(command("mmdebstrap")
        .envs(recipe.environment())
        .args(["--quiet", "--variant=minbase", &format!("--include={}", recipe.packages.join(","))])
        // A hook that names no file is a script for sh; so the scripts need no place that every user may read.
        .arg(format!("--essential-hook={}", recipe.essential))
        .arg(format!("--customize-hook={}", recipe.customize))
        .arg(recipe.suite)
        .arg(&partial)
        .args(sources(recipe.suite)))?;
    fs::rename(&partial, &tar).context("rename", &partial)?;
    say(format_args!("installed {} in {} s", recipe.name, start.elapsed().as_secs()));
    Ok(tar)
}

/// Unpacks a tree below `directory`, with its owners and device nodes, and runs the shell script `then` with
/// `arguments`. Who is not root gets both in one session of fakeroot, because owners are known nowhere else.
pub(crate) fn unpack(
    recipe: &Recipe,
    tar: &Path,
    directory: &Path,
    then: &str,
    arguments: &[&str],
) -> Result<()> {
    // Only root may set security.capability; without it ping merely needs root in the guest.
    let attributes = if is_root() { "--xattrs --xattrs-include='*'" } else { "" };
    let script = format!("set -eu; tar --zstd {attributes} -xpf \"$1\" -C \"$2\"; shift 2; {then}");
    run(command_as_root("sh")
        .env("E2FSPROGS_FAKE_TIME", recipe.epoch.to_string())
        .envs(recipe.environment())
        .args(["-c", &script, "sh"])
        .arg(tar)
        .arg(directory)
        .args(arguments))?;
    Ok(())
}

/// The machine's own sources of this release, as lines of a sources list; none when it has none, which leaves the
/// choice to mmdebstrap.
fn sources(suite: &str) -> Vec<String> {
    let listed = run(command("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(CODENAME) $(SITE) $(RELEASE)",
        "Identifier: Packages",
    ]));
    // A machine without apt can still have mmdebstrap, which then says what it lacks.
    parse_sources(&String::from_utf8_lossy(&listed.unwrap_or_default()), suite)
}

/// Chooses by codename, because a sources list may call the release `stable`; nothing when it has updates alone.
fn parse_sources(listed: &str, suite: &str) -> Vec<String> {
    let line_of = |codename: &str| {
        let start = format!("Debian {codename} ");
        let rest = listed.lines().find_map(|line| line.strip_prefix(&start))?;
        Some(format!("deb {rest} main"))
    };
    let Some(release) = line_of(suite) else {
        return Vec::new();
    };
    let updates = ["updates", "security"].into_iter().filter_map(|kind| line_of(&format!("{suite}-{kind}")));
    std::iter::once(release).chain(updates).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_the_release_and_its_updates() {
        let listed = "Debian bookworm-updates http://mirror.example/debian stable-updates\n\
                      Debian bookworm http://mirror.example/debian stable\n\
                      Debian bookworm http://mirror.example/debian stable\n\
                      Debian bookworm-backports http://mirror.example/debian bookworm-backports\n\
                      Debian trixie-updates http://mirror.example/debian trixie-updates\n\
                      Elsewhere bookworm http://other.example bookworm\n";
        assert_eq!(
            parse_sources(listed, "bookworm"),
            [
                "deb http://mirror.example/debian stable main",
                "deb http://mirror.example/debian stable-updates main"
            ]
        );
        assert!(parse_sources(listed, "trixie").is_empty());
    }
}
