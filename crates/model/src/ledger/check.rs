//! Checking a whole copy of the ledger, offline, in one pass and in memory that does not grow with it.
//!
//! 1. Every entry's bytes are hashed again, and the tree over them is grown beside the one over the hashes that
//!    the store kept, if it kept them.
//! 2. Where a checkpoint stands, both roots are compared with it. The tree that agrees is the true one, so an entry
//!    that differs from it was changed, and is named. Where neither agrees, the stretch since the last
//!    checkpoint that did is named, and the kept nodes are taken up from there: if a later checkpoint agrees with
//!    them, what lies behind is sound.
//! 3. An entry holds its own number: what is missing, moved or repeated shows, whatever the rows are called.
//! 4. The nodes that the store kept are compared with those of the true tree: proofs are made of them.
//! 5. What a pass over one copy cannot prove is said in [`Limit`]s, which are no findings.

use super::checkpoint::{BadCheckpoint, Checkpoint, VerifierKey};
use super::entry::Entry;
use super::merkle::{Frontier, Hash, MAX_SIZE, Node};
use super::personal::{Commitment, Personal};
use super::report::{Finding, Limit, Report};

/// One entry as a copy holds it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Which entry the copy says it is.
    pub seq: u64,
    /// The leaf's bytes.
    pub leaf: &'a [u8],
    /// The personal fields beside it ([`Personal::to_bytes`]), if they were not erased.
    pub personal: Option<&'a [u8]>,
}

/// Gives a complete node by level and index.
type NodeReader<'a> = Box<dyn FnMut(u8, u64) -> Option<Hash> + 'a>;

/// A check under way: what the copy is compared with, and what has come out so far.
pub struct Check<'a> {
    key: Option<VerifierKey>,
    since: Option<Checkpoint>,
    stored: Stored<'a>,
    nodes: Option<NodeReader<'a>>,
    edge: Option<Frontier>,
    /// The tree over the entries as read; none while an entry is missing and its hash too.
    read: Option<Frontier>,
    /// The tree over their hashes as the store kept them; none after no checkpoint agreed with it.
    kept: Option<Frontier>,
    /// What is next in the order of entries.
    next: u64,
    /// Where the stretch that is being compared began: after the last checkpoint that agreed.
    base: u64,
    /// Nothing was missing and no checkpoint disagreed so far.
    whole: bool,
    /// The last checkpoint that the entries as read agreed with, while nothing was wrong.
    proven: Option<u64>,
    /// A checkpoint that the entries as read disagreed with, and no other has said otherwise.
    disagreed: Option<u64>,
    forked: bool,
    /// Entries of the stretch that differ from their kept hash.
    doubts: Vec<u64>,
    /// Nodes above them that differ from a tree.
    node_doubts: Vec<NodeDoubt>,
    /// From here on nothing is being compared.
    lost: Option<u64>,
    uncompared: Option<(u64, u64)>,
    gaps: Vec<(u64, u64)>,
    shifts: Vec<Shift>,
    last_row: u64,
    erased: u64,
    newer: Option<u64>,
    rows: u64,
    findings: Vec<Finding>,
    unnamed: u64,
}

/// Neighbouring rows that hold entries of other places, all as far off.
#[derive(Debug, Clone, Copy)]
struct Shift {
    first: u64,
    last: u64,
    by: i64,
}

/// A node that the store kept, and which of the two trees have another in its place.
#[derive(Debug, Clone, Copy)]
struct NodeDoubt {
    level: u8,
    index: u64,
    read: bool,
    kept: bool,
}

impl<'a> Check<'a> {
    /// A check of signatures by `key`. Without one, checkpoints are compared but not believed, and the report says so.
    pub fn new(key: Option<VerifierKey>) -> Self {
        Self {
            key,
            since: None,
            stored: Stored { notes: Box::new(std::iter::empty()), taken: 0, ahead: None, largest: 0 },
            nodes: None,
            edge: None,
            read: Some(Frontier::new()),
            kept: Some(Frontier::new()),
            next: 0,
            base: 0,
            whole: true,
            proven: None,
            disagreed: None,
            forked: false,
            doubts: Vec::new(),
            node_doubts: Vec::new(),
            lost: None,
            uncompared: None,
            gaps: Vec::new(),
            shifts: Vec::new(),
            last_row: 0,
            erased: 0,
            newer: None,
            rows: 0,
            findings: Vec::new(),
            unnamed: 0,
        }
    }

