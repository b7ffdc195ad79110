/// Rows of a long axis that stand together in a shorter one: runs of them, rising, and where each begins there.
///
/// A rank that holds the rows 0 … 99 and 300 … 399 of a sequence has `RowRuns([0..<100, 300..<400])`; row 305 is its row 105.
public struct RowRuns: Hashable, Sendable {
  /// The runs, rising, none empty, none touching the next.
  public let runs: [Range<Int>]
  /// Where every run begins in the shorter axis.
  public let starts: [Int]
  /// The number of rows.
  public let count: Int

  /// Gathers runs; those that are empty are left out, and those that overlap or touch become one.
  /// - Complexity: O(runs · log runs).
  public init(_ given: [Range<Int>]) {
    var runs: [Range<Int>] = []
    for run in given.filter({ !$0.isEmpty }).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = runs.last, run.lowerBound <= last.upperBound {
        runs[runs.count - 1] = last.lowerBound..<max(last.upperBound, run.upperBound)
      } else {
        runs.append(run)
      }
    }
    var starts: [Int] = []
    var count = 0
    for run in runs {
      starts.append(count)
      count += run.count
    }
    (self.runs, self.starts, self.count) = (runs, starts, count)
  }

  /// The first rows of an axis.
  public init(all count: Int) { self.init([0..<count]) }

  /// Whether there are none.
  public var isEmpty: Bool { count == 0 }

  /// The runs that rows of a range fall in.
  /// - Complexity: O(log runs).
  public func overlapping(_ range: Range<Int>) -> Range<Int> {
    let first = firstRun { $0.upperBound > range.lowerBound }
    return first..<max(first, firstRun { $0.lowerBound >= range.upperBound })
  }

  /// The place of a row in the shorter axis; `nil`: it is not among them.
  /// - Complexity: O(log runs).
  public func place(of row: Int) -> Int? {
    let run = firstRun { $0.upperBound > row }
    guard run < runs.count, runs[run].contains(row) else { return nil }
    return starts[run] + row - runs[run].lowerBound
  }

  /// The first run that fulfils a condition which all later ones fulfil too.
  private func firstRun(_ isReached: (Range<Int>) -> Bool) -> Int {
    var (low, high) = (0, runs.count)
    while low < high {
      let middle = (low + high) / 2
      if isReached(runs[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// The row of the long axis that stands at a place.
  public func row(at place: Int) -> Int {
    precondition(place >= 0 && place < count, "place \(place) of \(count) rows")
    var (low, high) = (0, runs.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= place { low = middle } else { high = middle }
    }
    return runs[low].lowerBound + place - starts[low]
  }

  /// The rows that stand at some places.
  public func rows(at places: RowRuns) -> RowRuns {
    var found: [Range<Int>] = []
    for places in places.runs {
      for (run, start) in zip(runs, starts) {
        let low = max(places.lowerBound, start), high = min(places.upperBound, start + run.count)
        if low < high { found.append(run.lowerBound + low - start..<run.lowerBound + high - start) }
      }
    }
    return RowRuns(found)
  }

  /// How many rows stand before one.
  public func count(before row: Int) -> Int {
    runs.reduce(0) { $0 + max(0, min($1.upperBound, row) - $1.lowerBound) }
  }

  /// The rows of an axis that are not among them.
  public func complement(in count: Int) -> RowRuns {
    var found: [Range<Int>] = []
    var end = 0
    for run in runs {
      found.append(end..<max(end, run.lowerBound))
      end = run.upperBound
    }
    found.append(end..<max(end, count))
    return RowRuns(found)
  }

  /// The rows in parts of at most so many.
  public func parts(of size: Int) -> [RowRuns] {
    stride(from: 0, to: count, by: size).map { rows(at: RowRuns([$0..<min(count, $0 + size)])) }
  }
}

extension Tensor {
  /// Rows of tensors `[batch, heads, length, dim]`, one tensor after the other, as one block `[elements]`: what a message
  /// holds.
  /// - Precondition: equal precisions; last axes contiguous.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(elements).
  public static func packed(
    _ tensors: [Tensor], rows: RowRuns, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let precision = tensors.first?.precision ?? .float32
    precondition(tensors.allSatisfy { $0.precision == precision }, "a message of two precisions")
    let elements = tensors.reduce(0) { $0 + $1.shape[0] * $1.shape[1] * rows.count * $1.shape[3] }
    let block = try Tensor(uninitialized: [elements], precision: precision, ledger: ledger)
    var target = block.storage.raw
    for tensor in tensors {
      let base = tensor.pinnedBytes(), bytes = tensor.shape[3] * precision.byteCount
      tensor.forEachRun(of: rows) { offset, rowCount in
        for row in 0..<rowCount {
          let source = base + (offset + row * tensor.strides[2]) * precision.byteCount
          target.copyMemory(from: source, byteCount: bytes)
          target += bytes
        }
      }
    }
    return block
  }

  /// A block as tensors of some shapes, one after the other; shares storage.
  public func unpacked(_ shapes: [[Int]]) -> [Tensor] {
    var start = 0
    return shapes.map { shape in
      let count = shape.reduce(1, *)
      defer { start += count }
      return narrowed(axis: 0, to: start..<start + count).reshaped(shape)
    }
  }

  /// Adds a tensor `[batch, heads, rows, dim]` to some rows of as many heads from one on.
  /// - Precondition: float32, last axes contiguous.
  /// - Complexity: O(elements of the part).
  public mutating func add(_ part: Tensor, toRows rows: RowRuns, fromHead first: Int = 0) {
    precondition(
      part.shape == [shape[0], part.shape[1], rows.count, shape[3]] && first + part.shape[1] <= shape[1],
      "\(part.shape) added to \(shape) from head \(first) on")
    let (own, dim) = (strides, shape[3])
    let (source, base) = (part.pinned(), pinnedForWriting())
    for index in 0..<part.shape[0] * part.shape[1] {
      let (batch, head) = (index / part.shape[1], index % part.shape[1])
      let fromAt: Int = batch * part.strides[0] + head * part.strides[1]
      let toAt: Int = batch * own[0] + (first + head) * own[1]
      let from = source.pointer + fromAt, to = base.pointer + toAt
      for (run, start) in zip(rows.runs, rows.starts) {
        for row in 0..<run.count {
          let x = from + (start + row) * part.strides[2]
          let sum = to + (run.lowerBound + row) * own[2]
          for t in 0..<dim { sum[t] += x[t] }
        }
      }
    }
  }

  /// Tensors `[batch, heads, rows, dim]` as one of all rows, each in some rows of it.
  /// - Precondition: equal precisions; every row is in one of them; last axes contiguous.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(elements).
  public static func joined(
    _ parts: [(tensor: Tensor, rows: RowRuns)], ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let length = parts.reduce(0) { $0 + $1.rows.count }
    let sizes = parts.first?.tensor.shape ?? [0, 0, 0, 0]
    let whole = try Tensor(
      uninitialized: [sizes[0], sizes[1], length, sizes[3]],
      precision: parts.first?.tensor.precision ?? .float32, ledger: ledger)
    let size = whole.precision.byteCount
    for (tensor, rows) in parts {
      precondition(tensor.precision == whole.precision, "rows of two precisions")
      let base = tensor.pinnedBytes()
      for index in 0..<sizes[0] * sizes[1] {
        let (batch, head) = (index / sizes[1], index % sizes[1])
        for (run, start) in zip(rows.runs, rows.starts) {
          for row in 0..<run.count {
            let from =
              batch * tensor.strides[0] + head * tensor.strides[1] + (start + row) * tensor.strides[2]
            let to = (index * length + run.lowerBound + row) * sizes[3]
            (whole.storage.raw + to * size).copyMemory(from: base + from * size, byteCount: sizes[3] * size)
          }
        }
      }
    }
    return whole
  }

  /// The same rows and one of zeros behind them.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public func withRowOfZeros(ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    var extents = shape
    extents[2] += 1
    let longer = try Tensor(uninitialized: extents, precision: precision, ledger: ledger)
    let (bytes, all) = (shape[3] * precision.byteCount, RowRuns(all: shape[2]))
    var target = longer.storage.raw
    let base = pinnedBytes()
    forEachRun(of: all) { offset, rowCount in
      for row in 0..<rowCount {
        target.copyMemory(from: base + (offset + row * strides[2]) * precision.byteCount, byteCount: bytes)
        target += bytes
      }
      target.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
      target += bytes
    }
    return longer
  }

  /// Calls `body(offset, rows)` for runs of rows of every (batch, head), in order.
  private func forEachRun(of rows: RowRuns, _ body: (_ offset: Int, _ rows: Int) -> Void) {
    precondition(shape[3] <= 1 || strides[3] == 1, "the last axis is not contiguous")
    for batch in 0..<shape[0] {
      for head in 0..<shape[1] {
        for run in rows.runs {
          body(batch * strides[0] + head * strides[1] + run.lowerBound * strides[2], run.count)
        }
      }
    }
  }
}
