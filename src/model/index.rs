//! Which rows of a ragged batch an operation reads and writes.

/// Row numbers of a batch, kept so that computing them again allocates nothing. A meta-context has `units` rows.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) from: Vec<usize>,
    pub(crate) to: Vec<usize>,
}

impl Index {
    /// `from`: the rows of each lane.
    pub(crate) fn scaled(&mut self, metas: &[usize], units: usize) {
        self.from.clear();
        self.from.extend(metas.iter().map(|m| m * units));
    }

    /// `from`: the first row of each lane.
    pub(crate) fn starts(&mut self, metas: &[usize], units: usize) {
        self.from.clear();
        let mut row = 0;
        for m in metas {
            self.from.push(row);
            row += m * units;
        }
    }

    /// `from`: the last row of each lane.
    pub(crate) fn ends(&mut self, metas: &[usize], units: usize) {
        self.starts(metas, units);
        for (row, m) in self.from.iter_mut().zip(metas) {
            *row += m * units - 1;
        }
    }

    /// `from`: all rows but each lane's last; `to`: all rows but each lane's first.
    pub(crate) fn shifted(&mut self, metas: &[usize], units: usize) {
        self.from.clear();
        let mut row = 0;
        for m in metas {
            self.from.extend(row..row + m * units - 1);
            row += m * units;
        }
        self.to.clear();
        self.to.extend(self.from.iter().map(|row| row + 1));
    }
}