    /// With a checkpoint that was kept outside the copy. It is refused if the key did not sign it.
    pub fn since(mut self, note: &str) -> Result<Self, BadCheckpoint> {
        self.since = Some(self.open(note)?);
        Ok(self)
    }

    /// With the copy's own checkpoints, smallest first.
    #[must_use]
    pub fn stored(mut self, notes: impl Iterator<Item = String> + 'a) -> Self {
        self.stored.notes = Box::new(notes);
        self
    }

    /// With the complete nodes of the tree that the store kept, by level and index.
    ///
    /// Those of level 0, the hashes of leaves, let the check name the very entry that was changed; those of level
    /// [`RESUME_LEVEL`] and above let it go on after damage. None of them is believed before a checkpoint agrees, and
    /// each of the latter must be there and fit the entries below it.
    #[must_use]
    pub fn nodes(mut self, node: impl FnMut(u8, u64) -> Option<Hash> + 'a) -> Self {
        self.nodes = Some(Box::new(node));
        self
    }

    /// With the edge of the tree that the store kept. It is not believed either, but it should fit the entries.
    #[must_use]
    pub fn edge(mut self, edge: Frontier) -> Self {
        self.edge = Some(edge);
        self
    }

    /// The next entry, in the order of the copy's numbers.
    pub fn row(&mut self, row: Row<'_>) {
        // A number no ledger reaches is a hostile one; what it stands for is past every end.
        let row = Row { seq: row.seq.min(MAX_SIZE - 1), ..row };
        self.rows += 1;
        self.last_row = row.seq;
        let hash = Hash::of_leaf(row.leaf);
        let entry = Entry::parse(row.leaf);
        let says = entry.as_ref().ok().map_or(row.seq, |entry| entry.seq);
        let seq = if says == row.seq { says } else { self.place(row.seq, says, hash) };
        match &entry {
            Ok(entry) => self.personal(seq, entry.personal, row.personal),
            Err(bad) if bad.is_newer() => self.newer = Some(self.newer.map_or(seq, |first| first.min(seq))),
            Err(bad) => self.find(Finding::Unreadable { seq, why: bad.clone() }),
        }
        if seq < self.next {
            return self.late(seq, hash);
        }
        if seq > self.next {
            self.gap(seq);
        }
        self.append(hash);
    }

    /// The outcome.
    pub fn finish(mut self) -> Report {
        let end = self.next;
        // Hashes of entries beyond the last one show that there were more.
        while let Some(hash) = self.kept_hash(self.next).filter(|_| self.next < MAX_SIZE) {
            self.append(hash);
        }
        self.compare();
        self.compare_edge();
        while self.next_stored().is_some() {}
        self.settle_doubts(|seq| Finding::Changed { seq });
        // No checkpoint has said which tree is the true one: a node that fits either of them may be right.
        self.settle_nodes(|doubt| doubt.read && doubt.kept);
        if let Some(first) = self.lost.take() {
            self.skipped(first, self.next);
        }
        let largest = self.stored.largest.max(self.since.as_ref().map_or(0, |since| since.size));
        let known = largest.max(self.next).max(self.edge.as_ref().map_or(0, Frontier::size));
        if known > end {
            self.find(Finding::Dropped { first: end, last: known - 1 });
        }
        self.explain_places();
        let limits = self.limits(end, largest);
        let mut findings = self.findings;
        findings.sort_by_key(Finding::place);
        Report {
            entries: self.rows,
            root: self.read.filter(|_| findings.is_empty()).map(|tree| tree.root()),
            proven: self.proven,
            findings,
            unnamed: self.unnamed,
            limits,
        }
    }

    /// Which place an entry belongs to that says another than its row does: where the kept hashes say, else its row's.
    fn place(&mut self, row: u64, says: u64, hash: Hash) -> u64 {
        if self.nodes.is_some() && self.kept_hash(row) != Some(hash) {
            if self.kept_hash(says) != Some(hash) {
                return row; // changed, its number perhaps too: what it says proves nothing
            }
            self.shift(row, says);
            return says;
        }
        self.shift(row, says);
        row
    }

