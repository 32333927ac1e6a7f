//! The init of the appliance, and the protocol that it speaks.
