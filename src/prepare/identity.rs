//! Who a container is: by Docker's own file of it, else by what other engines write into its
//! annotations.
//!
//! Not knowing is no reason to refuse a container: what can't be read is missing in the record.

use super::resolvers::{Docker, dockers_file};
use crate::audit::line::ContainerIdentity;
use crate::settings::Settings;
use crate::spec::{Spec, identity};

/// Finds out.
pub(crate) fn find(settings: &Settings, docker: &Docker, spec: &Spec) -> ContainerIdentity {
    let wanted = &settings.record_labels;
    match &docker.kept_in {
        Some(directory) => identity::of_docker(&dockers_file(directory, "config.v2.json"), wanted),
        None => identity::of_annotations(spec, wanted),
    }
}
