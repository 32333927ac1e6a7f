//! Hostile names, thrown at every renderer on every profile that packs what it writes: whatever a machine's texts hold,
//! its description is built like one whose texts are tame.
//!
//! How a description is built is its *skeleton*: the lines of it that no text of the machine's may change, as a reader of
//! that syntax sees them. A skeleton of a hostile machine holds nothing that no tame machine's holds as often.

use crate::{VMX, hostile_names, powershell};
use dialect::{DIALECTS, Dialect, DiskFile, RenderOptions, by_name};
use machine::{Machine, Property, SerialPort, SerialTarget};
use profile::{Packing, Profile};
use roxmltree::Document;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// The skeletons of descriptions.
type Skeletons = fn(texts: &[String]) -> Vec<Vec<String>>;

/// The reader of each dialect that is written. A new one is a line here.
static READERS: &[(&str, Skeletons)] = &[
    ("vmx", |texts| each(texts, vmx)),
    ("ovf", |texts| each(texts, xml)),
    ("vbox", |texts| each(texts, xml)),
    ("libvirt", |texts| each(texts, xml)),
    ("kubevirt", yaml),
    ("openstack", |texts| each(texts, json)),
    ("openstack-upload", |texts| each(texts, shell)),
    ("qemu-script", |texts| each(texts, shell)),
    ("proxmox", |texts| each(texts, conf)),
    ("proxmox-import", |texts| each(texts, shell)),
    ("hyperv-powershell", |texts| each(texts, power_shell)),
    ("hyperv-json", |texts| each(texts, json)),
    ("xl", python),
    ("xva", |texts| each(texts, xml)),
];

/// Texts that mean nothing to any syntax, but make renderers say what they say of unusual ones: that a name was changed,
/// cut or left out.
fn tame_names() -> Vec<String> {
    let names = ["plain", "two words", "a/b", "ü", "a\nb", "\u{1}", "", "."];
    names.into_iter().map(str::to_owned).chain(["x".repeat(4096)]).collect()
}

fn each(texts: &[String], skeleton: fn(&str) -> Vec<String>) -> Vec<Vec<String>> {
    texts.iter().map(|text| skeleton(text)).collect()
}

/// Elements by their path, with the names of their attributes.
fn xml(text: &str) -> Vec<String> {
    let tree = Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let name = |node: roxmltree::Node| node.tag_name().name().to_owned();
    let elements = tree.descendants().filter(roxmltree::Node::is_element).map(|node| {
        let mut path: Vec<String> = node.ancestors().filter(|above| above.is_element()).map(name).collect();
        path.reverse();
        let attributes: Vec<&str> = node.attributes().map(|attribute| attribute.name()).collect();
        format!("{} {}", path.join("/"), attributes.join(" "))
    });
    elements.collect()
}

/// The paths of all fields.
fn json(text: &str) -> Vec<String> {
    let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut found = Vec::new();
    fields("", &value, &mut found);
    found
}

fn fields(path: &str, value: &Value, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| fields(&format!("{path}.{key}"), value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| fields(&format!("{path}[]"), item, found)),
        _ => {}
    }
}

