//! schemathesis, which makes requests up from the document, against everything at work.
//!
//! `SLUICE_SCHEMATHESIS_SECONDS` makes it longer than a minute, and its seed is in what it says where it finds something.

use std::io::Write as _;
use std::time::Duration;

use sluice::scripted::{Destination, Script};
use sluice_shared::domain::access::{Quotas, Scope, Wish};
use sluice_shared::keys::Keys;
use sluice_tests::configuration::Configuration;
use sluice_tests::python;
use sluice_tests::system::{Setup, System};
use tokio::process::Command;
use tokio::time::timeout;

/// How long all of it makes requests up, where nothing else is said, in seconds.
const SECONDS: u64 = 60;
/// What comes on top of that: requests that take long, what is made up beforehand, a machine that does other things too.
const SLACK: Duration = Duration::from_secs(180);
/// What it does with each operation in turn, and then with those that lead to each other.
const PHASES: [&str; 2] = ["examples,coverage", "fuzzing,stateful"];

/// What it is pointed at.
struct Aim {
    gateway: String,
    destination: String,
    key: String,
}

/// Whether it found nothing, and what it says.
async fn run(aim: &Aim, phases: &str, seconds: u64) -> (bool, String) {
    let python = tokio::task::spawn_blocking(python::with_schemathesis).await.unwrap();
    // What it remembers of a run stays out of the sources.
    let (own, scratch) = (python::script("schemathesis"), tempfile::tempdir().unwrap());
    let mut run = Command::new(python);
    run.args(["-m", "schemathesis.cli", "--config-file"])
        .arg(own.join("schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", aim.gateway), "--phases", phases])
        .args(["--max-time", &seconds.to_string(), "--max-examples", &(seconds / 3).to_string()])
        .args(["--workers", "1", "--no-shrink", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", own)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SLUICE_API_KEY", &aim.key)
        .env("DESTINATION", &aim.destination)
        .current_dir(&scratch)
        .kill_on_drop(true);
    let output = timeout(SLACK + Duration::from_secs(seconds), run.output()).await.unwrap().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How many requests were made up, from the line below `Test cases:`.
fn cases(said: &str) -> u32 {
    let line = said.split("Test cases:").nth(1).unwrap_or_else(|| panic!("{said}")).trim_start();
    line.split(' ').next().unwrap().replace(',', "").parse().unwrap_or_else(|_| panic!("{said}"))
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let configuration = Configuration::default().set("gateway.auth", "keys").set("gateway.max_wait", "1s");
    let system = System::start(Setup { configuration, ..Setup::default() }).await;
    let destination = Destination::start().await.unwrap();
    destination.on("/", Script::answer(200));
    let wish = Wish {
        tenant: None,
        scopes: Scope::ALL.into(),
        label: String::new(),
        expires_at: None,
        quotas: Quotas::default(),
    };
    let (key, _) = Keys::new(&system.broker.connect().await).create(wish, None).await.unwrap();
    let aim = Aim {
        gateway: system.gateways[0].http().to_owned(),
        destination: destination.at("").trim_end_matches('/').to_owned(),
        key: key.reveal().to_string(),
    };
    let seconds = std::env::var("SLUICE_SCHEMATHESIS_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    for phases in PHASES {
        let (clean, said) = run(&aim, phases, seconds / 2).await;
        assert!(clean, "{said}");
        let cases = cases(&said);
        // Past the capture of the tests' output: how much was tried is worth knowing of each run.
        let _ = writeln!(std::io::stderr(), "schemathesis: {cases} cases of {phases}, no finding");
        assert!(cases > 100, "{said}");
    }
}
