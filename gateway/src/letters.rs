//! What can be done with dead letters: list, look at, try again, forget; one, or all of a kind.
//!
//! Knows nothing of HTTP. Invariant: a letter is forgotten only after what it holds was handed back, or by somebody's wish.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::Delivery;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::payload::WebhookBody;
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::{Effects, NotRedriven};
use sluice_shared::nats::dead::DeadKind;
use sluice_shared::nats::letters::{Letter, NotForgotten};
use sluice_shared::nats::read::ReadError;
use sluice_shared::wire;
use url::Url;

/// The most letters that one request tries again or forgets.
pub const MOST: usize = 1_000;

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct Letters {
    effects: Effects,
    /// Whose letters there are; those of all, and of nobody, where absent.
    of: Option<Tenant>,
}

/// A dead letter as it is shown. Without `outcome` in lists.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub struct LetterBody {
    /// What names it.
    pub id: String,
    /// `webhook`, `submission`, `message` or `result`.
    #[schemars(extend("enum" = ["webhook", "submission", "message", "result"]))]
    pub kind: &'static str,
    /// Whose it is; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What tells it from others of its kind: for a webhook the event's id, for a message its subject and sequence.
    pub name: String,
    /// Why it was given up.
    pub reason: String,
    /// When, milliseconds since the epoch.
    pub at: Millis,
    /// The job that it is about, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Host and port of a webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// What it holds, in bytes.
    pub size: usize,
    /// What would be posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WebhookBody")]
    pub outcome: Option<Value>,
}

/// Some letters in the order in which they were set aside.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetters")]
pub struct PageBody {
    /// The letters.
    pub letters: Vec<LetterBody>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What became of many.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeadLettersDone")]
pub struct DoneBody {
    /// How many were tried again, or forgotten.
    pub done: usize,
    /// How many have no way back, and stay.
    pub stay: usize,
    /// Where to go on; absent where none is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a letter was not dealt with.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// There is no such letter.
    #[error("there is no such dead letter: it was tried again, forgotten, or is too old")]
    NotFound,
    /// It has no way back.
    #[error("{0}")]
    NoWayBack(String),
    /// The broker does not answer.
    #[error("the broker did not answer in time: ask again")]
    Unavailable,
}

/// What to do with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Try them again.
    Redrive,
    /// Forget them.
    Forget,
}

impl Letters {
    /// The operations through these effects.
    #[must_use]
    pub fn new(effects: Effects) -> Self {
        Self { effects, of: None }
    }

    /// The same where there are no letters but those of this tenant, if one is given.
    #[must_use]
    pub fn of(self, tenant: Option<Tenant>) -> Self {
        Self { of: tenant, ..self }
    }

