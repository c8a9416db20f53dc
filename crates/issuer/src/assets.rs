//! The stylesheet, the passkey script and the mark: compiled in, named by what they hold, kept by browsers for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

/// One file the pages use.
struct Asset {
    /// Its name, with a hash of its bytes in it: a new release is a new address.
    name: String,
    /// Where pages point to.
    path: String,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let name = format!("{stem}.{:016x}.{ending}", fnv1a(bytes));
        Self { path: format!("/assets/{name}"), name, kind, bytes }
    }
}

static CSS: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("hallpass", "css", "text/css; charset=utf-8", include_bytes!("../assets/hallpass.css"))
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("passkey", "js", "text/javascript; charset=utf-8", include_bytes!("../assets/passkey.js"))
});
static MARK: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("mark", "svg", "image/svg+xml", include_bytes!("../assets/mark.svg")));

/// Where the stylesheet is.
pub(crate) fn css() -> &'static str {
    &CSS.path
}

/// Where the passkey script is.
pub(crate) fn script() -> &'static str {
    &SCRIPT.path
}

/// Where the mark is.
pub(crate) fn mark() -> &'static str {
    &MARK.path
}

/// `GET /assets/{name}`.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = [&*CSS, &*SCRIPT, &*MARK].into_iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, asset.bytes).into_response()
}

/// FNV-1a, 64 bits: tells releases apart. It guards nothing.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_agrees_with_its_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[tokio::test]
    async fn only_the_current_names_are_there() {
        for path in [css(), script(), mark()] {
            let name = path.strip_prefix("/assets/").unwrap().to_owned();
            assert_eq!(asset(Path(name)).await.status(), StatusCode::OK);
        }
        assert_eq!(asset(Path("hallpass.css".into())).await.status(), StatusCode::NOT_FOUND);
    }
}
