//! The rules that the simulated handlers keep, and the one that a run breaks on purpose, so that the simulation can show
//! that it notices.

/// A rule of the design that handlers, the sweep or the broker's set-up keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Acks come last: after the swap and all that it demands.
    AckLast,
    /// Work is executed only after its record was read and wants it.
    ReadBeforeActing,
    /// A publish expects the newest message of its chain.
    ExpectTheNewest,
    /// A timer fires into `due`, never into a work queue.
    TimersFireIntoDue,
    /// What is published follows from the record, whoever made it so.
    ActFromTheRecord,
    /// A swap that was lost or not answered is not taken for done.
    LookAfterSwaps,
    /// A fallback's start is a signal with a name of its own, outside the fallback's chain.
    SignalsApart,
    /// A settlement is announced after its swap.
    AnnounceAfterTheSwap,
    /// The sweep looks at the chain first, then at the record.
    ChainBeforeRecord,
    /// A branch's fallbacks are ensured by every message of the branch.
    EnsureFallbacks,
    /// An answer that could not be concluded is kept and concluded later, not got once more.
    KeepTheAnswer,
    /// A call on the wire is not given up because the broker is silent.
    KeepTheCall,
    /// What was told while a slot is waited for is looked into to its end before anything is sent.
    FinishTheLook,
    /// The result of a cancelled job is left to the signal's consumer.
    OneResultOfACancel,
    /// Slots whose swap was not answered are used by nobody.
    UnknownSlotsAreGivenUp,
    /// A slot that was missed is given up.
    MissedSlotsAreGivenUp,
    /// A failed job is retried only once its result is stored.
    ResultBeforeRetry,
    /// What was delivered is remembered, also where it was at the first try.
    RememberDeliveries,
}

/// Which rules hold in a run: all but at most one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    broken: Option<Rule>,
}

impl Rule {
    /// All rules that handlers of jobs, the sweep and the broker keep.
    pub const ALL: [Self; 16] = [
        Self::AckLast,
        Self::ReadBeforeActing,
        Self::ExpectTheNewest,
        Self::TimersFireIntoDue,
        Self::ActFromTheRecord,
        Self::LookAfterSwaps,
        Self::SignalsApart,
        Self::AnnounceAfterTheSwap,
        Self::ChainBeforeRecord,
        Self::EnsureFallbacks,
        Self::KeepTheAnswer,
        Self::KeepTheCall,
        Self::FinishTheLook,
        Self::OneResultOfACancel,
        Self::ResultBeforeRetry,
        Self::RememberDeliveries,
    ];
    /// All rules of gates.
    pub const OF_GATES: [Self; 2] = [Self::UnknownSlotsAreGivenUp, Self::MissedSlotsAreGivenUp];
}

impl Rules {
    /// All rules but one.
    #[must_use]
    pub fn without(rule: Rule) -> Self {
        Self { broken: Some(rule) }
    }

    /// The rule that is not kept.
    pub(super) fn broken(self) -> Option<Rule> {
        self.broken
    }

    /// Whether this rule is kept.
    pub(super) fn keep(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }
}
