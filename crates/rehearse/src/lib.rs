//! Boot a throwaway overlay on a profile's virtual hardware and collect evidence.
