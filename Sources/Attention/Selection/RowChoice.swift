import AttentionCore
import Tensors

/// What every row has chosen by scores, keys or blocks of them: those of the largest scores, of equal ones the first.
///
/// A table of whole numbers, `[batch, heads, rows, count + 1]`: how many a row has, then what, rising. The scores of a row live only
/// while it chooses.
/// - Complexity: O(rows · count) memory; a choice among m takes O(m) time and O(count·log count) for each change of what it holds.
struct RowChoice: Sendable {
  /// The most that a row has.
  let count: Int
  private let table: PinnedView<Int32>
  private let heads: Int, length: Int, group: Int

  /// Nothing is chosen yet.
  /// - Parameter group: neighbouring heads that share what one has chosen; others are numbered together.
  /// - Throws: `MemoryLimitExceeded`.
  init(
    _ count: Int, batch: Int, heads: Int, length: Int, sharedBy group: Int = 1, in context: ExecutionContext
  ) throws {
    (self.count, self.heads, self.length, self.group) = (count, heads, length, group)
    // As wide as a float, and counted like one.
    var words = try context.zeros([batch * heads * length, count + 1])
    table = words.pinnedForWriting().viewed(as: Int32.self)
  }

  /// Bytes of a table of so many rows.
  static func byteCount(_ count: Int, rows: Double) -> Double { 4 * rows * Double(count + 1) }

  /// Where a row's number of items stands, and then these.
  func slots(_ batch: Int, _ head: Int, _ row: Int) -> UnsafeMutablePointer<Int32> {
    table + ((batch * heads + head / group) * length + row) * (count + 1)
  }

  /// What a row has chosen, rising.
  func items(_ batch: Int, _ head: Int, _ row: Int) -> UnsafeBufferPointer<Int32> {
    let own = slots(batch, head, row)
    return UnsafeBufferPointer(start: own + 1, count: Int(own[0]))
  }

  /// Whether a row has chosen an item.
  func contains(_ item: Int, _ batch: Int, _ head: Int, _ row: Int) -> Bool {
    items(batch, head, row).contains(Int32(item))
  }

  /// What a row has whatever its scores: neighbouring items, and perhaps the first of all.
  struct Always {
    var range = 0..<0
    var hasFirst = false
  }

  /// Chooses for a row: what it always has, then the largest scores of the other candidates, up to `count` in all. NaN counts as the
  /// largest of all, so that its row is refused where that is a score of a pair.
  /// - Parameters:
  ///   - scores: one for each candidate, at its number.
  ///   - candidates: among which the row chooses.
  ///   - sign: −1 where small scores are large ones.
  ///   - always: what it has in any case.
  ///   - target: the row's slots.
  func choose(
    _ scores: UnsafePointer<Float>, of candidates: Range<Int>, sign: Float = 1, always: Always = Always(),
    into target: UnsafeMutablePointer<Int32>
  ) {
    let items = target + 1
    var taken = 0
    if always.hasFirst, !always.range.contains(0), count > 0 {
      items[0] = 0
      taken = 1
    }
    for item in always.range where taken < count {
      items[taken] = Int32(item)
      taken += 1
    }
    var best = BestItems(items: items + taken, scores: scores, sign: sign, capacity: count - taken)
    let first = max(candidates.lowerBound, always.hasFirst ? 1 : 0)
    let end = candidates.upperBound
    for item in first..<max(first, min(end, always.range.lowerBound)) { best.offer(Int32(item)) }
    let behind = max(first, always.range.upperBound)
    for item in behind..<max(behind, end) { best.offer(Int32(item)) }
    target[0] = Int32(taken + best.count)
    var all = UnsafeMutableBufferPointer(start: items, count: Int(target[0]))
    all.sort()
  }
}

/// The best so far of items that come in rising order: a heap whose root goes first, the lowest score, of equal ones the last.
private struct BestItems {
  let items: UnsafeMutablePointer<Int32>
  let scores: UnsafePointer<Float>
  let sign: Float
  let capacity: Int
  var count = 0

  private func score(_ item: Int32) -> Float {
    let value = sign * scores[Int(item)]
    return value.isNaN ? .infinity : value
  }

  private func goesBefore(_ a: Int32, _ b: Int32) -> Bool {
    let (x, y) = (score(a), score(b))
    return x < y || (x == y && a > b)
  }

  mutating func offer(_ item: Int32) {
    if count < capacity {
      items[count] = item
      rise(from: count)
      count += 1
    } else if capacity > 0, score(item) > score(items[0]) {
      items[0] = item
      sink()
    }
  }

  private func rise(from start: Int) {
    var place = start
    while place > 0, goesBefore(items[place], items[(place - 1) / 2]) {
      swap(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  private func sink() {
    var place = 0
    while 2 * place + 1 < count {
      var below = 2 * place + 1
      if below + 1 < count, goesBefore(items[below + 1], items[below]) { below += 1 }
      guard goesBefore(items[below], items[place]) else { return }
      swap(place, below)
      place = below
    }
  }

  private func swap(_ a: Int, _ b: Int) { (items[a], items[b]) = (items[b], items[a]) }
}
