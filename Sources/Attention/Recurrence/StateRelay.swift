import AttentionCore
import Basics
import CKernels
import Tensors

/// How the states of a scan pass from part to part of a sequence that several ranks have; in the way back their gradients pass the
/// other way. Only the thread that runs a pass calls it.
public protocol StateRelay {
  /// Whether another part waits for what goes out.
  var passesOn: Bool { get }
  /// What comes in of a piece, flat; `nil`: there is no part before this one.
  /// - Throws: what messages throw.
  func receive(_ piece: Int) throws -> Tensor?
  /// Sends a piece, contiguous, which nobody changes afterwards.
  /// - Throws: what messages throw.
  func send(_ state: Tensor, as piece: Int) throws
  /// The sum of the states of all parts, for rows that read every key.
  /// - Throws: what messages throw.
  func total(_ own: Tensor) throws -> Tensor
}

extension RecurrentScan {
  /// Elements of the pieces in which states pass on.
  ///
  /// What fades by factors is an affine map whose transition every part has itself: all states are one piece. Under the delta rule the
  /// transition is a matrix `[d, d]` for every head, whose product costs as much as a second scan: columns of heads pass one after the
  /// other, and parts work at once on different ones.
  var pieceCounts: [Int] {
    guard recurrence.isDelta else { return [geometry.heads * geometry.stateCount] }
    let pieces = columnPieces
    return (0..<geometry.heads * pieces).map { shape.headDim * columns(of: $0 % pieces).count }
  }

  /// The scan over states where other parts have the rows before and behind: `scan` from nothing, and then what comes in, through the
  /// factors of this part. What goes out waits for no chunk.
  /// - Parameters:
  ///   - states: what `running` looks at: it becomes the state behind the last chunk.
  ///   - running: zeros, or without other parts the state before the first chunk.
  ///   - slots: as of `scan`.
  ///   - count: chunks.
  ///   - factors: as of `scan`.
  ///   - reversed: from the last to the first.
  ///   - relay: the other parts; `nil`: there are none.
  ///   - context: threads and instruction set.
  func scan(
    _ states: Tensor, _ running: PinnedView<Float>, _ slots: PinnedView<Float>, count: Int,
    factors: PinnedView<Float>?, reversed: Bool, through relay: (any StateRelay)?,
    in context: ExecutionContext
  ) throws {
    try scan(running, slots, count: count, factors: factors, reversed: reversed, in: context)
    guard let relay else { return }
    guard shape.isCausal else {
      let total = try relay.total(states), sum = total.pinned()
      running.pointer.update(from: sum + 0, count: total.count)
      return
    }
    guard var incoming = try relay.receive(0) else {
      if relay.passesOn { try relay.send(states, as: 0) }
      return
    }
    let size = geometry.stateCount, isa = context.instructionSet.code
    let carried = incoming.pinnedForWriting()
    if relay.passesOn {
      var faded = try context.empty([size])
      let target = faded.pinnedForWriting()
      for head in 0..<geometry.heads {
        target.pointer.update(from: carried + head * size, count: size)
        if let factors { fade(target.pointer, by: product(factors, head, count), isa) }
        attn_axpy(isa, 1, target.pointer, running + head * size, size)
      }
      try relay.send(states, as: 0)
    }
    try ScanLoop.forEach(count: geometry.heads, threads: context.threads) { head, _ in
      try context.checkCancellation()
      let own = carried + head * size
      for step in 0..<count {
        let block = reversed ? count - 1 - step : step
        attn_axpy(isa, 1, own, slots + (head * count + block) * size, size)
        if let factors { fade(own, by: factors + (head * count + block) * factorCount, isa) }
      }
    }
  }

  /// What all chunks together fade a state by.
  private func product(_ factors: PinnedView<Float>, _ head: Int, _ count: Int) -> [Float] {
    (0..<factorCount).map { factor in
      (0..<count).reduce(Float(1)) { $0 * factors[(head * count + $1) * factorCount + factor] }
    }
  }

  /// Fades the state of a head by the factors of a chunk.
  private func fade(_ state: UnsafeMutablePointer<Float>, by factors: UnsafePointer<Float>, _ isa: Int32) {
    let size = geometry.stateCount / factorCount
    attn_scan_scale(isa, state, size, factors, state, size, factorCount, size)
  }

  /// Columns of the states of all heads, which do not depend on each other; those of other parts one after the other, as they come in,
  /// and on when they are done.
  /// - Parameters:
  ///   - running: the states, `[heads, state]`.
  ///   - relay: the other parts; `nil`: there are none.
  ///   - context: threads; as many columns are worked on at once.
  ///   - work: takes columns of a head through all chunks.
  func overColumns(
    _ running: PinnedView<Float>, through relay: (any StateRelay)?, in context: ExecutionContext,
    _ work: @Sendable (_ head: Int, _ columns: Range<Int>, _ worker: Int) -> Void
  ) throws {
    let pieces = columnPieces, all = geometry.heads * pieces, v = shape.valueDim
    guard let relay else {
      return try ScanLoop.forEach(count: all, threads: context.threads) { index, worker in
        try context.checkCancellation()
        work(index / pieces, columns(of: index % pieces), worker)
      }
    }
    func place(_ piece: Int) -> (start: UnsafeMutablePointer<Float>, width: Int) {
      let columns = columns(of: piece % pieces)
      return (running + (piece / pieces * geometry.stateCount + columns.lowerBound), columns.count)
    }
    for first in stride(from: 0, to: all, by: max(1, context.threads)) {
      let turn = first..<min(all, first + max(1, context.threads))
      for piece in turn {
        guard let incoming = try relay.receive(piece) else { continue }
        let (start, width) = place(piece), given = incoming.pinned()
        for row in 0..<shape.headDim { (start + row * v).update(from: given + row * width, count: width) }
      }
      try ScanLoop.forEach(count: turn.count, threads: context.threads) { index, worker in
        try context.checkCancellation()
        work((first + index) / pieces, columns(of: (first + index) % pieces), worker)
      }
      for piece in relay.passesOn ? turn : 0..<0 {
        let (start, width) = place(piece)
        var message = try context.empty([shape.headDim * width])
        let target = message.pinnedForWriting()
        for row in 0..<shape.headDim { (target + row * width).update(from: start + row * v, count: width) }
        try relay.send(message, as: piece)
      }
    }
  }
}
