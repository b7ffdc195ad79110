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
  private let choice: RowChoice
  /// The most keys of a row.
  var count: Int { choice.count }

  /// Takes keys that were chosen otherwise.
  init(_ choice: RowChoice) { self.choice = choice }

  /// Chooses up to `count` keys of every row.
  /// - Parameter draws: instead of the best, a key of every row is drawn from its softmax by a number of [0, 1).
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  init(
    _ count: Int, of inputs: Operands, shape: AttentionShape, scale: Double, drawnBy draws: Tensor? = nil,
    in context: ExecutionContext
  ) throws {
    precondition(draws == nil || count == 1, "\(count) keys are drawn: one can be")
    choice = try RowChoice(
      min(count, shape.keyLength), batch: shape.batch, heads: shape.queryHeads, length: shape.queryLength,
      in: context)
    try fill(inputs, shape: shape, scale: scale, draws?.rows(), in: context)
  }

  private func fill(
    _ inputs: Operands, shape: AttentionShape, scale: Double, _ draws: Rows?, in context: ExecutionContext
  ) throws {
    var alone = context
    alone.threads = 1
    let single = alone, sign: Float = scale < 0 ? -1 : 1, isa = context.instructionSet.code
    try shape.forEachRowBlock(in: context) { batch, head, own, _ in
      // What the last of the rows sees; the others see less.
      let valid = shape.visibleKeys(batch: batch, row: own.upperBound - 1)
      guard valid > 0 else { return }
      let q = inputs.query.matrix(batch, head).narrowed(axis: 0, to: own)
      let k = inputs.key.matrix(batch, shape.keyHead(of: head)).narrowed(axis: 0, to: 0..<valid)
      var result = try single.matmul(q, .plain, k, .transposed)
      let products = result.pinnedForWriting()
      for row in own {
        let number = row - own.lowerBound
        let own = products + number * valid, target = choice.slots(batch, head, row)
        let isScaled = VastScores.correct(own, count: valid, q, k, row: number, scale: scale, isa)
        let visible = shape.visibleKeys(batch: batch, row: row)
        guard let draws else {
          choice.choose(own, of: 0..<visible, sign: sign, into: target)
          continue
        }
        draw(
          own, visible, isScaled ? Double(sign) : scale, by: draws.row(batch, head, row)[0], into: target)
      }
    }
  }

  /// How often a pair counts: 1 if the key was chosen.
  func multiplicity(_ batch: Int, _ head: Int, _ row: Int, _ key: Int) -> Int {
    choice.contains(key, batch, head, row) ? 1 : 0
  }

  /// The keys of a row, rising.
  func keys(_ batch: Int, _ head: Int, _ row: Int) -> UnsafeBufferPointer<Int32> {
    choice.items(batch, head, row)
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
}
