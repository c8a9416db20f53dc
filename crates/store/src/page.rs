//! Lists, a page at a time.

/// Some of a list, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are more: ask again after the last of these.
    pub more: bool,
}

/// Items on one page at most, whatever is asked for: what a page of a terminal or browser can bear.
pub(crate) const PAGE_MAX: u32 = 1_000;

impl<T> Page<T> {
    /// From one more item than was asked for, if there were so many.
    pub(crate) fn of(mut items: Vec<T>, limit: u32) -> Self {
        let limit = limit.min(PAGE_MAX) as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }

    /// How many rows to ask for, to know whether there are more.
    pub(crate) fn rows(limit: u32) -> u32 {
        limit.min(PAGE_MAX) + 1
    }
}
