//! The records of objects, with every field without which xapi does not take them.

use super::value::Value;

/// A reference to nothing.
pub(super) const NULL: &str = "OpaqueRef:NULL";

/// A time that says nothing.
const EPOCH: Value = Value::Time("19700101T00:00:00Z");

fn nothing() -> Value {
    Value::text("")
}

fn no_list() -> Value {
    Value::List(Vec::new())
}

fn no_map() -> Value {
    Value::Map(Vec::new())
}

pub(super) fn reference(number: usize) -> String {
    format!("Ref:{number}")
}

pub(super) fn references(numbers: impl IntoIterator<Item = String>) -> Value {
    Value::List(numbers.into_iter().map(Value::Text).collect())
}

/// An object: its class, its reference, and its record with what every record has.
pub(super) fn object(class: &str, id: String, fields: Vec<(&str, Value)>) -> Value {
    let mut record: Vec<(String, Value)> = Vec::new();
    let mut has = |name: &str, value: Value| {
        if !record.iter().any(|(known, _)| known == name) {
            record.push((name.to_owned(), value));
        }
    };
    for (name, value) in fields {
        has(name, value);
    }
    has("uuid", nothing());
    has("allowed_operations", no_list());
    has("current_operations", no_map());
    has("other_config", no_map());
    let record = Value::Map(record);
    Value::map([("class", Value::text(class)), ("id", Value::Text(id)), ("snapshot", record)])
}

/// The fields of a VM that say nothing here.
pub(super) fn vm_rest() -> Vec<(&'static str, Value)> {
    let text = Value::text;
    vec![
        ("power_state", text("Halted")),
        ("user_version", text("1")),
        ("is_a_template", Value::Flag(false)),
        ("is_default_template", Value::Flag(false)),
        ("suspend_VDI", text(NULL)),
        ("resident_on", text(NULL)),
        ("affinity", text(NULL)),
        ("memory_overhead", text("0")),
        ("memory_target", text("0")),
        ("VCPUs_params", no_map()),
        ("actions_after_shutdown", text("destroy")),
        ("actions_after_reboot", text("restart")),
        ("actions_after_crash", text("restart")),
        ("consoles", no_list()),
        ("crash_dumps", no_list()),
        ("VTPMs", no_list()),
        ("PV_bootloader", nothing()),
        ("PV_kernel", nothing()),
        ("PV_ramdisk", nothing()),
        ("PV_args", nothing()),
        ("PV_bootloader_args", nothing()),
        ("PV_legacy_args", nothing()),
        ("HVM_boot_policy", text("BIOS order")),
        ("HVM_shadow_multiplier", Value::Real("1")),
        ("domain_type", text("hvm")),
        ("PCI_bus", nothing()),
        ("domid", text("-1")),
        ("domarch", nothing()),
        ("last_boot_CPU_flags", no_map()),
        ("is_control_domain", Value::Flag(false)),
        ("metrics", text(NULL)),
        ("guest_metrics", text(NULL)),
        ("last_booted_record", nothing()),
        ("recommendations", nothing()),
        ("xenstore_data", no_map()),
        ("ha_always_run", Value::Flag(false)),
        ("ha_restart_priority", nothing()),
        ("is_a_snapshot", Value::Flag(false)),
        ("snapshot_of", text(NULL)),
        ("snapshots", no_list()),
        ("snapshot_time", EPOCH),
        ("transportable_snapshot_id", nothing()),
        ("blobs", no_map()),
        ("tags", no_list()),
        ("blocked_operations", no_map()),
        ("snapshot_info", no_map()),
        ("snapshot_metadata", nothing()),
        ("parent", text(NULL)),
        ("children", no_list()),
        ("protection_policy", text(NULL)),
        ("is_snapshot_from_vmpp", Value::Flag(false)),
        ("appliance", text(NULL)),
        ("start_delay", text("0")),
        ("shutdown_delay", text("0")),
        ("order", text("0")),
        ("VGPUs", no_list()),
        ("attached_PCIs", no_list()),
        ("suspend_SR", text(NULL)),
        ("version", text("0")),
        ("generation_id", nothing()),
        ("hardware_platform_version", text("0")),
        ("has_vendor_device", Value::Flag(false)),
        ("requires_reboot", Value::Flag(false)),
        ("reference_label", nothing()),
    ]
}

/// What a VBD and a VIF have in common.
pub(super) fn device_rest() -> Vec<(&'static str, Value)> {
    vec![
        ("currently_attached", Value::Flag(false)),
        ("status_code", Value::text("0")),
        ("status_detail", nothing()),
        ("runtime_properties", no_map()),
        ("qos_algorithm_type", nothing()),
        ("qos_algorithm_params", no_map()),
        ("qos_supported_algorithms", no_list()),
        ("metrics", Value::text(NULL)),
    ]
}

/// The fields of a VBD that say nothing here.
pub(super) fn vbd_rest() -> Vec<(&'static str, Value)> {
    let own = [("unpluggable", Value::Flag(false)), ("storage_lock", Value::Flag(false))];
    own.into_iter().chain(device_rest()).collect()
}

/// The fields of a VDI that say nothing here.
pub(super) fn vdi_rest() -> Vec<(&'static str, Value)> {
    vec![
        ("crash_dumps", no_list()),
        ("physical_utilisation", Value::text("0")),
        ("type", Value::text("user")),
        ("storage_lock", Value::Flag(false)),
        ("location", nothing()),
        ("managed", Value::Flag(true)),
        ("missing", Value::Flag(false)),
        ("parent", Value::text(NULL)),
        ("xenstore_data", no_map()),
        ("sm_config", no_map()),
        ("is_a_snapshot", Value::Flag(false)),
        ("snapshot_of", Value::text(NULL)),
        ("snapshots", no_list()),
        ("snapshot_time", EPOCH),
        ("tags", no_list()),
        ("allow_caching", Value::Flag(false)),
        ("on_boot", Value::text("persist")),
        ("metadata_of_pool", Value::text(NULL)),
        ("metadata_latest", Value::Flag(false)),
    ]
}

/// The fields of an SR that say nothing here.
pub(super) fn sr_rest() -> Vec<(&'static str, Value)> {
    vec![
        ("name_description", nothing()),
        ("PBDs", no_list()),
        ("virtual_allocation", Value::text("0")),
        ("physical_utilisation", Value::text("0")),
        ("physical_size", Value::text("0")),
        ("type", Value::text("lvm")),
        ("content_type", Value::text("user")),
        ("shared", Value::Flag(false)),
        ("tags", no_list()),
        ("sm_config", no_map()),
        ("blobs", no_map()),
        ("local_cache_enabled", Value::Flag(false)),
    ]
}

/// The fields of a network that say nothing here.
pub(super) fn network_rest() -> Vec<(&'static str, Value)> {
    vec![
        ("name_description", nothing()),
        ("PIFs", no_list()),
        ("MTU", Value::text("1500")),
        ("blobs", no_map()),
        ("tags", no_list()),
        ("default_locking_mode", Value::text("unlocked")),
    ]
}
