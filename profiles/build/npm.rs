//! An npm package, and what was made of it.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// An npm package, and what is read of it.
pub struct Source<'s> {
    /// As npm names it.
    pub name: &'s str,
    /// What the build has of it, in words for whoever builds.
    pub what: &'s str,
    /// The folder of its `package.json` and `package-lock.json`, from the root on.
    pub folder: &'s str,
    /// The files that are read, in the package.
    pub files: &'s [&'s str],
    /// Where in the target folder it is kept.
    pub kept: &'s str,
}

/// What the lock file says of a package.
pub struct Of {
    pub name: String,
    pub version: String,
    pub licence: String,
    /// Its checksum.
    pub integrity: String,
}

/// A folder that outlives this build, other profiles' and changes of the program.
pub struct Cache<'s> {
    source: &'s Source<'s>,
    manifest: PathBuf,
    folder: PathBuf,
    /// Under what is known of the lock file, and of what is read, alone.
    package: PathBuf,
}

impl<'s> Cache<'s> {
    /// That of the target folder which `out` lies in. What is made hangs on the scripts, and on what lies at the paths of `also`.
    pub fn of(source: &'s Source<'s>, root: &Path, out: &Path, also: &[PathBuf]) -> Result<Self, String> {
        // <target>/<profile>/build/<package>/out
        let target = out.ancestors().nth(4).ok_or("OUT_DIR is not where cargo puts it")?;
        let manifest = root.join(source.folder);
        let lock = read(&manifest.join("package-lock.json"))?;
        let mut script = DefaultHasher::new();
        let mut parts = vec![root.join("profiles/build.rs")];
        let listed = fs::read_dir(root.join("profiles/build")).map_err(|e| format!("profiles/build: {e}"))?;
        parts.extend(listed.filter_map(Result::ok).map(|entry| entry.path()));
        parts.extend_from_slice(also);
        parts.sort();
        for part in parts {
            read(&part)?.hash(&mut script);
        }
        let hash = |bytes: &[u8]| {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            source.files.hash(&mut hasher);
            hasher.finish()
        };
        let package = target.join(source.kept).join(format!("{:016x}", hash(&lock)));
        let folder = package.join(format!("{:016x}", script.finish()));
        Ok(Self { source, manifest, folder, package })
    }

    /// What is to be told of the package.
    pub fn told(&self) -> Result<Of, String> {
        let lock = read(&self.manifest.join("package-lock.json"))?;
        let lock: Value = serde_json::from_slice(&lock).map_err(|e| format!("package-lock.json: {e}"))?;
        let locked = lock.get("packages").and_then(|all| all.get(format!("node_modules/{}", self.source.name)));
        let of = |name| {
            let text = locked.and_then(|of| of.get(name)).and_then(Value::as_str);
            text.map(str::to_owned).ok_or_else(|| format!("{}/package-lock.json says no {name}", self.source.folder))
        };
        Ok(Of {
            name: self.source.name.to_owned(),
            version: of("version")?,
            licence: of("license")?,
            integrity: of("integrity")?,
        })
    }

    /// The file `name`, made from the package where it is not there yet.
    pub fn or_make(&self, name: &str, make: impl FnOnce(&Path) -> Result<String, String>) -> Result<PathBuf, String> {
        let file = self.folder.join(name);
        if !file.exists() {
            let text = make(&self.package()?)?;
            fs::create_dir_all(&self.folder).map_err(|e| failed(&self.folder, &e))?;
            // two builds at once: each moves a whole file into place
            let new = self.folder.join(format!("{name}.{}", std::process::id()));
            fs::write(&new, text).map_err(|e| failed(&new, &e))?;
            fs::rename(&new, &file).map_err(|e| failed(&file, &e))?;
        }
        Ok(file)
    }

    /// The package's folder, fetched where it is not there yet.
    pub fn package(&self) -> Result<PathBuf, String> {
        let kept = self.package.join("package");
        if kept.exists() {
            return Ok(kept);
        }
        let work = self.package.join(format!("npm.{}", std::process::id()));
        fs::create_dir_all(&work).map_err(|e| failed(&work, &e))?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(self.manifest.join(file), work.join(file)).map_err(|e| failed(&work, &e))?;
        }
        let fetched = npm(&work, self.source).and_then(|()| {
            let package = work.join("node_modules").join(self.source.name);
            for file in self.source.files {
                let to = work.join("package").join(file);
                to.parent().map_or(Ok(()), fs::create_dir_all).map_err(|e| failed(&to, &e))?;
                fs::copy(package.join(file), &to).map_err(|e| failed(&to, &e))?;
            }
            match fs::rename(work.join("package"), &kept) {
                Err(_) if kept.exists() => Ok(()),
                renamed => renamed.map_err(|e| failed(&kept, &e)),
            }
        });
        let _ = fs::remove_dir_all(&work);
        fetched.map(|()| kept)
    }
}

fn npm(work: &Path, source: &Source<'_>) -> Result<(), String> {
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    match Command::new("npm").args(arguments).current_dir(work).output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
            Err(format!("npm could not fetch {} ({}/package-lock.json): {said}", source.what, source.folder))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(format!(
            "Node 20 with npm is needed to build: {} come from there; install both and build again",
            source.what
        )),
        Err(e) => Err(format!("npm cannot be run: {e}")),
    }
}

pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
