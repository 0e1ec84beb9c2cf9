//! The container's name, image and labels: from Docker's own file about it, else from the
//! annotations that other engines write.
//!
//! What can't be read is missing in the record; it is no reason to refuse a container.

use std::path::Path;

use super::resolvers::dockers_file;
use crate::audit::line::ContainerIdentity;
use crate::settings::Settings;
use crate::spec::{Spec, identity};

/// Finds out. `docker`: the directory where Docker keeps the container's files, if it made it.
pub(crate) fn find(settings: &Settings, docker: Option<&Path>, spec: &Spec) -> ContainerIdentity {
    let wanted = &settings.record_labels;
    match docker {
        Some(directory) => identity::of_docker(&dockers_file(directory, "config.v2.json"), wanted),
        None => identity::of_annotations(spec, wanted),
    }
}
