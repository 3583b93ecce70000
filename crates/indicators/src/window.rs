/// Where the next value goes in a ring, and whether the ring has been filled once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    at: u16,
    full: bool,
}

impl Cursor {
    /// The cell of the oldest value, which the next one takes.
    #[inline]
    pub(crate) const fn at(self) -> usize {
        self.at as usize
    }

    /// Whether every cell has a value.
    #[inline]
    pub(crate) const fn is_full(self) -> bool {
        self.full
    }

    /// Whether the next value goes into the last cell of `len`: with it the ring is full, and
    /// its cells are in order of age.
    #[inline]
    pub(crate) const fn is_last(self, len: usize) -> bool {
        self.at as usize + 1 == len
    }

    #[inline]
    pub(crate) const fn advance(&mut self, len: usize) {
        if self.is_last(len) {
            self.at = 0;
            self.full = true;
        } else {
            self.at += 1;
        }
    }
}

/// The last so many numbers of a series.
///
/// What is summed up over it by adding the newest and taking away the oldest drifts, a rounding
/// at a time. So each time that the ring comes round ([`comes_round`](Window::comes_round)), its
/// sums are taken afresh from the numbers in it: one addition more per number on average.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    cells: Box<[f64]>,
    cursor: Cursor,
}

impl Window {
    pub(crate) fn new(len: u16) -> Self {
        Self {
            cells: vec![0.0; usize::from(len)].into_boxed_slice(),
            cursor: Cursor::default(),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, number: f64) {
        let len = self.cells.len();
        if let Some(cell) = self.cells.get_mut(self.cursor.at()) {
            *cell = number;
        }
        self.cursor.advance(len);
    }

    /// The number that the next one takes the place of; 0 while the window is not full.
    #[inline]
    pub(crate) fn oldest(&self) -> f64 {
        self.cells.get(self.cursor.at()).copied().unwrap_or(0.0)
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.cursor.is_full()
    }

    /// Whether it is full once it has one number more.
    #[inline]
    pub(crate) fn is_full_with_next(&self) -> bool {
        self.is_full() || self.comes_round()
    }

    /// Whether the next number goes into the last cell.
    #[inline]
    pub(crate) fn comes_round(&self) -> bool {
        self.cursor.is_last(self.cells.len())
    }

    /// When the window [comes round](Window::comes_round): the numbers that stay, oldest first.
    #[inline]
    pub(crate) fn staying(&self) -> &[f64] {
        self.cells.split_last().map_or(&[], |(_, rest)| rest)
    }

    /// How many numbers it has when it is full.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The numbers in it, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        let (newer, older) = self.cells.split_at(self.cursor.at());
        let older = if self.is_full() { older } else { &[] };
        older.iter().chain(newer).copied()
    }
}
