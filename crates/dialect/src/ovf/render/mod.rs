//! Writing an OVF 1.x descriptor (DSP0243 1.1.1, schema DSP8023), as VMware's and VirtualBox's importers want it.
//!
//! Sections and elements stand in the schema's order; an item's are alphabetical there (CIM_ResourceAllocationSettingData).
//! VMware's importer refuses an element that it does not know unless it is marked `ovf:required="false"`, and so is all that
//! a machine can be without. VirtualBox reads the standard's elements and its own system type; VMware's extensions are not
//! written for it.

mod hardware;
mod item;
mod sections;
mod storage;

use crate::naming;
use crate::render::{RenderError, RenderOptions, Rendered, path_text};
use crate::vmx::numbering::{self, Places};
use crate::xml::{Element, is_xml};
use item::Item;
use machine::{Loss, Machine, ScsiModel, Severity};
use profile::Profile;
use std::path::Path;

/// The hardware version for a profile that names none: ESXi 6.7's, which every later product runs.
const HARDWARE_VERSION: u64 = 14;

/// Whose importer it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    Vmware { hardware_version: u64 },
    Virtualbox,
}

/// What is written, and for whom.
struct Writer<'a> {
    machine: &'a Machine,
    options: &'a RenderOptions,
    product: Product,
    losses: Vec<Loss>,
    /// The files of the package, as `File` elements.
    files: Vec<Element>,
    /// How many items there are.
    items: u32,
}

/// Writes a descriptor. Its disks are the files of the options, by their paths relative to it.
///
/// # Errors
/// When a disk has no file, a path cannot be written in XML, or the machine is not on the product's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let product = if profile.id == "virtualbox" {
        Product::Virtualbox
    } else {
        let version = profile.hardware_version().and_then(|version| version.parse().ok());
        Product::Vmware { hardware_version: version.unwrap_or(HARDWARE_VERSION) }
    };
    let mut writer = Writer { machine, options, product, losses: Vec::new(), files: Vec::new(), items: 0 };
    let envelope = writer.envelope()?;
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", envelope.document());
    Ok(Rendered { text, losses: writer.losses })
}

impl Writer<'_> {
    fn envelope(&mut self) -> Result<Element, RenderError> {
        let places = self.places()?;
        let disks = self.disk_section()?;
        let networks = self.network_section();
        let system = self.virtual_system(&places)?;
        let references = Element::new("References").children(std::mem::take(&mut self.files));
        let cim = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2";
        let envelope = match self.product {
            Product::Vmware { .. } => {
                Element::new("Envelope").with("xmlns:vmw", "http://www.vmware.com/schema/ovf")
            }
            Product::Virtualbox => Element::new("Envelope")
                .with("ovf:version", "1.0")
                .with("xmlns:vbox", "http://www.virtualbox.org/ovf/machine"),
        };
        Ok(envelope
            .with("xmlns", "http://schemas.dmtf.org/ovf/envelope/1")
            .with("xmlns:ovf", "http://schemas.dmtf.org/ovf/envelope/1")
            .with("xmlns:rasd", format!("{cim}/CIM_ResourceAllocationSettingData"))
            .with("xmlns:vssd", format!("{cim}/CIM_VirtualSystemSettingData"))
            .child(references)
            .maybe(disks)
            .maybe(networks)
            .child(system))
    }

    fn places(&mut self) -> Result<Places, RenderError> {
        let (at_most, offered): (_, fn(ScsiModel) -> bool) = match self.product {
            Product::Vmware { .. } => {
                (4, |model| !matches!(model, ScsiModel::VirtioScsi | ScsiModel::HyperV))
            }
            Product::Virtualbox => (8, |model| !matches!(model, ScsiModel::Pvscsi | ScsiModel::HyperV)),
        };
        numbering::places(self.machine, at_most, offered, &mut self.losses)
    }

    fn virtual_system(&mut self, places: &Places) -> Result<Element, RenderError> {
        let wanted = self.options.name.as_deref().unwrap_or(&self.machine.name);
        let stem = naming::file_stem(wanted);
        let name = match carried(wanted) {
            name if name.is_empty() => stem.clone(),
            name => name,
        };
        if name != wanted {
            let why = "XML does not carry every character, and a name neither begins nor ends with spaces";
            self.changed("name", &name, why);
        }
        let system = Element::new("VirtualSystem").with("ovf:id", &stem).child(info("A virtual machine"));
        let os = self.operating_system();
        let annotation = self.annotation();
        let product = self.product_section();
        let hardware = self.hardware(&stem, places)?;
        self.lacks(places);
        Ok(system
            .child(Element::new("Name").text(&name))
            .child(os)
            .maybe(product)
            .maybe(annotation)
            .child(hardware))
    }

    /// A file of the package; gives back its identifier.
    fn file(&mut self, path: &Path, size: Option<u64>) -> Result<String, RenderError> {
        let directory = self.options.directory.as_deref();
        let inside = directory.and_then(|directory| path.strip_prefix(directory).ok()).unwrap_or(path);
        let id = format!("file{}", self.files.len() + 1);
        let file = Element::new("File").with("ovf:href", path_text(inside)?).with("ovf:id", &id);
        self.files.push(match size {
            Some(size) => file.with("ovf:size", size),
            None => file,
        });
        Ok(id)
    }

    /// An item with the next instance.
    fn item(&mut self, resource_type: u16, name: impl Into<String>) -> Item {
        self.items += 1;
        Item::new(self.items, resource_type, name.into())
    }

    fn is_vmware(&self) -> bool {
        matches!(self.product, Product::Vmware { .. })
    }

    fn dropped(&mut self, severity: Severity, what: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::dropped(severity, what, why));
    }

    fn changed(&mut self, what: impl Into<String>, kept_as: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::changed(what, kept_as, why));
    }
}

fn info(text: &str) -> Element {
    Element::new("Info").text(text)
}

/// A setting of VMware's, which no other importer needs to know.
fn config(key: &str, value: impl ToString) -> Element {
    Element::new("vmw:Config").with("ovf:required", false).with("vmw:key", key).with("vmw:value", value)
}

/// What of a text an element carries: no spaces around it, and no character that XML lacks.
fn carried(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if is_xml(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    text.trim().to_owned()
}
