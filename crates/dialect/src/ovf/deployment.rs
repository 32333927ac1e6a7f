//! Deployment configurations (DSP0243 2.1.1, clause 9.8).

use super::document::{Document, attribute, child_text, children};
use crate::text::excerpt;
use machine::{Loss, Severity};

/// The configuration that is the default, or the first.
pub(super) fn default_configuration(document: &Document, losses: &mut Vec<Loss>) -> Option<String> {
    let configurations: Vec<_> = document
        .envelope_sections("DeploymentOptionSection")
        .flat_map(|section| children(section, "Configuration").collect::<Vec<_>>())
        .collect();
    let is_default =
        |node| attribute(node, "default").is_some_and(|value| matches!(value.trim(), "true" | "1"));
    let chosen =
        configurations.iter().copied().find(|node| is_default(*node)).or(configurations.first().copied())?;
    let id = attribute(chosen, "id")?.to_owned();
    if configurations.len() > 1 {
        let others: Vec<String> = configurations
            .iter()
            .filter(|node| **node != chosen)
            .take(16)
            .filter_map(|node| attribute(*node, "id"))
            .map(|id| excerpt(id, 40))
            .collect();
        let label = child_text(chosen, "Label").unwrap_or_default();
        let what = format!("DeploymentOptionSection: {} {}", excerpt(&id, 60), excerpt(&label, 60));
        let why =
            format!("the default configuration is taken; the package also offers {}", others.join(", "));
        losses.push(Loss::dropped(Severity::Note, what.trim(), why));
    }
    Some(id)
}
