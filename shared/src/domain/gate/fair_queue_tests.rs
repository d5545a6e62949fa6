//! Shares hold whoever else waits, and nobody starves.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{FairQueue, Line};
use crate::domain::job::Priority;

fn line(tenant: &str, account: Option<&str>, priority: Priority) -> Line {
    Line { tenant: tenant.parse().unwrap(), account: account.map(Into::into), priority }
}

fn of_priority(priority: Priority) -> Line {
    Line { priority, ..Line::default() }
}

/// The first who are served where so many wait in each line.
fn served(lines: &[(Line, usize)], slots: usize) -> Vec<Line> {
    let mut queue = FairQueue::default();
    for (line, many) in lines {
        (0..*many).for_each(|_| queue.push(line, line.clone()));
    }
    std::iter::from_fn(|| queue.pop()).take(slots).collect()
}

fn count(served: &[Line], line: &Line) -> usize {
    served.iter().filter(|one| *one == line).count()
}

#[test]
fn one_line_is_served_in_the_order_in_which_it_came() {
    let mut queue = FairQueue::default();
    (0..5).for_each(|number| queue.push(&Line::default(), number));
    assert_eq!((queue.len(), queue.clear(), queue.is_empty()), (5, vec![0, 1, 2, 3, 4], true));
}

#[test]
fn a_single_one_of_a_tenant_does_not_wait_behind_the_thousand_of_another() {
    let (many, single) = (line("a", None, Priority::High), line("b", None, Priority::Low));
    let served = served(&[(many, 1000), (single.clone(), 1)], 2);
    assert_eq!(count(&served, &single), 1);
}

#[test]
fn priorities_have_eight_four_and_one_of_thirteen() {
    let [high, normal, low] = [Priority::High, Priority::Normal, Priority::Low].map(of_priority);
    let served = served(&[(low.clone(), 500), (normal.clone(), 500), (high.clone(), 500)], 130);
    assert_eq!([&high, &normal, &low].map(|one| count(&served, one)), [80, 40, 10]);
    // What comes first, whoever came first.
    assert_eq!(served[0], high);
}

#[test]
fn many_accounts_of_one_tenant_take_nothing_from_another_tenant() {
    let accounts = ["1", "2", "3", "4"].map(|name| (line("a", Some(name), Priority::Normal), 100));
    let other = line("b", Some("1"), Priority::Normal);
    let served = served(&[&accounts[..], &[(other.clone(), 100)]].concat(), 80);
    assert_eq!(count(&served, &other), 40);
    assert!(accounts.iter().all(|(one, _)| count(&served, one) == 10));
}

#[test]
fn who_did_not_wait_has_saved_nothing_up_and_who_waits_alone_is_owed_for_nothing() {
    let (low, high) = (of_priority(Priority::Low), of_priority(Priority::High));
    let mut queue = FairQueue::default();
    for _ in 0..100 {
        queue.push(&low, low.clone());
        assert_eq!(queue.pop().as_ref(), Some(&low));
    }
    (0..16).for_each(|_| queue.push(&low, low.clone()));
    (0..16).for_each(|_| queue.push(&high, high.clone()));
    let served: Vec<Line> = std::iter::from_fn(|| queue.pop()).take(9).collect();
    assert_eq!((count(&served, &high), count(&served, &low)), (8, 1));
}

#[test]
fn those_who_have_gone_are_passed_over_and_leave_no_line_behind() {
    let mut queue = FairQueue::default();
    let (a, b) = (line("a", None, Priority::Normal), line("b", None, Priority::Normal));
    for number in 0..6 {
        queue.push(if number % 2 == 0 { &a } else { &b }, number);
    }
    queue.retain(|number| number % 2 == 1);
    assert_eq!((queue.len(), queue.clear()), (3, vec![1, 3, 5]));
    queue.push(&a, 7);
    assert_eq!((queue.pop(), queue.pop()), (Some(7), None));
}

const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// One step: somebody joins a line, or the next is served.
fn steps() -> impl Strategy<Value = Vec<Option<Line>>> {
    let joins = (0_usize..3, 0_usize..3, 0_usize..3).prop_map(|(tenant, account, priority)| {
        Some(line(["a", "b", "c"][tenant], [None, Some("x"), Some("y")][account], PRIORITIES[priority]))
    });
    prop::collection::vec(prop_oneof![3 => joins, 2 => Just(None)], 1..400)
}

/// Counts how often others were served, of those for whom `among` says the same, while somebody waited for whom `one` does.
#[derive(Default)]
struct PassedOver(BTreeMap<String, usize>);

