//! Whether a result lies in the stream still: then whoever has it posts its webhooks.

use super::Effects;
use crate::domain::result::JobResult;
use crate::nats::publish::MESSAGE_ID;
use crate::nats::read::ReadError;

impl Effects {
    /// The place of the first message with this result, of this life of its job, read from the leader.
    ///
    /// # Errors
    /// Where the broker does not answer or refuses.
    pub async fn held_result(&self, result: &JobResult) -> Result<Option<u64>, ReadError> {
        let topology = self.nats.topology();
        let (stream, subject) = (topology.results_stream(), topology.result(&result.tenant, &result.job));
        let (life, mut from) = (result.life(), 1);
        while let Some(held) = self.nats.next_from(&stream, &subject, from).await? {
            if held.header(MESSAGE_ID) == Some(life.as_str()) {
                return Ok(Some(held.sequence));
            }
            from = held.sequence + 1;
        }
        Ok(None)
    }
}
