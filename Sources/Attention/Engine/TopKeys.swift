import AttentionCore
import Basics
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The keys with the largest scores of every row: first of equals, in the order of the sequence.
///
/// A block of rows at a time: its products with all keys, then the choice of every row. No more scores are held than those of a
/// block for each thread.
/// - Complexity: O(n²·d) time, O(n·k) memory and O(n) a thread.
struct TopKeys: Sendable {
  let count: Int
  private let table: PinnedView<Int32>
  private let heads: Int, length: Int

  /// Chooses up to `count` keys of every row.
  /// - Parameter draws: instead of the best, a key of every row is drawn from its softmax by a number of [0, 1).
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  init(
    _ count: Int, of inputs: Operands, shape: AttentionShape, scale: Double, drawnBy draws: Tensor? = nil,
    in context: ExecutionContext
  ) throws {
    precondition(draws == nil || count == 1, "\(count) keys are drawn: one can be")
    self.count = min(count, shape.keyLength)
    (heads, length) = (shape.queryHeads, shape.queryLength)
    let rows = shape.batch * heads * length
    // As wide as a float, and counted like one; the number of a row's keys stands before them.
    var words = try context.zeros([rows, self.count + 1])
    table = words.pinnedForWriting().viewed(as: Int32.self)
    try fill(inputs, shape: shape, scale: scale, draws?.rows(), in: context)
  }

  private func fill(
    _ inputs: Operands, shape: AttentionShape, scale: Double, _ draws: Rows?, in context: ExecutionContext
  ) throws {
    var alone = context
    alone.threads = 1
    let single = alone, sign: Float = scale < 0 ? -1 : 1
    try shape.forEachRowBlock(in: context) { batch, head, own, _ in
      let valid = shape.validKeys(batch: batch)
      guard valid > 0 else { return }
      let q = inputs.query.matrix(batch, head).narrowed(axis: 0, to: own)
      let k = inputs.key.matrix(batch, shape.keyHead(of: head)).narrowed(axis: 0, to: 0..<valid)
      var result = try single.matmul(q, .plain, k, .transposed)
      let products = result.pinnedForWriting()
      for row in own {
        let number = row - own.lowerBound
        let own = products + number * valid, target = table + place(batch, head, row)
        let isScaled = correct(own, count: valid, q, k, row: number, scale: scale)
        let visible = shape.visibleKeys(batch: batch, row: row)
        guard let draws else {
          choose(own, visible, sign, into: target)
          continue
        }
        draw(
          own, visible, isScaled ? Double(sign) : scale, by: draws.row(batch, head, row)[0], into: target)
      }
    }
  }

  private func place(_ batch: Int, _ head: Int, _ row: Int) -> Int {
    ((batch * heads + head) * length + row) * (count + 1)
  }

  /// How often a pair counts: 1 if the key was chosen.
  func multiplicity(_ batch: Int, _ head: Int, _ row: Int, _ key: Int) -> Int {
    keys(batch, head, row).contains(Int32(key)) ? 1 : 0
  }

  /// The keys of a row, rising.
  func keys(_ batch: Int, _ head: Int, _ row: Int) -> UnsafeBufferPointer<Int32> {
    let own = table + place(batch, head, row)
    return UnsafeBufferPointer(start: own + 1, count: Int(own[0]))
  }

  /// Scores of a row one by one in Double, scaled, where some product passes what single precision holds: it may come back, or be
  /// scaled down. Returns whether it did so.
  private func correct(
    _ scores: UnsafeMutablePointer<Float>, count: Int, _ query: Tensor, _ keys: Tensor, row: Int,
    scale: Double
  ) -> Bool {
    guard (0..<count).contains(where: { !scores[$0].isFinite }) else { return false }
    let dim = query.shape[1], (q, k) = (query.pinned(), keys.pinned())
    let (queryStart, keyStride) = (row * query.strides[0], keys.strides[0])
    for key in 0..<count {
      let sum = (0..<dim).reduce(0.0) { $0 + Double(q[queryStart + $1]) * Double(k[key * keyStride + $1]) }
      scores[key] = Float(scale.magnitude * sum)
    }
    return true
  }

  /// The first key up to which the weights make up more than the share `number` of all. A score that is no number is taken itself, so
  /// that its row is refused.
  private func draw(
    _ scores: UnsafePointer<Float>, _ visible: Int, _ scale: Double, by number: Float,
    into target: UnsafeMutablePointer<Int32>
  ) {
    guard visible > 0 else { return }
    target[0] = 1
    if let bad = (0..<visible).first(where: { !scores[$0].isFinite }) {
      target[1] = Int32(bad)
      return
    }
    let largest = (0..<visible).reduce(-Double.infinity) { max($0, scale * Double(scores[$1])) }
    func weight(_ key: Int) -> Double { exp(scale * Double(scores[key]) - largest) }
    let bound = Double(number) * (0..<visible).reduce(0) { $0 + weight($1) }
    var sum = 0.0
    for key in 0..<visible {
      let own = weight(key)
      sum += own
      // By rounding the bound may not be passed: then the last key that has some weight is taken.
      if own > 0 { target[1] = Int32(key) }
      if sum > bound { return }
    }
  }

  /// Insertion among those chosen so far, which stand by falling score; the last of them is what a key must exceed. NaN counts as
  /// the largest of all, so that its row is refused.
  private func choose(
    _ scores: UnsafePointer<Float>, _ visible: Int, _ sign: Float, into target: UnsafeMutablePointer<Int32>
  ) {
    let keys = target + 1
    func score(_ key: Int32) -> Float {
      let value = sign * scores[Int(key)]
      return value.isNaN ? .infinity : value
    }
    var chosen = 0
    for key in 0..<Int32(visible) {
      let own = score(key)
      guard chosen < count || own > score(keys[count - 1]) else { continue }
      var place = chosen < count ? chosen : count - 1
      while place > 0, own > score(keys[place - 1]) {
        keys[place] = keys[place - 1]
        place -= 1
      }
      keys[place] = key
      chosen = min(count, chosen + 1)
    }
    target[0] = Int32(chosen)
    var all = UnsafeMutableBufferPointer(start: keys, count: chosen)
    all.sort()
  }
}
