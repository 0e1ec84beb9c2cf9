//! Opens what a filter needs that intercepts TLS, while it can still be opened.

use anyhow::Context;

use crate::certificates;
use crate::container::plan::TrustPlan;
use crate::container::trust::{self, STORE_LIMIT};
use crate::proxy::tls::trust::Trust;
use crate::sys::rooted::Root;

/// Opens the stores, and reads the roots.
pub(super) fn open(plan: &TrustPlan) -> anyhow::Result<Trust> {
    let read = |path: &std::path::PathBuf| {
        let found = Root::at(path).and_then(|file| file.read("".as_ref(), STORE_LIMIT));
        let found = found.with_context(|| format!("read the roots {}", path.display()))?;
        Ok(certificates::from_pem(&found.bytes))
    };
    let roots = plan.roots.iter().map(read);
    let stores = plan.stores.iter().map(|(path, format)| {
        let store = trust::open(path);
        let store = store.with_context(|| format!("open the trust store {}", path.display()))?;
        Ok((store, *format))
    });
    Ok(Trust {
        roots: certificates::union(roots.collect::<anyhow::Result<Vec<_>>>()?),
        stores: stores.collect::<anyhow::Result<_>>()?,
    })
}
