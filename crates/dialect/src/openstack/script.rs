//! The script that makes a [`Deployment`] with OpenStack's command-line client.
//!
//! Every foreign word is quoted for the POSIX shell, and names stand behind `--`, so that none is taken for an option.

use super::deployment::{Deployment, Image, Port};
use crate::shell::quoted;
use std::fmt::Write;

/// Writes the script.
pub(super) fn script(deployment: &Deployment) -> String {
    let mut out = String::from(HEAD);
    let needs_network = deployment.ports.iter().any(|port| port.network.is_none());
    if needs_network {
        out.push_str(
            "network=${NETWORK:?names the network of the cards of which nobody said where they belong}\n",
        );
    }
    for (index, image) in deployment.images.iter().enumerate() {
        upload(&mut out, index + 1, image);
    }
    for (index, port) in deployment.ports.iter().enumerate() {
        make_port(&mut out, index + 1, port);
    }
    for index in 1..=deployment.images.len() {
        let _ = writeln!(out, "await \"$volume{index}\"");
    }
    server(&mut out, deployment);
    out.push_str(TAIL);
    out
}

fn upload(out: &mut String, number: usize, image: &Image) {
    let path = image.file.to_string_lossy();
    let file =
        if image.file.is_absolute() { quoted(&path) } else { format!("\"$directory\"/{}", quoted(&path)) };
    let _ = writeln!(out, "\n# {}", image.disk.replace(char::is_control, " "));
    let _ = writeln!(
        out,
        "image{number}=$(\"$client\" image create --disk-format {} --container-format {} \\\n  --min-disk {} --min-ram {} \\",
        quoted(&image.disk_format),
        image.container_format,
        image.min_disk,
        image.min_ram
    );
    for (key, value) in &image.properties {
        let _ = writeln!(out, "  --property {} \\", quoted(&format!("{key}={value}")));
    }
    let _ = writeln!(out, "  --file {file} -f value -c id -- {})", quoted(&image.name));
    let kind =
        image.volume.volume_type.as_ref().map(|kind| format!("--type {} ", quoted(kind))).unwrap_or_default();
    let bootable = if image.volume.boot_index >= 0 { "--bootable" } else { "--non-bootable" };
    let _ = writeln!(
        out,
        "volume{number}=$(\"$client\" volume create --image \"$image{number}\" --size {} {kind}{bootable} \\\n  -f value -c \
         id -- {})",
        image.volume.size,
        quoted(&image.name)
    );
}

fn make_port(out: &mut String, number: usize, port: &Port) {
    let network = port.network.as_ref().map_or_else(|| "\"$network\"".to_owned(), |name| quoted(name));
    let mac = port.mac_address.map(|mac| format!("--mac-address {mac} ")).unwrap_or_default();
    let state = if port.admin_state_up { "--enable" } else { "--disable" };
    let _ = writeln!(
        out,
        "\nport{number}=$(\"$client\" port create --network={network} {mac}{state} -f value -c id -- {})",
        quoted(&port.name)
    );
}

/// The command that creates the server, as the script's own arguments.
fn server(out: &mut String, deployment: &Deployment) {
    let flavor = &deployment.flavor;
    let _ = writeln!(
        out,
        "\n# A flavor of {} processors and {} MiB of memory.\nset -- \"$client\" server create --flavor \
         \"${{FLAVOR:-FLAVOR}}\" --wait",
        flavor.vcpus, flavor.ram
    );
    for (index, image) in deployment.images.iter().enumerate() {
        let volume = &image.volume;
        let _ = writeln!(
            out,
            "set -- \"$@\" --block-device \
             \"uuid=$volume{},source_type=volume,destination_type=volume,disk_bus={},boot_index={}\"",
            index + 1,
            volume.disk_bus,
            volume.boot_index
        );
    }
    for index in 1..=deployment.ports.len() {
        let _ = writeln!(out, "set -- \"$@\" --port \"$port{index}\"");
    }
    if let Some(description) = &deployment.server.description {
        let _ = writeln!(out, "set -- \"$@\" --description={}", quoted(description));
    }
    let _ = writeln!(out, "set -- \"$@\" -- {}", quoted(&deployment.server.name));
}

const HEAD: &str = r#"#!/bin/sh
# Uploads the virtual machine's disks to OpenStack, makes volumes of them and ports for its cards, and prints the command
# that creates the server. Credentials are those of OpenStack's client: OS_CLOUD, or the variables of an openrc file.
#   OPENSTACK  the client, else openstack
#   NETWORK    the network of the cards of which nobody said where they belong
#   FLAVOR     the flavor of the server
#   CREATE     yes to create the server too
set -eu

directory=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
client=${OPENSTACK:-openstack}

# Waits until a volume has its content.
await() {
  while :; do
    status=$("$client" volume show -f value -c status -- "$1")
    case $status in
      available) return ;;
      error*) echo "$0: the volume $1 could not be made: $status" >&2; exit 1 ;;
    esac
    sleep 5
  done
}
"#;

const TAIL: &str = r#"
if [ "${CREATE:-no}" = yes ]; then exec "$@"; fi
for word; do
  printf "'%s' " "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"
done
echo
"#;
