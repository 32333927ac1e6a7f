//! libosinfo's URLs, by which libvirt's metadata name a system.

/// Where libosinfo's identifiers begin, by what the short one begins with.
const LIBOSINFO: [(&str, &str); 26] = [
    ("almalinux", "almalinux.org/almalinux"),
    ("alpinelinux", "alpinelinux.org/alpinelinux"),
    ("centos", "centos.org/centos"),
    ("centos-stream", "centos.org/centos-stream"),
    ("debian", "debian.org/debian"),
    ("fedora", "fedoraproject.org/fedora"),
    ("fedora-coreos", "fedoraproject.org/coreos"),
    ("freebsd", "freebsd.org/freebsd"),
    ("linux", "libosinfo.org/linux"),
    ("mandriva", "mandriva.com/mandriva"),
    ("msdos", "microsoft.com/msdos"),
    ("netbsd", "netbsd.org/netbsd"),
    ("netware", "novell.com/netware"),
    ("ol", "oracle.com/ol"),
    ("openbsd", "openbsd.org/openbsd"),
    ("opensuse", "opensuse.org/opensuse"),
    ("rhel", "redhat.com/rhel"),
    ("rocky", "rockylinux.org/rocky"),
    ("sle", "suse.com/sle"),
    ("sled", "suse.com/sled"),
    ("sles", "suse.com/sles"),
    ("solaris", "sun.com/solaris"),
    ("solaris11", "oracle.com/solaris/11"),
    ("ubuntu", "ubuntu.com/ubuntu"),
    ("win", "microsoft.com/win"),
    ("winnt", "microsoft.com/winnt"),
];

/// The URL by which libvirt's metadata name a system, from libosinfo's short identifier; `None` when its maker or its
/// release is not known here.
pub fn libosinfo_url(short: &str) -> Option<String> {
    let fits = |(word, _): &&(&str, &str)| short.starts_with(word);
    let (word, base) = LIBOSINFO.iter().filter(fits).max_by_key(|(word, _)| word.len())?;
    let release = short.strip_prefix(word)?;
    let release = release.strip_prefix('-').unwrap_or(release);
    match release {
        // An alias of whatever is the newest.
        "lts-latest" => None,
        // Some releases stand in the table as a whole.
        "" => (base.matches('/').count() == 2).then(|| format!("http://{base}")),
        release => Some(format!("http://{base}/{release}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_the_database() {
        for (short, url) in [
            ("debian12", "http://debian.org/debian/12"),
            ("win2k19", "http://microsoft.com/win/2k19"),
            ("winnt4.0", "http://microsoft.com/winnt/4.0"),
            ("rhel9-unknown", "http://redhat.com/rhel/9-unknown"),
            ("fedora-unknown", "http://fedoraproject.org/fedora/unknown"),
            ("sles12", "http://suse.com/sles/12"),
            ("sle15", "http://suse.com/sle/15"),
        ] {
            assert_eq!(libosinfo_url(short).as_deref(), Some(url));
        }
        assert_eq!(libosinfo_url("unknown"), None);
    }
}
