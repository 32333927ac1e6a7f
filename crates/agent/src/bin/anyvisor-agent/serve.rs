//! Requests in, replies out.

use crate::failure::{Failure, Result};
use crate::files::{self, Replacement};
use crate::mounts::Mounts;
use agent::payload::{self, SendError};
use agent::{FailureKind, Reply, Request};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

/// Serves requests until the host hangs up.
pub(crate) fn serve(from: &mut impl Read, to: &File) -> io::Result<()> {
    let mut to = to;
    let mut mounts = Mounts::default();
    loop {
        let request = match agent::receive(from) {
            Ok(request) => request,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        match request {
            Request::Read { path, limit } => read(&mounts, &path, limit, &mut to)?,
            Request::Write { path, mode } => {
                let reply = write(&mounts, &path, mode, from)?;
                agent::send(&mut to, &reply)?;
            }
            request => {
                let reply = handle(&mut mounts, request).unwrap_or_else(Failure::into_reply);
                agent::send(&mut to, &reply)?;
            }
        }
    }
}

fn handle(mounts: &mut Mounts, request: Request) -> Result<Reply> {
    match request {
        Request::Hello => {
            let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
            return Ok(Reply::Ready { kernel });
        }
        Request::Mount { device, kind, at, read_only, subvolume } => {
            mounts.mount(&device, &kind, &at, read_only, subvolume.as_deref())?;
        }
        Request::UnmountAll => mounts.unmount_all()?,
        Request::List { path } => return files::list(mounts.tree()?, &path),
        Request::Metadata { path } => return files::metadata(mounts.tree()?, &path),
        Request::ReadLink { path } => return files::read_link(mounts.tree()?, &path),
        Request::CreateDir { path } => files::create_dir(mounts.tree()?, &path)?,
        Request::Symlink { target, path } => files::symlink(mounts.tree()?, &target, &path)?,
        Request::Rename { from, to } => files::rename(mounts.tree()?, &from, &to)?,
        Request::Remove { path } => files::remove(mounts.tree()?, &path)?,
        Request::SetOwner { path, uid, gid, mode } => {
            files::set_owner(mounts.tree()?, &path, uid, gid, mode)?
        }
        Request::Xattr { path, name } => return files::get_xattr(mounts.tree()?, &path, &name),
        Request::SetXattr { path, name, value } => files::set_xattr(mounts.tree()?, &path, &name, &value)?,
        Request::Trim { at } => {
            let directory = mounts.tree()?.open_at(&at, OFlags::RDONLY | OFlags::DIRECTORY)?;
            return Ok(Reply::Trimmed { bytes: fitrim::trim(directory)? });
        }
        Request::FreeSpace { at } => {
            let directory = mounts.tree()?.open_at(&at, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let filesystem = rustix::fs::fstatvfs(directory)?;
            return Ok(Reply::Free { bytes: filesystem.f_bavail.saturating_mul(filesystem.f_frsize) });
        }
        Request::Sync => rustix::fs::sync(),
        Request::Read { .. } | Request::Write { .. } => {
            return Err(Failure::new(FailureKind::Other, "it comes with a payload"));
        }
    }
    Ok(Reply::Done)
}

fn read(mounts: &Mounts, path: &str, limit: u64, to: &mut impl Write) -> io::Result<()> {
    let opened = mounts.tree().and_then(|tree| files::open(tree, path, limit));
    let (mut file, size) = match opened {
        Ok(opened) => opened,
        Err(failure) => return agent::send(to, &failure.into_reply()),
    };
    agent::send(to, &Reply::Contents { size })?;
    match payload::send(to, &mut file, limit) {
        Ok(()) => Ok(()),
        Err(SendError::Source(error)) => agent::send(to, &Failure::from(error).into_reply()),
        Err(SendError::Connection(error)) => Err(error),
    }
}

fn write(mounts: &Mounts, path: &str, mode: u32, from: &mut impl Read) -> io::Result<Reply> {
    let mut begun = mounts.tree().and_then(|tree| Replacement::begin(tree, path, mode));
    let (ended, written) = payload::receive(from, |piece| match &mut begun {
        Ok(replacement) => replacement.file().write_all(piece).map_err(Failure::from),
        Err(failure) => Err(failure.clone()),
    })?;
    let cut_off = || Failure::new(FailureKind::Other, "the host gave up");
    let written = if ended == payload::Ended::Complete { written } else { Err(cut_off()) };
    let outcome = begun.and_then(|replacement| match written {
        Ok(()) => replacement.finish(),
        Err(failure) => Err(replacement.abandon(failure)),
    });
    Ok(outcome.map_or_else(Failure::into_reply, |()| Reply::Done))
}
