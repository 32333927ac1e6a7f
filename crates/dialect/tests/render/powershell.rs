//! The script for Hyper-V, read by a small scanner of PowerShell: whatever a name holds, it stays within its quotes.

use crate::{VMX, hostile_names};
use dialect::{DiskFile, RenderOptions};
use machine::{Firmware, Machine, SerialPort, SerialTarget};
use profile::Profile;

fn hyperv(release: &str) -> &'static Profile {
    profile::find_release("hyperv", release).unwrap()
}

fn adapted(profile: &Profile, firmware: Option<Firmware>) -> Machine {
    let mut source = dialect::vmx::parse(VMX.as_bytes()).unwrap().machine;
    source.firmware = firmware.unwrap_or(source.firmware);
    source.smbios.serial = Some("VMware-56 4d".to_owned());
    let adapted = dialect::adapt(&source, profile);
    assert_eq!(adapted.objections, []);
    adapted.machine
}

fn options(machine: &Machine) -> RenderOptions {
    let disks = machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: format!("{}.vhdx", disk.id).into(),
        format: "vhdx".to_owned(),
        capacity: 1 << 30,
        ..DiskFile::default()
    });
    RenderOptions { disks: disks.collect(), ..RenderOptions::default() }
}

fn render(machine: &Machine, profile: &Profile) -> String {
    dialect::hyperv::powershell::render(machine, profile, &options(machine)).unwrap().text
}

/// What PowerShell takes for the end of a literal in single quotes (language specification, 2.3.5.2).
fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}')
}

/// A script's text with every literal in single quotes as `@`, and the literals as PowerShell understands them.
pub fn scan(script: &str) -> (String, Vec<String>) {
    let (mut skeleton, mut literals) = (String::new(), Vec::new());
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        if is_quote(c) {
            let mut literal = String::new();
            loop {
                let c = rest.next().expect("a literal ends");
                if is_quote(c) && rest.next_if(|next| is_quote(*next)).is_none() {
                    break;
                }
                literal.push(c);
            }
            literals.push(literal);
            skeleton.push('@');
        } else if c == '"' {
            skeleton.push(c);
            loop {
                let c = rest.next().expect("a string ends");
                skeleton.push(c);
                match c {
                    '"' => break,
                    '`' => skeleton.extend(rest.next()),
                    _ => {}
                }
            }
        } else if c == '#' {
            let is_block = skeleton.ends_with('<');
            skeleton.push(c);
            let ends = |text: &str| if is_block { text.ends_with("#>") } else { text.ends_with('\n') };
            while !ends(&skeleton) {
                skeleton.push(rest.next().expect("a comment ends"));
            }
        } else {
            skeleton.push(c);
        }
    }
    (skeleton, literals)
}

/// The machine, with a name and everything else that is text set to the same.
fn named(mut machine: Machine, name: &str) -> Machine {
    machine.notes = Some(name.to_owned());
    machine.smbios.serial = Some(name.to_owned());
    machine.smbios.asset_tag = Some(name.to_owned());
    for nic in &mut machine.nics {
        (nic.network, nic.connected) = (Some(name.to_owned()), true);
    }
    machine.serials = vec![SerialPort { target: SerialTarget::Pipe(format!(r"\\.\pipe\{name}")) }];
    machine.name = name.to_owned();
    machine
}

#[test]
fn no_text_leaves_its_quotes() {
    let profile = hyperv("2022");
    for firmware in [None, Some(Firmware::Bios)] {
        let machine = adapted(profile, firmware);
        let (expected, _) = scan(&render(&named(machine.clone(), "plain"), profile));
        for name in hostile_names().into_iter().chain(["\u{2019}; Remove-VM * #\u{2018}".to_owned()]) {
            let text = render(&named(machine.clone(), &name), profile);
            let (skeleton, literals) = scan(&text);
            assert_eq!(skeleton, expected, "{name:?}");
            let is_carried = |c: char| !c.is_control() && c != '\u{fffe}';
            if name.chars().all(|c| is_carried(c) || c == '\n' || c == '\t') {
                assert!(literals.contains(&name), "{name:?} is not in {literals:?}");
            }
        }
    }
}

#[test]
fn the_disks_may_be_called_anything() {
    let profile = hyperv("2022");
    let machine = adapted(profile, None);
    let rendered = |name: &str| {
        let mut options = options(&machine);
        options.disks[0].path = format!("x{name}").into();
        dialect::hyperv::powershell::render(&machine, profile, &options)
    };
    let (expected, _) = scan(&rendered("plain").unwrap().text);
    for name in hostile_names() {
        let Ok(rendered) = rendered(&name) else { continue };
        let (skeleton, literals) = scan(&rendered.text);
        assert_eq!(skeleton, expected);
        assert!(literals.contains(&format!("x{name}")), "{name:?}");
    }
}

#[test]
fn a_script_reads_well() {
    let profile = hyperv("2022");
    insta::assert_snapshot!("generation_2", render(&adapted(profile, None), profile));
    let machine = adapted(profile, Some(Firmware::Bios));
    insta::assert_snapshot!("generation_1", render(&machine, profile));
}

#[test]
fn an_old_release_gets_only_what_it_knows() {
    let profile = hyperv("2012r2");
    let machine = adapted(profile, None);
    assert_eq!(machine.tpm, None);
    let rendered = dialect::hyperv::powershell::render(&machine, profile, &options(&machine)).unwrap();
    for unknown in ["VMTPM", "SecureBootTemplate", "HwThreadCountPerCore"] {
        assert!(!rendered.text.contains(unknown), "{unknown}");
    }
    assert!(rendered.text.contains("-EnableSecureBoot Off"));
    assert!(rendered.losses.iter().any(|loss| loss.what == "firmware.uefi.secure_boot"));
}
