import Tensors

/// The gradients of a step's rows, summed in a tree that depends on the number of rows alone, not on the ranks that hold them.
///
///     rows 0 … 5:   ((0) + (1 + 2)) + ((3) + (4 + 5))
///
/// A node's sum belongs to the rank that has its first row, which gets the right half from whoever has that and adds it to the
/// left half. Float addition is commutative and every node adds the same two numbers, so any number of ranks gives the same
/// bits. Rank r of P has the rows b with ⌊b·P ÷ rows⌋ = r, one run of neighbours.
///
/// A rank other than 0 sends one sum on the way up and gets one total; with n elements that is at most
/// `(P − 1 + borders)·4n` bytes up and `(P − 1)·4n` down, where a border that cuts a subtree costs a message.
package struct GradientTree {
  /// Rows of the step, of all passes together.
  package let rows: Int
  /// The ranks; `nil`: this process has all rows.
  let communicator: (any Communicator)?

  /// Describes the tree.
  /// - Parameters:
  ///   - rows: rows of the step, of all passes together.
  ///   - communicator: the ranks; `nil`: this process has all rows.
  package init(rows: Int, communicator: (any Communicator)?) {
    (self.rows, self.communicator) = (rows, communicator)
  }

  private var ranks: Int { communicator?.count ?? 1 }
  private var rank: Int { communicator?.rank ?? 0 }

  /// The rank that has a row.
  package func owner(of row: Int) -> Int { row * ranks / rows }

  /// The rows that this rank has.
  package var own: [Int] { (0..<rows).filter { owner(of: $0) == rank } }

  /// The sum over all rows, on every rank.
  /// - Parameters:
  ///   - count: elements of a gradient.
  ///   - context: where sums are made.
  ///   - leaf: the gradient of a row that this rank has; called once a row, in order.
  /// - Returns: the sum.
  /// - Throws: what `leaf` throws; `RankFailure`, `MemoryLimitExceeded`.
  package func sum(_ count: Int, _ context: ExecutionContext, leaf: (Int) throws -> Tensor) throws -> Tensor {
    let total = try node(0..<rows, count, context, leaf)
    return try distributed(total, count, context)
  }

  /// The sum of some rows, on the rank that has the first of them; `nil` on others.
  private func node(
    _ range: Range<Int>, _ count: Int, _ context: ExecutionContext, _ leaf: (Int) throws -> Tensor
  ) throws -> Tensor? {
    let (first, last) = (owner(of: range.lowerBound), owner(of: range.upperBound - 1))
    guard (first...last).contains(rank) else { return nil }
    guard range.count > 1 else { return try leaf(range.lowerBound) }
    let middle = range.lowerBound + range.count / 2
    let left = try node(range.lowerBound..<middle, count, context, leaf)
    var right = try node(middle..<range.upperBound, count, context, leaf)
    let source = owner(of: middle)
    if source != first, let communicator {
      if rank == source, let sum = right {
        try communicator.send(sum, to: first, tag: .gradients).wait()
      }
      guard rank == first else { return nil }
      right = try communicator.receive(count, .float32, from: source, tag: .gradients, ledger: context.ledger)
        .wait()
    }
    guard var sum = left, let right else { return nil }
    context.accumulate(right, into: &sum)
    return sum
  }

  /// The total of rank 0, on every rank: in each round those who have it hand it to as many others.
  private func distributed(_ total: Tensor?, _ count: Int, _ context: ExecutionContext) throws -> Tensor {
    var total = total
    var reached = 1
    while let communicator, reached < ranks {
      if rank < reached, rank + reached < ranks, let sum = total {
        try communicator.send(sum, to: rank + reached, tag: .gradients).wait()
      } else if (reached..<2 * reached).contains(rank) {
        total = try communicator.receive(
          count, .float32, from: rank - reached, tag: .gradients, ledger: context.ledger
        ).wait()
      }
      reached *= 2
    }
    guard let total else { preconditionFailure("rank \(rank) of \(ranks) got no total over \(rows) rows") }
    return total
  }
}