    /// Notes that `row` holds the entry that says it is `says`.
    fn shift(&mut self, row: u64, says: u64) {
        let by = says.wrapping_sub(row) as i64;
        let full = self.shifts.len() == Report::NAMED_MAX;
        match self.shifts.last_mut() {
            Some(run) if run.by == by && run.last.checked_add(1) == Some(row) => run.last = row,
            _ if full => self.unnamed += 1,
            _ => self.shifts.push(Shift { first: row, last: row, by }),
        }
    }

    /// An entry that should have come before: it fills a gap, or it was there already.
    fn late(&mut self, seq: u64, hash: Hash) {
        let Some(at) = self.gaps.iter().position(|(first, last)| (*first..=*last).contains(&seq)) else {
            return self.find(Finding::Repeated { seq });
        };
        let (first, last) = self.gaps.swap_remove(at);
        if first < seq {
            self.gaps.push((first, seq - 1));
        }
        if seq < last {
            self.gaps.push((seq + 1, last));
        }
        if self.kept_hash(seq).is_some_and(|kept| kept != hash) {
            self.find(Finding::Changed { seq });
        }
        if !self.shifts.iter().any(|run| run.holds(seq)) {
            self.find(Finding::Late { seq });
        }
    }

    /// Goes on to `seq` over what is missing, if the hashes of that were kept.
    fn gap(&mut self, seq: u64) {
        if self.gaps.len() < Report::NAMED_MAX {
            self.gaps.push((self.next, seq - 1));
        } else {
            self.unnamed += 1;
        }
        while self.read.is_some() && self.next < seq {
            match self.kept_hash(self.next) {
                Some(hash) => self.append(hash),
                None => self.lose(self.base),
            }
        }
        self.next = seq;
    }

    /// Appends entry `next`, of this hash, to both trees.
    fn append(&mut self, hash: Hash) {
        self.resume();
        self.compare();
        let kept = self.kept_hash(self.next).unwrap_or(hash);
        if kept != hash {
            if self.read.is_none() {
                self.find(Finding::Changed { seq: self.next });
            } else if self.doubts.len() < Report::NAMED_MAX {
                self.doubts.push(self.next);
            } else {
                self.unnamed += 1;
            }
        }
        let (mut by_read, mut by_kept) = (Vec::new(), Vec::new());
        if let Some(read) = &mut self.read {
            read.append(hash, |node| by_read.extend((node.level >= RESUME_LEVEL).then_some(node)));
        }
        if let Some(tree) = &mut self.kept {
            tree.append(kept, |node| by_kept.extend((node.level >= RESUME_LEVEL).then_some(node)));
        }
        self.next += 1;
        self.compare_nodes(&by_read, &by_kept);
    }

    /// Compares the nodes that an entry completed in each of the trees with those that the store kept.
    fn compare_nodes(&mut self, by_read: &[Node], by_kept: &[Node]) {
        let Some(stored) = &mut self.nodes else { return };
        // Where there are two trees, one entry completes the same nodes in both.
        for at in 0..by_read.len().max(by_kept.len()) {
            let (read, kept) = (by_read.get(at), by_kept.get(at));
            let Some(Node { level, index, .. }) = read.or(kept).copied() else { return };
            let found = stored(level, index);
            let differs = |node: Option<&Node>| node.is_some_and(|node| Some(node.hash) != found);
            let doubt = NodeDoubt { level, index, read: differs(read), kept: differs(kept) };
            match doubt.read || doubt.kept {
                true if self.node_doubts.len() < Report::NAMED_MAX => self.node_doubts.push(doubt),
                true => self.unnamed += 1,
                false => {}
            }
        }
    }

    /// Gives both trees up: an entry is missing, and so is its hash.
    fn lose(&mut self, first: u64) {
        self.settle_doubts(|seq| Finding::Changed { seq });
        self.node_doubts.clear();
        (self.read, self.kept, self.whole, self.disagreed) = (None, None, false, None);
        self.lost = self.lost.or(Some(first));
    }

    /// Takes up the tree that the store kept, where there is none to go on with.
    fn resume(&mut self) {
        if self.kept.is_some() || !self.next.is_multiple_of(1 << RESUME_LEVEL) {
            return;
        }
        let Some(nodes) = &mut self.nodes else { return };
        let Ok(tree) = Frontier::load(self.next, nodes) else { return };
        if self.read.is_none() {
            self.read = Some(tree.clone());
        }
        self.kept = Some(tree);
        if let Some(first) = self.lost.take() {
            self.skipped(first, self.next);
        }
        self.base = self.next;
    }

