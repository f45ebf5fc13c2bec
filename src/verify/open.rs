//! Paths that nobody needs to sign for: health checks, and routes that the gateway leaves open.

/// The beginnings of such paths.
#[derive(Clone, Debug, Default)]
pub struct OpenPaths(Vec<String>);

impl OpenPaths {
    /// Those that begin so; "/a" is the beginning of "/a" and "/a/b", not of "/ab".
    #[must_use]
    pub const fn new(paths: Vec<String>) -> Self {
        Self(paths)
    }

    /// Whether `path`, as the freest of backends would read it, is one of them.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0
            .iter()
            .any(|open| crate::policy::is_below(path, open))
    }
}
