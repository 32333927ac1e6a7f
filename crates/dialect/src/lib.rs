//! Descriptions of virtual machines: VMX, OVF, OVA, libvirt domain XML.
