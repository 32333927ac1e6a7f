//! Start QEMU: accelerator, arguments, QMP, consoles.