    /// Letters of one kind, or of all, at or after a place.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn list(&self, kind: Option<DeadKind>, from: u64, most: usize) -> Result<PageBody, LetterError> {
        let letters = self.effects.nats().letters(kind, self.of.as_ref(), from, most).await?;
        let next = letters.last().map(|last| (last.sequence + 1).to_string());
        Ok(PageBody { letters: letters.iter().map(LetterBody::of).collect(), next })
    }

    /// One letter, with what it holds where that can be shown.
    ///
    /// # Errors
    /// Where there is none, or the broker does not answer.
    pub async fn get(&self, id: u64) -> Result<LetterBody, LetterError> {
        let letter = self.letter(id).await?;
        Ok(LetterBody { outcome: outcome(&letter), ..LetterBody::of(&letter) })
    }

    /// Does this with one letter.
    ///
    /// # Errors
    /// Where there is none, it has no way back, or the broker does not answer.
    pub async fn one(&self, id: u64, wish: Wish) -> Result<(), LetterError> {
        let letter = self.letter(id).await?;
        self.wished(&letter, wish).await
    }

    /// Does this with all letters of one kind, or of all, at or after a place: a bounded number of them.
    ///
    /// # Errors
    /// Where the broker does not answer; those before are done.
    pub async fn all(&self, kind: Option<DeadKind>, from: u64, wish: Wish) -> Result<DoneBody, LetterError> {
        let mut done = DoneBody::default();
        let letters = self.effects.nats().letters(kind, self.of.as_ref(), from, MOST + 1).await?;
        for letter in letters.iter().take(MOST) {
            match self.wished(letter, wish).await {
                Ok(()) => done.done += 1,
                Err(LetterError::NoWayBack(_)) => done.stay += 1,
                Err(LetterError::NotFound) => {}
                Err(LetterError::Unavailable) => return Err(LetterError::Unavailable),
            }
        }
        done.next = letters.get(MOST).map(|next| next.sequence.to_string());
        Ok(done)
    }

    async fn wished(&self, letter: &Letter, wish: Wish) -> Result<(), LetterError> {
        match wish {
            Wish::Redrive => Ok(self.effects.redrive(letter).await?),
            Wish::Forget => Ok(self.effects.nats().forget_letter(letter).await?),
        }
    }

    async fn letter(&self, id: u64) -> Result<Letter, LetterError> {
        let letter = self.effects.nats().letter(id).await?;
        let ours = |letter: &Letter| self.of.as_ref().is_none_or(|tenant| tenant.as_str() == letter.tenant);
        letter.filter(ours).ok_or(LetterError::NotFound)
    }
}

impl LetterBody {
    fn of(letter: &Letter) -> Self {
        let webhook = match letter.kind {
            DeadKind::Webhook => wire::decode::<Delivery>(&letter.payload).ok(),
            DeadKind::Submission | DeadKind::Message | DeadKind::Result => None,
        };
        let url = webhook.as_ref().and_then(|one| one.result.webhooks.get(usize::from(one.webhook)));
        Self {
            id: letter.sequence.to_string(),
            kind: letter.kind.as_str(),
            tenant: (letter.tenant != "_").then(|| letter.tenant.clone()),
            name: letter.name.clone(),
            reason: letter.reason.clone(),
            at: letter.at,
            job_id: letter.name.split('.').find(|token| token.starts_with("job_")).map(str::to_owned),
            destination: url.and_then(|webhook| host(&webhook.url)),
            size: letter.payload.len(),
            outcome: None,
        }
    }
}

/// Host and port of a URL, or the subject of a NATS webhook; nothing of what else it holds.
fn host(url: &str) -> Option<String> {
    if url.starts_with("nats:") {
        return Some(url.to_owned());
    }
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// What a webhook's letter, or that of a result, would post.
fn outcome(letter: &Letter) -> Option<Value> {
    let (result, webhook, attempt) = match letter.kind {
        DeadKind::Webhook => {
            let Delivery { result, webhook, attempt, .. } = wire::decode(&letter.payload).ok()?;
            (result, usize::from(webhook), attempt)
        }
        DeadKind::Result => (wire::decode::<JobResult>(&letter.payload).ok()?, 0, 1),
        DeadKind::Submission | DeadKind::Message => return None,
    };
    serde_json::to_value(WebhookBody::new(&result, webhook, attempt)).ok()
}

impl From<ReadError> for LetterError {
    fn from(_: ReadError) -> Self {
        Self::Unavailable
    }
}

impl From<NotForgotten> for LetterError {
    fn from(_: NotForgotten) -> Self {
        Self::Unavailable
    }
}

impl From<NotRedriven> for LetterError {
    fn from(error: NotRedriven) -> Self {
        match error {
            NotRedriven::NoWayBack(_) | NotRedriven::Unreadable(_) => Self::NoWayBack(error.to_string()),
            NotRedriven::NotPostedAnew(_)
            | NotRedriven::NotMoved(_)
            | NotRedriven::NotDone(_)
            | NotRedriven::NotForgotten(_) => Self::Unavailable,
        }
    }
}
