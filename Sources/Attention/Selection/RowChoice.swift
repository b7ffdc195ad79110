import AttentionCore
import CKernels
import Tensors

/// What every row has chosen by scores, keys or blocks of them: those of the largest scores, of equal ones the first.
///
/// A table of whole numbers, `[batch, heads, rows, count + 1]`: how many a row has, then what, rising. The scores of a row live only
/// while it chooses.
/// - Complexity: O(rows · count) memory; a choice among m walks over them some twenty times, or twice where `count` is far below m.
struct RowChoice: Sendable {
  /// The most that a row has.
  let count: Int
  private let table: PinnedView<Int32>
  private let heads: Int, length: Int, group: Int
  private let instructionSet: Int32

  /// Nothing is chosen yet.
  /// - Parameter group: neighbouring heads that share what one has chosen; others are numbered together.
  /// - Throws: `MemoryLimitExceeded`.
  init(
    _ count: Int, batch: Int, heads: Int, length: Int, sharedBy group: Int = 1, in context: ExecutionContext
  ) throws {
    (self.count, self.heads, self.length, self.group) = (count, heads, length, group)
    instructionSet = context.instructionSet.code
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
    let kept = always.range.prefix(count - taken)
    let first = max(candidates.lowerBound, always.hasFirst ? 1 : 0), end = candidates.upperBound
    let split = max(first, min(end, always.range.lowerBound)), resume = max(first, always.range.upperBound)
    target[0] =
      Int32(taken)
      + Int32(
        attn_select_largest(
          instructionSet, scores, sign, first, split, resume, max(resume, end), count - taken - kept.count,
          kept.lowerBound, kept.count, items + taken))
  }
}