    /// Notes that the entries from `first` up to `end` were compared with no checkpoint.
    fn skipped(&mut self, first: u64, end: u64) {
        if first < end {
            self.uncompared = Some((self.uncompared.map_or(first, |(first, _)| first), end - 1));
        }
    }

    /// Compares both trees with every checkpoint of their size.
    fn compare(&mut self) {
        if let Some(since) = self.since.clone().filter(|since| since.size == self.next) {
            self.judge(&since);
        }
        while let Some(checkpoint) = self.next_stored() {
            match checkpoint.size {
                size if size > self.next => {
                    self.stored.ahead = Some(checkpoint);
                    return;
                }
                size if size == self.next => self.judge(&checkpoint),
                _ => {} // within a gap
            }
        }
    }

    /// Compares both trees with the edge that the store kept: unsigned, and all there is after the last checkpoint.
    fn compare_edge(&mut self) {
        let Some(edge) = self.edge.as_ref().filter(|edge| edge.size() == self.next) else { return };
        let root = Some(edge.root());
        let fits = [&self.read, &self.kept].into_iter().any(|tree| tree.as_ref().map(Frontier::root) == root);
        if !fits && self.kept.is_some() {
            self.find(Finding::EdgeDiffers { first: self.base });
        }
    }

    /// Step 2: which of the two trees, if any, is the one this checkpoint was signed for.
    fn judge(&mut self, checkpoint: &Checkpoint) {
        let (size, root) = (checkpoint.size, Some(checkpoint.root));
        if self.read.as_ref().map(Frontier::root) == root {
            self.settle_doubts(|seq| Finding::HashChanged { seq });
            self.settle_nodes(|doubt| doubt.read);
            self.kept = self.read.clone();
            self.lost = None; // the entries were being compared all the time
            if let Some(other) = self.disagreed {
                self.two_histories(other, size);
            }
        } else if self.kept.as_ref().map(Frontier::root) == root {
            self.settle_doubts(|seq| Finding::Changed { seq });
            self.settle_nodes(|doubt| doubt.kept);
            self.read = self.kept.clone();
            self.disagreed = None;
        } else {
            self.settle_doubts(|seq| Finding::Changed { seq });
            self.node_doubts.clear();
            return self.disagree(size);
        }
        self.base = size;
        if self.whole {
            self.proven = Some(size);
        }
    }

    fn disagree(&mut self, size: u64) {
        if self.kept.take().is_none() {
            return; // as is to be expected, until a tree is taken up again
        }
        let last = size.saturating_sub(1);
        match self.whole && self.proven == Some(size) {
            true => self.two_histories(size, size),
            false => self.find(Finding::Rewritten { first: self.base.min(last), last }),
        }
        self.whole = false;
        self.disagreed = self.disagreed.or(Some(size));
        self.lost = self.lost.or(Some(size));
    }

    fn two_histories(&mut self, other: u64, this: u64) {
        if !std::mem::replace(&mut self.forked, true) {
            self.find(Finding::TwoHistories { other, this });
        }
    }

    fn settle_doubts(&mut self, finding: impl Fn(u64) -> Finding) {
        for seq in std::mem::take(&mut self.doubts) {
            self.find(finding(seq));
        }
    }

    /// Names the nodes that differ from the tree which turned out to be the true one.
    fn settle_nodes(&mut self, wrong: impl Fn(&NodeDoubt) -> bool) {
        for doubt in std::mem::take(&mut self.node_doubts).iter().filter(|doubt| wrong(doubt)) {
            let first = doubt.index << doubt.level;
            self.find(Finding::NodeChanged { first, last: first + ((1 << doubt.level) - 1) });
        }
    }

    fn personal(&mut self, seq: u64, recorded: Option<Commitment>, beside: Option<&[u8]>) {
        match (recorded, beside) {
            (None, None) => {}
            (None, Some(_)) => self.find(Finding::PersonalAdded { seq }),
            (Some(_), None) => self.erased += 1,
            (Some(recorded), Some(bytes)) => {
                if Personal::from_bytes(bytes).map(|personal| personal.commitment()) != Ok(recorded) {
                    self.find(Finding::PersonalChanged { seq });
                }
            }
        }
    }

