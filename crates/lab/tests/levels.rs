//! Holds the workspace to the table of levels in `ARCHITECTURE.md`: a crate uses only crates of lower levels.
//!
//! What a crate uses in its tests is its own affair: Cargo allows those cycles, and a test may need a real disk format.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The rows "| level | `crate` | job |" of a table.
fn levels(text: &str) -> BTreeMap<String, u32> {
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let level = cells.next()?.parse().ok()?;
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((name.to_owned(), level))
        })
        .collect()
}

/// Each crate of the workspace, with those of its dependencies that are crates of the workspace too. The table calls a
/// crate by its directory, which is also its name but for the binary.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            let used = package["dependencies"].as_array().unwrap().iter();
            let used = used.filter(|one| one["kind"] != "dev").filter_map(|one| one["path"].as_str());
            (last_name(manifest.parent().unwrap()), used.map(|path| last_name(Path::new(path))).collect())
        })
        .collect()
}

fn last_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Every way in which `dependencies` break `levels`.
fn faults(levels: &BTreeMap<String, u32>, dependencies: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, used) in dependencies {
        let Some(level) = levels.get(name) else {
            faults.push(format!("{name} is not in the table"));
            continue;
        };
        for lower in used {
            match levels.get(lower) {
                Some(other) if other >= level => {
                    faults.push(format!("{name} (level {level}) uses {lower} (level {other})"));
                }
                _ => {}
            }
        }
    }
    let gone = levels.keys().filter(|name| !dependencies.contains_key(*name));
    faults.extend(gone.map(|name| format!("{name} is in the table and not in the workspace")));
    faults
}

#[test]
fn crates_use_only_lower_levels() {
    let text = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let found = faults(&levels(&text), &dependencies());
    assert!(found.is_empty(), "against the table in ARCHITECTURE.md:\n{}", found.join("\n"));
}

#[test]
fn faults_are_seen() {
    let levels = levels(
        "| level | crate |\n|---|---|\n| 0 | `a` | x |\n| 1 | `b` | x |\n| 1 | `c` | x |\n| 2 | `d` | x |\n",
    );
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let dependencies = BTreeMap::from([
        ("a".to_owned(), owned(&[])),
        ("b".to_owned(), owned(&["a"])),
        ("c".to_owned(), owned(&["b"])),
        ("e".to_owned(), owned(&["a"])),
    ]);
    assert_eq!(
        faults(&levels, &dependencies),
        [
            "c (level 1) uses b (level 1)",
            "e is not in the table",
            "d is in the table and not in the workspace"
        ]
    );
}
