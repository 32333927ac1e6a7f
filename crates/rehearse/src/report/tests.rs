use super::*;

/// What a Debian 12 guest on VMware's devices wrote.
const BODY: &str = "format 1\n\
    os-name Debian GNU/Linux 12 (bookworm)\n\
    os-version 12\n\
    os-id debian\n\
    kernel 6.1.0-56-amd64\n\
    architecture x86_64\n\
    init systemd\n\
    root /dev/sda ext4\n\
    root-disk sda sd,vmw_pvscsi\n\
    disk sda 2147483648 sd,vmw_pvscsi\n\
    nic enp0s2 00:50:56:01:02:03 down vmxnet3\n\
    state degraded\n\
    stamp KernelTimestampMonotonic 0\n\
    stamp InitRDTimestampMonotonic 0\n\
    stamp UserspaceTimestampMonotonic 7309735\n\
    stamp FinishTimestampMonotonic 14368505\n\
    target graphical.target active 14234266\n\
    target multi-user.target active 14233121\n\
    target emergency.target inactive 0\n\
    target rescue.target inactive 0\n\
    failed networking.service\n\
    login agetty\n\
    uptime 15.90";

fn framed(body: &str) -> String {
    let sum = cksum(body.as_bytes());
    format!("\nanyvisor-report-begin\n{body}\nanyvisor-report-end {} {sum}\n", body.len())
}

#[test]
fn the_checksum_is_that_of_cksum() {
    // As coreutils' cksum prints for these bytes.
    assert_eq!(cksum(b""), 4_294_967_295);
    assert_eq!(cksum(b"123456789"), 930_766_865);
    assert_eq!(cksum(BODY.as_bytes()), 3_681_898_914);
    assert_eq!(BODY.len(), 615);
}

#[test]
fn reads_a_report() {
    let facts = parse(&framed(BODY)).unwrap().unwrap();
    assert_eq!(facts.os_name.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
    let root = facts.root.clone().unwrap();
    assert_eq!((root.source.as_str(), root.filesystem.as_str()), ("/dev/sda", "ext4"));
    assert_eq!(root.disks[0].drivers, ["sd", "vmw_pvscsi"]);
    assert_eq!(facts.nics[0].drivers, ["vmxnet3"]);
    assert_eq!(facts.failed_units, ["networking.service"]);
    assert_eq!((facts.initrd_ms, facts.init_ms), (None, Some(7309)));
    assert!(facts.has_reached("multi-user.target") && !facts.is_emergency());
    assert_eq!(facts.reached_after_ms("multi-user.target"), Some(14233));
}

#[test]
fn only_uefi_speaks_of_secure_boot() {
    let secure_boot = |line: &str| parse(&framed(&format!("format 1\n{line}"))).unwrap().unwrap().secure_boot;
    assert_eq!(secure_boot("secure-boot 1"), Some(true));
    assert_eq!(secure_boot("secure-boot 0"), Some(false));
    assert_eq!((secure_boot("secure-boot"), secure_boot("kernel 6.1")), (None, None));
}

#[test]
fn a_terminal_may_have_added_carriage_returns() {
    let cooked = framed(BODY).replace('\n', "\r\n");
    assert_eq!(parse(&cooked).unwrap(), parse(&framed(BODY)).unwrap());
}

#[test]
fn any_part_of_a_report_is_none_or_an_error_and_never_facts() {
    let whole = framed(BODY);
    for end in 0..whole.len() {
        assert_eq!(parse(&whole[..end]), Ok(None), "the first {end} bytes");
    }
    for start in 24..whole.len() - 1 {
        let part = parse(&whole[start..]);
        assert!(matches!(part, Ok(None) | Err(_)), "without the first {start} bytes: {part:?}");
    }
}

#[test]
fn a_changed_or_missing_byte_is_noticed() {
    let changed = framed(BODY).replace("vmxnet3", "vmxnet2");
    assert!(matches!(parse(&changed), Err(ReportError::Checksum { .. })));
    let missing = framed(BODY).replace("vmxnet3", "vmxnet");
    assert_eq!(parse(&missing), Err(ReportError::Length { stated: 615, found: 614 }));
}

#[test]
fn a_later_report_wins() {
    let both = framed(BODY).replace("vmxnet3", "v") + "[   9.1] noise\n" + &framed("format 1\nkernel 6.2");
    assert_eq!(parse(&both).unwrap().unwrap().kernel.as_deref(), Some("6.2"));
}

#[test]
fn garbage_is_none_or_an_error() {
    for garbage in ["", "\n", "login: ", "\u{fffd}\u{fffd}", "anyvisor-report-begin\n"] {
        assert_eq!(parse(garbage), Ok(None), "{garbage:?}");
    }
    for end in ["", "x", "5", "5 x", "-1 5", "99999999999999999999 1", "5 99999999999", "5  1"] {
        let text = format!("anyvisor-report-begin\nhello\nanyvisor-report-end {end}\n");
        assert!(matches!(parse(&text), Err(ReportError::End { .. })), "{end:?}");
    }
    assert_eq!(parse(&framed("hello")), Err(ReportError::Format { format: String::new() }));
    assert_eq!(parse(&framed("format 2")), Err(ReportError::Format { format: "2".into() }));
}

#[test]
fn a_hostile_report_is_bounded_and_has_no_control_characters() {
    let lines = "failed x\n".repeat(10_000);
    let facts = parse(&framed(&format!("format 1\n{lines}end"))).unwrap().unwrap();
    assert!(facts.failed_units.len() < LINES);

    let name = "n".repeat(10_000);
    let body = format!(
        "format 1\nos-name \u{1b}[2Jevil\u{7}\nkernel {name}\nuptime NaN\ndisk sda 99999999999999999999\nnic\n\
         root-disk\ntarget a b 18446744073709551615"
    );
    let facts = parse(&framed(&body)).unwrap().unwrap();
    assert_eq!(facts.os_name.as_deref(), Some("[2Jevil"));
    assert_eq!(facts.kernel.unwrap().len(), FIELD);
    assert_eq!((facts.uptime_ms, facts.disks[0].bytes), (None, 0));

    let long = "format 1\n".to_string() + &"x".repeat(LONGEST);
    assert!(matches!(parse(&framed(&long)), Err(ReportError::Length { .. })));
}

/// The script on the machine that runs the tests, with a file for its port and without waiting.
fn run_here(directory: &std::path::Path) -> String {
    let port = directory.join("port");
    let script = SCRIPT
        .replace("/dev/ttyS1", port.to_str().unwrap())
        .replace("\nsettle\n", "\n")
        .replace("in 0 3 6", "in 0");
    let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    std::fs::read_to_string(port).unwrap()
}

#[test]
fn the_script_and_the_parser_agree() {
    let directory = tempfile::tempdir().unwrap();
    let facts = parse(&run_here(directory.path())).unwrap().unwrap();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(facts.kernel.as_deref(), Some(kernel.trim()));
    let root = facts.root.unwrap();
    assert!(!root.source.is_empty() && root.filesystem != "?", "{root:?}");
    assert!(facts.uptime_ms.unwrap() > 0);
    assert!(facts.addresses.iter().all(|address| address.interface.as_deref() != Some("lo")));
}
