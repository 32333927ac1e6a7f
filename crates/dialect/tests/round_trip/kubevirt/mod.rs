//! KubeVirt's YAML, as PyYAML reads it: it keeps the rules of the API, and says the machine less the losses.

mod rules;

use crate::{machines, options};
use machine::{Cpu, Loss, Machine};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// How many machines are tried.
const TRIED: usize = 96;

/// The documents of each stream, as a reader of YAML that we did not write has them.
fn documents(streams: &[String]) -> Vec<Vec<Value>> {
    const READER: &str = "import json, sys, yaml\n\
        json.dump([list(yaml.safe_load_all(text)) for text in json.load(sys.stdin)], sys.stdout)";
    let mut child = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("python3 is needed (Debian: python3-yaml): {error}"));
    let input = serde_json::to_vec(streams).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "python3 with PyYAML is needed (Debian: python3-yaml)");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().map(|number| u32::try_from(number).unwrap())
}

/// What the documents say, field by field, in place of what the machine says.
fn said(machine: &Machine, documents: &[Value]) -> Machine {
    let mut said = machine.clone();
    let virtual_machine = documents.last().unwrap();
    let metadata = &virtual_machine["metadata"];
    let domain = &virtual_machine["spec"]["template"]["spec"]["domain"];
    said.name = text(&metadata["annotations"]["anyvisor/name"]).unwrap();
    said.notes = text(&metadata["annotations"]["kubernetes.io/description"]);
    let count = |name: &str| number(&domain["cpu"][name]).unwrap();
    said.cpu = Cpu {
        sockets: count("sockets"),
        cores_per_socket: count("cores"),
        threads_per_core: count("threads"),
    };
    said.max_cpus = number(&domain["cpu"]["maxSockets"]).map(|most| most * count("cores") * count("threads"));
    said.memory = rules::bytes(domain["memory"]["guest"].as_str().unwrap());
    said.bios_uuid = text(&domain["firmware"]["uuid"]).map(|uuid| uuid.parse().unwrap());
    said.smbios.serial = text(&domain["firmware"]["serial"]);
    said.tpm = domain["devices"]["tpm"].is_object().then_some(machine::Tpm { version: 2 });
    let disks = domain["devices"]["disks"].as_array().unwrap();
    assert_eq!(disks.len(), machine.disks.len());
    for (disk, device) in said.disks.iter_mut().zip(disks) {
        disk.serial = text(&device["serial"]);
        disk.boot_order = number(&device["bootOrder"]);
        disk.read_only = device["disk"]["readonly"] == true;
    }
    let interfaces = domain["devices"]["interfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), machine.nics.len());
    for (nic, device) in said.nics.iter_mut().zip(interfaces) {
        nic.mac = text(&device["macAddress"]).map(|mac| mac.parse().unwrap());
        nic.boot_order = number(&device["bootOrder"]);
        nic.connected = device["state"] != "down";
    }
    said
}

fn assert_told(machine: &Machine, said: &Machine, losses: &[Loss], stream: &str) {
    for difference in machine::differences(machine, said) {
        let is_told = losses.iter().any(|loss| difference.is_told_by(loss));
        assert!(is_told, "no loss tells of {difference:?}\n{losses:#?}\n{stream}");
    }
}

#[test]
fn yaml_keeps_the_rules_and_says_the_machine_less_the_losses() {
    let (dialect, profile) = (&dialect::kubevirt::DIALECT, profile::find("kubevirt").unwrap());
    let strategy = machines(profile);
    let mut runner = TestRunner::deterministic();
    let machines: Vec<Machine> =
        (0..TRIED).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let rendered: Vec<_> = machines
        .iter()
        .map(|machine| {
            dialect::kubevirt::render(machine, profile, &options(dialect, profile, machine)).unwrap()
        })
        .collect();
    let streams: Vec<String> = rendered.iter().map(|rendered| rendered.text.clone()).collect();
    for ((machine, rendered), documents) in machines.iter().zip(&rendered).zip(documents(&streams)) {
        assert_eq!(documents.len(), machine.disks.len() + 1, "{}", rendered.text);
        for document in &documents {
            rules::check(document, &rendered.text);
        }
        rules::check_references(&documents, &rendered.text);
        assert_told(machine, &said(machine, &documents), &rendered.losses, &rendered.text);
    }
}
