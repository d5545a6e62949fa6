//! Dead letters as they are looked at: listed by their place in the stream, read, forgotten.

use bytes::Bytes;

use super::batch::Shown;
use super::dead::{AT, DeadKind, REASON};
use super::read::ReadError;
use super::{Nats, broker_error};
use crate::clock::Millis;
use crate::domain::id::Tenant;

/// A dead letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its place in the stream, which names it.
    pub sequence: u64,
    /// What it was.
    pub kind: DeadKind,
    /// Whose it was; `_` where nobody knows.
    pub tenant: String,
    /// What tells it from all others of this kind and tenant: subject tokens.
    pub name: String,
    /// Why it was given up.
    pub reason: String,
    /// When.
    pub at: Millis,
    /// The thing itself.
    pub payload: Bytes,
}

/// The letter may still be there.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the letter could not be removed: {0}")]
pub struct NotForgotten(String);

impl Nats {
    /// At most `most` dead letters of one kind, or of all, of one tenant, or of all, at or after a place; fewer mean that there are no more. What has no
    /// name of a letter is passed over. It reads whatever replica answers.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn letters(
        &self,
        kind: Option<DeadKind>,
        tenant: Option<&Tenant>,
        mut from: u64,
        most: usize,
    ) -> Result<Vec<Letter>, ReadError> {
        let (stream, mut letters) = (self.topology().dead_stream(), Vec::new());
        let (kind, tenant) = (kind.map_or("*", DeadKind::as_str), tenant.map_or("*", Tenant::as_str));
        let filter = self.topology().dead(kind, tenant, ">");
        while letters.len() < most {
            // A broker that ends its answer early has more.
            let shown = self.shown(&stream, &filter, from, most - letters.len()).await?;
            let Some(last) = shown.last() else { break };
            from = last.sequence + 1;
            letters.extend(shown.iter().filter_map(|shown| self.letter_of(shown)));
        }
        Ok(letters)
    }

    /// The dead letter at a place.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn letter(&self, sequence: u64) -> Result<Option<Letter>, ReadError> {
        let filter = self.topology().dead("*", "*", ">");
        let next = self.shown(&self.topology().dead_stream(), &filter, sequence, 1).await?;
        let here = next.iter().find(|shown| shown.sequence == sequence);
        Ok(here.and_then(|shown| self.letter_of(shown)))
    }

    /// Removes a dead letter. Repeating it is harmless.
    ///
    /// # Errors
    /// Where it may still be there.
    pub async fn forget_letter(&self, letter: &Letter) -> Result<(), NotForgotten> {
        let failed = |error: &dyn std::error::Error| NotForgotten(broker_error(error));
        let stream = self.jetstream().get_stream_no_info(self.topology().dead_stream()).await;
        let stream = stream.map_err(|error| failed(&error))?;
        match stream.delete_message(letter.sequence).await {
            Ok(_) => Ok(()),
            Err(_) if matches!(self.letter(letter.sequence).await, Ok(None)) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    fn letter_of(&self, shown: &Shown) -> Option<Letter> {
        let rest = shown.subject.strip_prefix(self.prefix())?.strip_prefix(".dead.")?;
        parse(rest, shown)
    }
}

fn parse(rest: &str, shown: &Shown) -> Option<Letter> {
    let mut tokens = rest.splitn(3, '.');
    let (kind, tenant, name) = (tokens.next()?, tokens.next()?, tokens.next()?);
    Some(Letter {
        sequence: shown.sequence,
        kind: DeadKind::parse(kind)?,
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        reason: shown.header(REASON).unwrap_or_default().to_owned(),
        at: Millis(shown.header(AT).and_then(|at| at.parse().ok()).unwrap_or_default()),
        payload: shown.payload.clone(),
    })
}
