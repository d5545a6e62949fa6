//! A Python with nats-py, for scripts that use Sluice as its users do: a virtual environment in the cache, made once.
//!
//! Which index nats-py comes from is the business of pip and its configuration. What is at its place in the cache is
//! whole, because it gets there by one rename.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sluice::broker::Environment;

/// The scripts, and what they need.
const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
/// What is installed; its version and hash are pinned there.
const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

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
    PYTHON.get_or_init(found_or_made).clone()
}

fn found_or_made() -> PathBuf {
    let cache = Environment::of_process().cache.expect("a cache directory: set SLUICE_CACHE_DIR or HOME");
    let place = cache.join(place());
    let python = place.join("bin").join("python");
    if !works(&python) {
        install(&cache, &place);
        assert!(works(&python), "{} has no nats-py", python.display());
    }
    python
}

/// Named by what it is made of: another requirement or another Python is another place.
fn place() -> String {
    let version = said(Command::new("python3").args(["-c", "import platform; print(platform.python_version())"]));
    let pinned = REQUIREMENTS.lines().find_map(|line| line.strip_prefix("nats-py==")).expect("nats-py is pinned");
    format!("nats-py-{}-python-{}", pinned.trim_end_matches([' ', '\\']), version.expect("Python 3 is needed").trim())
}

fn works(python: &Path) -> bool {
    said(Command::new(python).args(["-c", "import nats"])).is_ok()
}

fn install(cache: &Path, place: &Path) {
    // Past the capture of the tests' output: a download is said when it happens.
    let _ = writeln!(std::io::stderr(), "sluice-tests: installing nats-py with pip into {} (once)", place.display());
    std::fs::create_dir_all(cache).unwrap();
    let scratch = tempfile::Builder::new().prefix(".install-").tempdir_in(cache).unwrap();
    let (venv, requirements) = (scratch.path().join("venv"), script("requirements.txt"));
    let mut pip = pip_of(&venv);
    pip.args(["install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement"])
        .arg(requirements)
        .env("PIP_USER", "0")
        .env("PIP_REQUIRE_VIRTUALENV", "0");
    said(&mut pip).unwrap_or_else(|why| panic!("nats-py could not be installed: {why}"));
    // Another test may have been first; what does not work any more makes room.
    if std::fs::rename(&venv, place).is_err() && !works(&place.join("bin").join("python")) {
        std::fs::remove_dir_all(place).unwrap();
        std::fs::rename(&venv, place).unwrap();
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
