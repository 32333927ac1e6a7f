//! What the vendors say of a guest where it goes: what was found in a source, in the words of the support matrix.

use crate::plan::Facts;
use dialect::guest_os::{Vocabulary, translate};
use guest::inspect::{Family, Inspection};
use profile::Profile;
use profile::support::{Answer, Matrix, Place, System};

/// The guest of a source: by what it says of itself, else by what its description calls it. `None` when that is no system
/// that the matrix knows.
pub fn system(facts: &Facts) -> Option<System> {
    let inside = facts.guest.as_ref().and_then(inspected);
    inside.or_else(|| {
        let os = translate(facts.machine.guest_os.as_ref()?, Vocabulary::Libosinfo)?;
        os.exact.then(|| Matrix::builtin().libosinfo(&os.os.id)).flatten()
    })
}

fn inspected(guest: &Inspection) -> Option<System> {
    let os = &guest.os;
    match os.family {
        Family::Linux => Matrix::builtin().linux(os.id.as_deref(), os.version.as_deref(), os.name.as_deref()),
        // Which Windows it is, only the description tells so far.
        Family::Windows | Family::Unknown => None,
    }
}

/// What is known of `guest` on `profile`.
pub fn answer(guest: &System, profile: &Profile) -> Answer {
    let place = Place { profile: profile.id.clone(), host: None, release: profile.release.clone() };
    Matrix::builtin().answer(guest, &place)
}
