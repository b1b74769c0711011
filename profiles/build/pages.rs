//! What the pages are made with: one style sheet and one script of nhsuk-frontend and ours behind it, and the pictures that the style
//! sheet names, each under a name that holds the hash of its content.

use std::{
    collections::hash_map::DefaultHasher,
    fmt::Write as _,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

use crate::{
    npm::{self, Cache, Source},
    put, write,
};

const PACKAGE: &str = "dist/nhsuk";
/// Where ours lie.
const OURS: &str = "src/web/pages";

/// The NHS's components and styles.
const NHSUK: Source<'static> = Source {
    name: "nhsuk-frontend",
    what: "components and styles of the pages",
    folder: "src/web",
    files: &[
        "dist/nhsuk/nhsuk-frontend.min.css",
        "dist/nhsuk/nhsuk-frontend.min.js",
        "dist/nhsuk/assets/images/nhsuk-icon-arrow-down.svg",
        "dist/nhsuk/assets/images/nhsuk-icon-arrow-up.svg",
        "dist/nhsuk/assets/images/nhsuk-icon-arrow-up-down.svg",
        "dist/nhsuk/assets/images/nhsuk-icon-cross.svg",
    ],
    kept: "pages",
};

/// The typeface of letters.
const TYPEFACE: Source<'static> = Source {
    name: "dejavu-fonts-ttf",
    what: "the typeface of letters",
    folder: "src/web",
    files: &["LICENSE", "ttf/DejaVuSans.ttf", "ttf/DejaVuSans-Bold.ttf"],
    kept: "typeface",
};
/// Its licence, of which its package names only the file.
const TYPEFACE_LICENCE: &str = "Bitstream Vera licence, changes in the public domain";

/// Something that a browser fetches beside a page.
struct Asset {
    path: String,
    kind: &'static str,
    content: String,
}

/// Writes `assets.rs` for `src/web/assets.rs`.
pub fn pack(root: &Path, out: &Path) -> Result<(), String> {
    let ours: Vec<PathBuf> =
        ["style.css", "print.css", "script.js", "icon.svg"].iter().map(|name| root.join(OURS).join(name)).collect();
    for file in ["package.json", "package-lock.json"] {
        println!("cargo::rerun-if-changed=src/web/{file}");
    }
    for file in &ours {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let cache = Cache::of(&NHSUK, root, out, &ours)?;
    let typeface = Cache::of(&TYPEFACE, root, out, &[])?;
    let package = typeface.package()?;
    for file in TYPEFACE.files {
        let name = file.rsplit('/').next().unwrap_or_default();
        let to = out.join(if name == "LICENSE" { "typeface-licence.txt" } else { name });
        std::fs::copy(package.join(file), &to).map_err(|e| format!("{}: {e}", to.display()))?;
    }
    let made = cache.or_make("assets.rs", |package| {
        let typeface = write::package(&npm::Of { licence: TYPEFACE_LICENCE.to_owned(), ..typeface.told()? });
        let of = format!(
            "{};\n/// Where the typeface of letters comes from.\npub const TYPEFACE: Package = {typeface}",
            write::package(&cache.told()?)
        );
        let own = |name: &str| text(&root.join(OURS).join(name));
        table(&of, package, own)
    })?;
    put(&made, &out.join("assets.rs"))
}

fn table(of: &str, package: &Path, own: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let folder = package.join(PACKAGE);
    let mut style = without_fonts(&text(&folder.join("nhsuk-frontend.min.css"))?)?;
    let mut assets = Vec::new();
    for path in NHSUK.files.iter().filter(|path| path.ends_with(".svg")) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let picture = asset(name, "image/svg+xml", text(&package.join(path))?);
        style = style.replace(&format!("url(/assets/images/{name})"), &format!("url({})", picture.path));
        assets.push(picture);
    }
    // what is fetched from elsewhere is refused by the policy of every page, and what is missing must be seen here
    for url in ["url(/assets/images/", "url(http", "url(//", "@import"] {
        if style.contains(url) {
            return Err(format!("the style sheet of {} names something that is not packed: {url}…", NHSUK.name));
        }
    }
    let script = text(&folder.join("nhsuk-frontend.min.js"))?;
    let script = script.split("//# sourceMappingURL").next().unwrap_or_default();
    let style = style.split("/*# sourceMappingURL").next().unwrap_or_default().to_owned();
    let style = asset("pages.css", "text/css; charset=utf-8", style + &own("style.css")? + &own("print.css")?);
    let script = asset("pages.js", "text/javascript; charset=utf-8", format!("{script}\n{}", own("script.js")?));
    let icon = asset("icon.svg", "image/svg+xml", own("icon.svg")?);
    let mut made = format!("/// Where components and styles come from.\npub const PACKAGE: Package = {of};\n");
    for (name, what, asset) in
        [("STYLE", "The style sheet", &style), ("SCRIPT", "The script", &script), ("ICON", "The icon", &icon)]
    {
        let _ = writeln!(made, "/// {what} of every page.\npub const {name}: &str = {:?};", asset.path);
    }
    assets.extend([style, script, icon]);
    let _ = writeln!(made, "pub(super) static ASSETS: [Asset; {}] = [", assets.len());
    for Asset { path, kind, content } in assets {
        let _ = writeln!(made, "Asset {{ path: {path:?}, kind: {kind:?}, content: {content:?} }},");
    }
    made.push_str("];\n");
    Ok(made)
}

/// Without the NHS's typeface, which lies at a host of its own and is licensed for the NHS's own sites: what stands behind it in the
/// list of typefaces is taken.
fn without_fonts(style: &str) -> Result<String, String> {
    let mut rest = style;
    let mut kept = String::with_capacity(style.len());
    while let Some((before, from)) = rest.split_once("@font-face{") {
        kept.push_str(before);
        rest = from.split_once('}').ok_or("a typeface has no end")?.1;
    }
    kept.push_str(rest);
    let kept = kept.replace("Frutiger W01,", "");
    if kept.contains("Frutiger") {
        Err("the style sheet names its typeface in a way that is new".into())
    } else {
        Ok(kept)
    }
}

fn asset(name: &str, kind: &'static str, content: String) -> Asset {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    Asset { path: format!("/assets/{stem}-{:016x}.{ending}", hasher.finish()), kind, content }
}

fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(npm::read(path)?).map_err(|e| format!("{}: {e}", path.display()))
}
