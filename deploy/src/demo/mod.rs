//! `sluice demo`: the race and the 429 storm on a system of its own, from nothing to nothing, in less than half a minute.
//!
//! What is shown is what was seen: `race` and `storm` do things and gather what everybody saw; timeline, table, document
//! and checks are made from that and nothing else. Nothing here is used by anything that runs for real.

mod cast;
mod client;
mod document;
mod expect;
mod race;

mod sse;
mod stage;
mod storm;

use anyhow::{Context as _, anyhow};

use crate::show::Show;
use cast::Cast;
use client::Api;
use expect::Expectations;
use race::RaceSeen;
use storm::StormSeen;

use crate::cli::{Failure, say, start_log, stop};
use crate::scripted::Destination;

/// Runs the demo to its end. It is a failure where something was not as it should be, or where it was stopped before.
pub(crate) async fn demo(json: bool) -> Result<(), Failure> {
    let stop = stop::on_signal().context("signals cannot be listened to")?;
    let cast = Cast::start().await.context("there is no free port")?;
    let config = cast.config();
    start_log(&config)?;
    let show = Show::new(json);
    show.line(announcement());
    let played = stage::on_stage(config, &stop, async |api| Box::pin(play(&api, &cast, &show)).await).await?;
    let Some(seen) = played else {
        return Err(Failure::Failed(anyhow!("the demo was stopped before its end; nothing is left of it")));
    };
    let failed = failed(&seen);
    if json {
        say(&format!("{:#}", document::document(&seen.race, &seen.storm, &failed)));
    }
    if failed.is_empty() {
        show.line("\nEverything was as it should be. Nothing is left of it: broker and directory are gone.");
        return Ok(());
    }
    Err(Failure::Failed(anyhow!("not everything was as it should be:\n  {}", failed.join("\n  "))))
}

/// All that was seen.
struct Seen {
    race: RaceSeen,
    storm: StormSeen,
    /// Calls that the providers got while the storm went on.
    stragglers: usize,
}

/// One after the other, so that neither disturbs the times of the other.
async fn play(api: &Api, cast: &Cast, show: &Show) -> anyhow::Result<Seen> {
    show.line(&race::announcement());
    let race = race::run(api, cast, show).await?;
    show.line("");
    show.line(&storm::announcement());
    let storm = storm::run(api, cast, show).await?;
    show.line(&storm::table(&storm, cast::ALLOWED));
    let calls: usize = cast.providers.iter().map(Destination::count).sum();
    let stragglers = calls - race.providers.iter().map(Vec::len).sum::<usize>();
    Ok(Seen { race, storm, stragglers })
}

fn failed(seen: &Seen) -> Vec<String> {
    let mut expected = Expectations::default();
    race::check(&seen.race, &mut expected);
    expected.equal("race: the calls to providers after its end", seen.stragglers, 0);
    storm::check(&seen.storm, &mut expected);
    expected.failed()
}

fn announcement() -> &'static str {
    "sluice demo takes about 20 seconds and stays on this machine. A broker, a gateway, a worker and a\n\
     delivery run for real; the providers that they call are scripted, on loopback, which is allowed to\n\
     be called for that. All times are measured.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_fits_a_terminal_of_a_hundred_columns() {
        let said = [announcement(), &race::announcement(), &storm::announcement()].join("\n");
        let widest = said.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
        assert!(widest.chars().count() <= crate::show::WIDTH, "{widest}");
    }
}