impl PassedOver {
    fn served(
        &mut self,
        waiting: &[Line],
        line: &Line,
        among: impl Fn(&Line) -> String,
        one: impl Fn(&Line) -> String,
    ) -> usize {
        self.0.retain(|name, _| waiting.iter().any(|waiting| one(waiting) == *name));
        for waiting in waiting.iter().filter(|waiting| among(waiting) == among(line)) {
            self.0.entry(one(waiting)).or_default();
        }
        for waiting in self.0.keys().cloned().collect::<Vec<_>>() {
            let same = waiting == one(line);
            let concerned = waiting.starts_with(&among(line));
            let count = self.0.entry(waiting).or_default();
            *count = if same { 0 } else { *count + usize::from(concerned) };
        }
        self.0.values().copied().max().unwrap_or(0)
    }
}

fn tenant(line: &Line) -> String {
    format!("{}/", line.tenant)
}

fn account(line: &Line) -> String {
    format!("{}/{:?}/", line.tenant, line.account)
}

fn whole(line: &Line) -> String {
    format!("{}/{:?}/{}/", line.tenant, line.account, line.priority.as_str())
}

proptest! {
    #[test]
    fn whatever_comes_each_is_served_once_and_each_line_in_its_order(steps in steps()) {
        let (mut queue, mut lines) = (FairQueue::default(), BTreeMap::<String, Vec<usize>>::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Some(line) => {
                    lines.entry(whole(&line)).or_default().push(number);
                    queue.push(&line, (whole(&line), number));
                }
                None => if let Some((line, number)) = queue.pop() {
                    prop_assert_eq!(lines.get_mut(&line).unwrap().remove(0), number);
                } else {
                    prop_assert!(lines.values().all(Vec::is_empty));
                }
            }
            prop_assert_eq!(queue.len(), lines.values().map(Vec::len).sum::<usize>());
        }
    }

    #[test]
    fn whoever_comes_and_goes_nobody_starves(steps in steps()) {
        let (mut queue, mut waiting) = (FairQueue::default(), Vec::<Line>::new());
        let (mut tenants, mut accounts) = (PassedOver::default(), PassedOver::default());
        let mut priorities = PRIORITIES.map(|_| PassedOver::default());
        for step in steps {
            match step {
                Some(line) => {
                    waiting.push(line.clone());
                    queue.push(&line, line.clone());
                }
                None => if let Some(line) = queue.pop() {
                    // Two others have a share at each level: each goes before once at most.
                    prop_assert!(tenants.served(&waiting, &line, |_| String::new(), tenant) <= 2);
                    prop_assert!(accounts.served(&waiting, &line, tenant, account) <= 2);
                    for ((priority, most), passed) in PRIORITIES.into_iter().zip([2, 3, 12]).zip(&mut priorities) {
                        let those: Vec<Line> = waiting.iter().filter(|one| one.priority == priority).cloned().collect();
                        prop_assert!(passed.served(&those, &line, account, whole) <= most, "{priority:?}");
                    }
                    let at = waiting.iter().position(|one| *one == line).unwrap();
                    waiting.remove(at);
                }
            }
        }
    }

    #[test]
    fn of_those_who_always_wait_each_has_its_share_within_one(slots in 1_usize..300, tenants in 1_usize..5, accounts in 1_usize..5) {
        let mut lines = Vec::new();
        for (tenant, account) in (0..tenants).flat_map(|tenant| (0..accounts).map(move |account| (tenant, account))) {
            let (tenant, account) = (format!("t{tenant}"), format!("a{account}"));
            lines.extend(PRIORITIES.map(|priority| (line(&tenant, Some(&account), priority), 400)));
        }
        let served = served(&lines, slots);
        let of = |wanted: &dyn Fn(&Line) -> bool| served.iter().filter(|line| wanted(line)).count();
        let within_one = |part: usize, of: usize, share: usize, all: usize| (part * all).abs_diff(of * share) <= all;
        for (line, _) in &lines {
            let of_tenant = of(&|one| one.tenant == line.tenant);
            let of_account = of(&|one| one.tenant == line.tenant && one.account == line.account);
            let weight = [8, 4, 1][line.priority as usize];
            prop_assert!(within_one(of_tenant, slots, 1, tenants));
            prop_assert!(within_one(of_account, of_tenant, 1, accounts));
            prop_assert!(within_one(count(&served, line), of_account, weight, 13));
        }
    }
}
