//! What a run has met: enough runs meet all of it, or the simulation is not about what it should be about.

/// Something that happens in some runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sight {
    /// A job succeeded.
    Success,
    /// A fanout succeeded.
    FanoutSucceeded,
    /// A fanout failed while others of its branches went on.
    FanoutFailed,
    /// A branch moved to another region.
    Moved,
    /// A job failed because no branch had an attempt left.
    Exhausted,
    /// A branch died because its job was too old.
    Expired,
    /// A job failed by its deadline.
    Deadline,
    /// A job was cancelled.
    Cancelled,
    /// A job was overdue.
    Overdue,
    /// A failed job got a new life.
    Retried,
    /// A follow-up was submitted.
    FollowUp,
    /// A fallback was started by an answer to its parent.
    StartedByAnswer,
    /// A fallback was started by its time.
    StartedByTime,
    /// A fallback was started by its parent's death.
    StartedByDeath,
    /// A swap was lost.
    SwapLost,
    /// A publish was refused: somebody was further on.
    FurtherOn,
    /// A call was made again, because its holder died or lost the message.
    CalledAgain,
    /// A call was dropped on the wire.
    CallDropped,
    /// A result was stored twice.
    ResultTwice,
    /// A webhook was delivered at a later try.
    DeliveredLater,
    /// A webhook was given up.
    GivenUp,
    /// A webhook that had been delivered was posted again.
    PostedAgain,
    /// A copy of a result was recognised after its webhook had been delivered.
    CopyRecognised,
    /// What came of a webhook was remembered while another of its job was still being posted.
    RememberedBetween,
    /// The sweep published a timer again that had not fired.
    TimerHealed,
    /// The sweep published a message that was missing.
    MessageHealed,
    /// A message of an earlier life came up.
    OldLife,
}

impl Sight {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Success,
        Self::FanoutSucceeded,
        Self::FanoutFailed,
        Self::Moved,
        Self::Exhausted,
        Self::Expired,
        Self::Deadline,
        Self::Cancelled,
        Self::Overdue,
        Self::Retried,
        Self::FollowUp,
        Self::StartedByAnswer,
        Self::StartedByTime,
        Self::StartedByDeath,
        Self::SwapLost,
        Self::FurtherOn,
        Self::CalledAgain,
        Self::CallDropped,
        Self::ResultTwice,
        Self::DeliveredLater,
        Self::GivenUp,
        Self::PostedAgain,
        Self::CopyRecognised,
        Self::RememberedBetween,
        Self::TimerHealed,
        Self::MessageHealed,
        Self::OldLife,
    ];
}
