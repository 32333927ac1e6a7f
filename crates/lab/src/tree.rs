//! The guest's tree of files: Debian's own packages, installed by `mmdebstrap`, kept as a tar. A release's base tree is
//! installed once; each guest adds its own packages and settings to it.

use crate::axes::{Layout, Suite};
use crate::error::Context as _;
use crate::recipe::{EPOCH, base_key};
use crate::script;
use crate::tool::{command, command_as_root, is_root, run, say};
use crate::{Recipe, Result, cache};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What packages leave out: nothing that a machine needs to run.
const LEFT_OUT: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// The tar of the recipe's tree, made when the cache does not have it. Whoever has made the guest of it removes it.
pub(crate) fn tree(recipe: &Recipe, cache: &Path) -> Result<PathBuf> {
    let tar = cache.join(format!("{}-{}.tar", recipe.name, recipe.tree_key()));
    if tar.exists() {
        return Ok(tar);
    }
    let base = base(recipe.suite, cache)?;
    say(format_args!("adding the packages and settings of {}", recipe.name));
    let start = Instant::now();
    let mut scripts = vec![format!("--setup-hook=tar-in '{}' /", base.display())];
    scripts.extend(script::GUEST.map(|script| format!("--customize-hook={script}")));
    if recipe.layout == Layout::Ext4 {
        scripts.push(inside(script::INITRAMFS));
        scripts.push(inside(script::GRUB));
        scripts.push(format!("--customize-hook={}", script::CLEAN));
    }
    let partial = cache.join(format!("{}.partial.tar", recipe.name));
    install(recipe.suite, "custom", &scripts, &partial, |command| {
        command.envs(recipe.environment());
    })?;
    fs::rename(&partial, &tar).context("rename", &partial)?;
    say(format_args!("made the tree of {} in {} s", recipe.name, start.elapsed().as_secs()));
    Ok(tar)
}

/// The tar of a release's base tree, made when the cache does not have it. It is not compressed: `mmdebstrap` takes it in
/// as it is.
fn base(suite: Suite, cache: &Path) -> Result<PathBuf> {
    let name = format!("debian{}-base", suite.version());
    let tar = cache.join(format!("{name}-{}.tar", base_key(suite)));
    let _lock = cache::lock(&name)?;
    if tar.exists() {
        return Ok(tar);
    }
    say(format_args!("installing Debian {} with mmdebstrap (one to three minutes, once)", suite.version()));
    let start = Instant::now();
    let partial = cache.join(format!("{name}.partial.tar"));
    let [essential, complete] = script::BASE;
    let mut options = vec![format!("--include={}", script::BASE_PACKAGES.join(","))];
    options.extend(LEFT_OUT.map(|paths| format!("--dpkgopt=path-exclude={paths}")));
    // A hook that names no file is a script for sh; so the scripts need no place that every user may read.
    options.push(format!("--essential-hook={essential}"));
    options.push(format!("--customize-hook={complete}"));
    install(suite, "minbase", &options, &partial, |command| {
        command.env("SOURCE_DATE_EPOCH", EPOCH.to_string());
    })?;
    fs::rename(&partial, &tar).context("rename", &partial)?;
    say(format_args!("installed Debian {} in {} s", suite.version(), start.elapsed().as_secs()));
    Ok(tar)
}

/// Runs `mmdebstrap`, whose variant says what it installs by itself.
fn install(
    suite: Suite,
    variant: &str,
    options: &[String],
    tar: &Path,
    environment: impl FnOnce(&mut Command),
) -> Result<()> {
    let mut mmdebstrap = command("mmdebstrap");
    environment(&mut mmdebstrap);
    run(mmdebstrap
        .args(["--quiet", &format!("--variant={variant}")])
        .args(options)
        .arg(suite.codename())
        .arg(tar)
        .args(sources(suite.codename())))?;
    Ok(())
}

/// A hook that runs a script inside the guest.
fn inside(script: &str) -> String {
    format!("--customize-hook=chroot \"$1\" sh -s <<'END OF THE SCRIPT'\n{script}\nEND OF THE SCRIPT\n")
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
    let script = format!("set -eu; tar {attributes} -xpf \"$1\" -C \"$2\"; shift 2; {then}");
    run(command_as_root("sh")
        .env("E2FSPROGS_FAKE_TIME", EPOCH.to_string())
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