/// What a program in Python, which gets the texts as JSON, makes of them.
fn python_program(program: &str, texts: &[String]) -> Value {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("python3 is needed (Debian: python3, python3-yaml): {error}"));
    let input = serde_json::to_vec(texts).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "Python (Debian: python3, python3-yaml) cannot read a description");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lists(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

/// The paths of all fields of all documents, by PyYAML.
fn yaml(texts: &[String]) -> Vec<Vec<String>> {
    let program = "import json, sys, yaml\n\
                   json.dump([list(yaml.safe_load_all(text)) for text in json.load(sys.stdin)], sys.stdout)";
    let streams = python_program(program, texts);
    let skeleton = |documents: &Value| {
        let mut found = Vec::new();
        fields("", documents, &mut found);
        found
    };
    lists(&streams).map(skeleton).collect()
}

/// The settings and how many values each has, by Python, whose assignments of literals they are.
fn python(texts: &[String]) -> Vec<Vec<String>> {
    let program = "import ast, json, sys\n\
        def shape(line):\n\
        \x20   assert type(line) is ast.Assign and len(line.targets) == 1\n\
        \x20   value = ast.literal_eval(line.value)\n\
        \x20   return line.targets[0].id + (' %d' % len(value) if isinstance(value, list) else '')\n\
        json.dump([[shape(line) for line in ast.parse(text).body] for text in json.load(sys.stdin)], sys.stdout)";
    let shapes = python_program(program, texts);
    lists(&shapes).map(|shape| lists(shape).map(|line| line.as_str().unwrap().to_owned()).collect()).collect()
}

/// The keys.
fn vmx(text: &str) -> Vec<String> {
    let document =
        dialect::vmx::Document::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    document.entries().map(|entry| entry.key.clone()).collect()
}

/// The keys of lines that are no comments.
fn conf(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

/// The script without its literals in single quotes.
fn power_shell(text: &str) -> Vec<String> {
    powershell::scan(text).0.lines().map(str::to_owned).collect()
}

/// The lines' characters that mean something to a POSIX shell, but for those in single quotes and in comments (POSIX.1,
/// Shell Command Language, 2.2 and 2.3).
fn shell(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = text.chars().peekable();
    let (mut in_double, mut before) = (false, '\n');
    while let Some(c) = rest.next() {
        let line = lines.last_mut().unwrap();
        match c {
            '\n' => lines.push(String::new()),
            // What is escaped is itself, or the end of a line that goes on.
            '\\' => lines.extend((rest.next() == Some('\n')).then(String::new)),
            '"' => {
                in_double = !in_double;
                line.push(c);
            }
            '\'' if !in_double => while rest.next().expect("a quoted word ends") != '\'' {},
            '#' if !in_double && matches!(before, ' ' | '\n' | '\t' | ';') => {
                while rest.peek().is_some_and(|next| *next != '\n') {
                    rest.next();
                }
            }
            '$' | '`' => line.push(c),
            ';' | '&' | '|' | '<' | '>' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | ']' | '!'
                if !in_double =>
            {
                line.push(c);
            }
            _ => {}
        }
        before = c;
    }
    assert!(!in_double, "a quote is left open\n{text}");
    lines.retain(|line| !line.is_empty());
    lines
}

/// The machine of [`VMX`] with every text of it set to the same, as the profile has it.
fn named(name: &str, profile: &Profile) -> Machine {
    let mut machine = dialect::vmx::parse(VMX.as_bytes()).unwrap().machine;
    let text = || Some(name.to_owned());
    machine.name = name.to_owned();
    machine.notes = text();
    machine.guest_os.as_mut().unwrap().id = name.to_owned();
    machine.serials = vec![SerialPort { target: SerialTarget::File(name.to_owned()) }];
    let smbios = &mut machine.smbios;
    for field in [
        &mut smbios.manufacturer,
        &mut smbios.product,
        &mut smbios.version,
        &mut smbios.serial,
        &mut smbios.sku,
        &mut smbios.family,
        &mut smbios.asset_tag,
    ] {
        *field = text();
    }
    machine.video.get_or_insert_default().model = text();
    machine.nics.iter_mut().for_each(|nic| nic.network = text());
    machine.removables.iter_mut().for_each(|drive| drive.medium = text());
    machine.disks.iter_mut().for_each(|disk| disk.serial = text());
    let mut machine = dialect::adapt(&machine, profile).machine;
    // A dialect may write back what it said itself.
    for dialect in DIALECTS {
        for key in [name, "plain"] {
            let (key, value) = (key.to_owned(), name.to_owned());
            machine.properties.push(Property { dialect: dialect.name.to_owned(), key, value });
        }
    }
    machine
}

fn options(machine: &Machine, packing: &Packing) -> RenderOptions {
    let kind = &packing.disks[0];
    let disks = machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: format!("{}.{}", disk.id, kind.ending).into(),
        format: kind.format.clone(),
        subformat: kind.subformat.clone(),
        capacity: 1 << 30,
        file_size: Some(1 << 20),
        ..DiskFile::default()
    });
    RenderOptions {
        directory: Some("/machines/one".into()),
        disks: disks.collect(),
        ..RenderOptions::default()
    }
}

fn render(dialect: &Dialect, profile: &Profile, packing: &Packing, name: &str) -> String {
    let machine = named(name, profile);
    let rendered = dialect.render.unwrap()(&machine, profile, &options(&machine, packing));
    rendered.unwrap_or_else(|error| panic!("{} of {name:?}: {error}", dialect.name)).text
}

/// How often each line is there.
fn counts(lines: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line.as_str()).or_default() += 1;
    }
    counts
}

/// The hostile names that change how a description is built, each with a line of it.
fn changes(dialect: &Dialect, profile: &Profile, packing: &Packing, skeletons: Skeletons) -> Vec<String> {
    let texts = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| render(dialect, profile, packing, name)).collect()
    };
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for skeleton in skeletons(&texts(&tame_names())) {
        for (line, count) in counts(&skeleton) {
            let most = most.entry(line.to_owned()).or_default();
            *most = count.max(*most);
        }
    }
    let names = hostile_names();
    let hostile = texts(&names);
    let mut found = Vec::new();
    for (name, skeleton) in names.iter().zip(skeletons(&hostile)) {
        for (line, count) in counts(&skeleton) {
            let tame = most.get(line).copied().unwrap_or(0);
            if count > tame {
                let name: String = name.chars().take(40).collect();
                let place = format!("{} for {}", dialect.name, profile.id);
                found.push(format!("{place}: {name:?}: {line:?} is there {count} times, not {tame}"));
            }
        }
    }
    found
}

#[test]
fn every_dialect_that_is_written_has_a_reader() {
    for dialect in DIALECTS.iter().filter(|dialect| dialect.render.is_some()) {
        assert!(READERS.iter().any(|(name, _)| *name == dialect.name), "{} has no reader", dialect.name);
    }
}

#[test]
fn no_name_changes_how_a_description_is_built() {
    let (mut checked, mut found) = (0, Vec::new());
    for profile in profile::all() {
        for packing in &profile.packing {
            for dialect in packing.descriptions.iter().filter_map(|name| by_name(name)) {
                let reader = READERS.iter().find(|(name, _)| *name == dialect.name);
                let (Some(_), Some((_, skeletons))) = (dialect.render, reader) else { continue };
                found.extend(changes(dialect, profile, packing, *skeletons));
                checked += 1;
            }
        }
    }
    println!("{checked} pairs of a profile and a dialect, {} names each", hostile_names().len());
    assert!(found.is_empty(), "{found:#?}");
    assert!(checked >= 12, "{checked} pairs");
}
