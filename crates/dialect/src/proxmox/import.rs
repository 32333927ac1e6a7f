//! A script for a Proxmox VE host (8 and later, or 7.2) that creates the machine and imports its disks into a storage.
//!
//! Every word is quoted for the POSIX shell. What a list of options must not hold (a comma) is refused when the script is
//! written or, for the directory in which it lies, when it runs.

use super::settings::{Setting, Settings, Value, settings};
use crate::dialects::Dialect;
use crate::shell::quoted as shell;
use crate::{RenderError, RenderOptions, Rendered};
use machine::{Loss, Machine, Severity};
use profile::Profile;
use std::fmt::Write;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "proxmox-import",
    description: "a shell script that imports a machine into Proxmox VE",
    ending: "sh",
    executable: true,
    recognise: |_| false,
    parse: None,
    render: Some(render),
};

/// Writes the script. Relative paths of disks lie beside the script.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let Settings { settings, mut losses, .. } = settings(machine, profile, options)?;
    if machine.properties.iter().any(|property| property.dialect != super::PROPERTIES) {
        let why = "settings of another hypervisor are not carried over";
        losses.push(Loss::dropped(Severity::Note, "properties", why));
    }
    let mut text = String::from(HEAD);
    checks(&mut text, &settings);
    create(&mut text, machine, &settings);
    volumes(&mut text, &settings);
    text.push_str(TAIL);
    Ok(Rendered { text, losses })
}

/// A file as a shell word: an absolute path as it is, another beside the script.
fn file(path: &str) -> String {
    if path.starts_with('/') { shell(path) } else { format!("\"$directory\"/{}", shell(path)) }
}

fn checks(text: &mut String, settings: &[Setting]) {
    for setting in settings {
        match &setting.value {
            Value::Disk { path, storage, .. } => {
                let _ = writeln!(text, "readable {}", file(path));
                if let Some(storage) = storage {
                    let _ = writeln!(text, "has_storage {}", shell(storage));
                }
            }
            Value::Text(value) if setting.key.starts_with("net") => {
                let bridge = value.split(",bridge=").nth(1).and_then(|rest| rest.split(',').next());
                if let Some(bridge) = bridge {
                    let _ = writeln!(text, "has_bridge {}", shell(bridge));
                }
            }
            _ => {}
        }
    }
}

/// The machine without its disks. Its boot order, which names disks, comes last.
fn create(text: &mut String, machine: &Machine, settings: &[Setting]) {
    text.push_str(CREATE);
    if let Some(notes) = machine.notes.as_deref().filter(|notes| !notes.contains('\0')) {
        let _ = write!(text, " \\\n  --description {}", shell(notes));
    }
    for setting in settings {
        if let Value::Text(value) = &setting.value
            && setting.key != "boot"
        {
            let _ = write!(text, " \\\n  --{} {}", setting.key, shell(value));
        }
    }
    text.push_str("\nbegun=yes\n");
}

fn volumes(text: &mut String, settings: &[Setting]) {
    for Setting { key, value } in settings {
        match value {
            Value::Disk { path, storage, options, .. } => {
                let storage = storage.as_deref().map_or_else(|| "\"$storage\"".to_owned(), shell);
                let options = if options.is_empty() { String::new() } else { shell(options) };
                let _ = writeln!(
                    text,
                    "qm set \"$vmid\" --{key} {storage}:0,import-from={}{options}",
                    file(path)
                );
            }
            Value::Made { path: None, options } => {
                let _ = writeln!(text, "qm set \"$vmid\" --{key} \"$storage\":1{}", shell(options));
            }
            Value::Made { path: Some(path), options } => {
                let from = file(path);
                let _ = writeln!(text, "readable {from}");
                let _ = writeln!(
                    text,
                    "qm set \"$vmid\" --{key} \"$storage\":0,import-from={from}{}",
                    shell(options)
                );
            }
            Value::Text(_) => {}
        }
    }
    for Setting { value, .. } in settings.iter().filter(|setting| setting.key == "boot") {
        if let Value::Text(value) = value {
            let _ = writeln!(text, "qm set \"$vmid\" --boot {}", shell(value));
        }
    }
}

const HEAD: &str = r#"#!/bin/sh
# Creates the virtual machine that this script describes, on the Proxmox VE host on which it runs, and imports its disks.
#   usage: sh SCRIPT STORAGE [VMID]
#   STORAGE  the storage for the disks (pvesm status lists them)
#   VMID     the machine's number, else the next that is free
# It checks first, and at an error removes the machine that it has begun. The images beside it stay as they are.
set -eu

fail() { printf '%s: %s\n' "$0" "$1" >&2; exit 1; }
readable() { [ -r "$1" ] || fail "there is no file $1, or it cannot be read"; }
has_storage() { pvesm status --storage "$1" >/dev/null || fail "there is no storage $1: pvesm status lists them"; }
has_bridge() { [ -e "/sys/class/net/$1" ] || fail "there is no bridge $1 on this host: create it, or edit the network below"; }

[ $# -ge 1 ] && [ $# -le 2 ] || fail "usage: $0 STORAGE [VMID]"
storage=$1
command -v qm >/dev/null || fail "qm is not here: run this on a Proxmox VE host, as root"
vmid=${2:-$(pvesh get /cluster/nextid)}
case $vmid in
  '' | *[!0-9]*) fail "$vmid is no number of a machine" ;;
esac
if qm status "$vmid" >/dev/null 2>&1 || pct status "$vmid" >/dev/null 2>&1; then
  fail "there is a machine or a container with the number $vmid already"
fi
directory=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
case $directory in
  *,*) fail "Proxmox cannot import from a directory with a comma in its name: $directory" ;;
esac
has_storage "$storage"
"#;

const CREATE: &str = r#"
begun=
undo() {
  status=$?
  if [ "$status" -ne 0 ] && [ -n "$begun" ]; then
    printf '%s: removing the machine %s that was begun\n' "$0" "$vmid" >&2
    qm destroy "$vmid" || true
  fi
  exit "$status"
}
trap undo EXIT
trap 'exit 1' HUP INT TERM

qm create "$vmid""#;

const TAIL: &str = r#"
begun=
printf 'the machine %s is there: qm start %s\n' "$vmid" "$vmid"
"#;
