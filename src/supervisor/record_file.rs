//! The record's file, as the keeper looks after it: regularly flushed to disk, and kept under its
//! name.
//!
//! The filter only has the open file. The keeper notices when somebody renames it (logrotate) or
//! removes it, and tells the filter.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::filter::FilterProcess;
use crate::audit::set_aside;
use crate::proxy::keeper::ToFilter;

/// How often it is looked at. Together with the time that a disk takes, what a power cut can cost.
const LOOKED: Duration = Duration::from_secs(5);

/// What a file was when it was last written to the disk: its inode and length.
type Written = (u64, u64);

/// Looks after the record's file.
///
/// # Errors
/// The filter can't be told.
pub(super) async fn tend(path: &Path, filter: &FilterProcess) -> anyhow::Result<Infallible> {
    let aside = set_aside(path);
    let (mut on_disk, mut aside_on_disk) = (None, None);
    let mut told = None;
    loop {
        tokio::time::sleep(LOOKED).await;
        have_on_disk(&aside, &mut aside_on_disk).await;
        have_on_disk(path, &mut on_disk).await;
        let here = std::fs::symlink_metadata(path)
            .ok()
            .map(|status| status.ino());
        let written = Some(filter.record_inode());
        if here != written && told != written {
            filter.tell(&ToFilter::RecordMoved, &[])?;
            told = written;
        }
    }
}

/// Has a file's bytes written to the disk, where there are more than before. What fails is tried
/// again when there are more.
async fn have_on_disk(path: &Path, before: &mut Option<Written>) {
    let Ok(status) = std::fs::symlink_metadata(path) else {
        return;
    };
    let now = (status.ino(), status.len());
    if *before == Some(now) || !status.is_file() {
        return;
    }
    *before = Some(now);
    let path = path.to_owned();
    // On a thread of its own: a disk may take its time.
    let written =
        tokio::task::spawn_blocking(move || -> io::Result<()> { File::open(path)?.sync_data() });
    let _ = written.await;
}
