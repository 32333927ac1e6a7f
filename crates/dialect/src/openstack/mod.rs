//! OpenStack: the images, ports, flavor and server that a machine becomes, as JSON, and a shell script that makes them.
//!
//! The image properties are those of Glance that Nova's libvirt driver reads (Glance's "Useful image properties", Nova's
//! `ImageMetaProps`). Both dialects say the same; a [`Deployment`](deployment::Deployment) is what is said.

mod deployment;
mod sayable;
mod script;

use crate::dialects::Dialect;
use crate::render::{RenderError, RenderOptions, Rendered};
use crate::unsaid;
use deployment::Deployment;
use machine::{Loss, Machine};
use profile::Profile;

/// The dialect of the JSON.
pub static DIALECT: Dialect = Dialect {
    name: "openstack",
    description: "images, ports and a flavor for OpenStack (JSON)",
    ending: "json",
    executable: false,
    recognise: |_| false,
    parse: None,
    render: Some(render),
};

/// The dialect of the script.
pub static UPLOAD: Dialect = Dialect {
    name: "openstack-upload",
    description: "a shell script that uploads a machine to OpenStack",
    ending: "sh",
    executable: true,
    recognise: |_| false,
    parse: None,
    render: Some(render_upload),
};

/// Writes the JSON: `images` with their properties, each disk's volume, `ports`, the `flavor` that fits, the `server`.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let (deployment, losses) = deploy(machine, profile, options)?;
    // Plain data always has a form in JSON.
    let mut text = serde_json::to_string_pretty(&deployment).unwrap_or_default();
    text.push('\n');
    Ok(Rendered { text, losses })
}

/// Writes the script, which asks the environment for everything that is not the machine's.
///
/// # Errors
/// As for [`render`].
pub fn render_upload(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let (deployment, losses) = deploy(machine, profile, options)?;
    Ok(Rendered { text: script::script(&deployment), losses })
}

fn deploy(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<(Deployment, Vec<Loss>), RenderError> {
    let said = sayable::sayable(machine, profile, options)?;
    let mut losses = Vec::new();
    let deployment = Deployment::new(&said, profile, options, &mut losses)?;
    losses.extend(unsaid::losses(machine, &said, &sayable::REASONS, &losses));
    Ok((deployment, losses))
}