    /// Step 3: turns gaps and shifts into what was most likely done.
    fn explain_places(&mut self) {
        let mut removed = std::mem::take(&mut self.gaps);
        let mut shifts = std::mem::take(&mut self.shifts);
        let mut end = Some(self.last_row);
        // Runs that reach the last row, each further on than the one before: entries were taken out there, and the
        // rows numbered anew.
        while let Some(run) = shifts.pop() {
            let before = shifts
                .last()
                .filter(|other| other.last.checked_add(1) == Some(run.first))
                .map_or(0, |r| r.by);
            if end != Some(run.last) || before < 0 || run.by <= before {
                shifts.push(run);
                break;
            }
            removed.push((run.first.wrapping_add_signed(before), run.first.wrapping_add_signed(run.by) - 1));
            end = run.first.checked_sub(1);
        }
        removed.sort_unstable();
        let mut reached = None;
        for (first, last) in removed {
            if reached.is_some_and(|reached| last <= reached) {
                continue;
            }
            self.find(Finding::Removed { first, last });
            reached = Some(last);
        }
        for Shift { first, last, by } in shifts {
            self.find(Finding::Moved { first, last, by });
        }
    }

    fn limits(&self, end: u64, largest: u64) -> Vec<Limit> {
        let mut limits = Vec::new();
        if self.key.is_none() {
            limits.push(Limit::NoKey);
        }
        match &self.since {
            None => limits.push(Limit::NoOutside),
            Some(since) if since.size < end.min(largest) => {
                limits.push(Limit::AfterOutside { first: since.size })
            }
            Some(_) => {}
        }
        if largest < end || largest == 0 {
            limits.push(Limit::AfterNewest { first: largest });
        }
        limits.extend(self.uncompared.map(|(first, last)| Limit::Uncompared { first, last }));
        if self.erased > 0 {
            limits.push(Limit::Erased { entries: self.erased });
        }
        limits.extend(self.newer.map(|first| Limit::Newer { first }));
        limits.push(Limit::OnlyRecorded);
        limits
    }

    fn kept_hash(&mut self, seq: u64) -> Option<Hash> {
        self.nodes.as_mut().and_then(|node| node(0, seq))
    }

    /// The next stored checkpoint that is one; those that are none are findings.
    fn next_stored(&mut self) -> Option<Checkpoint> {
        if let Some(ahead) = self.stored.ahead.take() {
            return Some(ahead);
        }
        while let Some(note) = self.stored.notes.next() {
            let index = self.stored.taken;
            self.stored.taken += 1;
            match self.open(&note) {
                Ok(checkpoint) if checkpoint.size >= self.stored.largest => {
                    self.stored.largest = checkpoint.size;
                    return Some(checkpoint);
                }
                Ok(_) => self.find(Finding::BadCheckpoint { index, why: OUT_OF_ORDER }),
                Err(why) => self.find(Finding::BadCheckpoint { index, why }),
            }
        }
        None
    }

    fn open(&self, note: &str) -> Result<Checkpoint, BadCheckpoint> {
        match &self.key {
            Some(key) => Checkpoint::open(note, key),
            None => Checkpoint::read_unproven(note),
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < Report::NAMED_MAX {
            self.findings.push(finding);
        } else {
            self.unnamed += 1;
        }
    }
}

/// The copy's own checkpoints, read one ahead.
struct Stored<'a> {
    notes: Box<dyn Iterator<Item = String> + 'a>,
    /// How many were taken.
    taken: u64,
    /// The largest of those that are checkpoints.
    largest: u64,
    ahead: Option<Checkpoint>,
}

impl Shift {
    /// Whether one of the run's rows holds entry `seq`.
    fn holds(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq.wrapping_add_signed(self.by.wrapping_neg()))
    }
}

/// Damaged trees are taken up again at every 2^8 entries: often enough, and a store need keep no node below this level.
pub const RESUME_LEVEL: u8 = 8;

const OUT_OF_ORDER: BadCheckpoint = BadCheckpoint::Malformed("it stands after a larger one");

#[cfg(test)]
mod tests;
