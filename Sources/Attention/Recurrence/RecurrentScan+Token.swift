import AttentionCore
import CKernels
import Tensors

/// A decoder's step: one token of every sequence against the states, which move on where they lie.
extension RecurrentScan {
  /// Bytes of states that are worth a thread of their own: below that, starting it takes longer than the work.
  static let tokenBytesOfThread = 1 << 18

  /// The threads that share the states out.
  func tokenThreads(in context: ExecutionContext) -> Int {
    let bytes = 4 * geometry.heads * geometry.stateCount
    return min(context.threads, geometry.heads, max(1, bytes / Self.tokenBytesOfThread))
  }

  /// Floats of a worker's scratch: the key, what the state fades by, the rows of q of a group, and a value of zeros.
  private var tokenScratch: Int { (2 + shape.groupSize) * shape.headDim + shape.valueDim }

  /// What a step allocates beyond its output, to the byte.
  func tokenWorkspaceBytes(in context: ExecutionContext = ExecutionContext(threads: 1)) -> Int {
    let gates = isGated ? geometry.heads * (factorCount + (recurrence.gate?.strength == .one ? 0 : 1)) : 0
    return 4 * (gates + tokenThreads(in: context) * tokenScratch)
  }

  /// The outputs of one token a sequence, `[batch, queryHeads, 1, valueDim]`; the states move on behind it.
  ///
  /// `H ← a∘H + β k (v − [delta] (a∘H)ᵀ k)ᵀ`, `o = Hᵀ q`, with a normaliser `o / (z·q + ε)`, `z ← a z + k`.
  /// - Parameters:
  ///   - state: `[batch, keyHeads, state]`; nobody else holds it, else it is copied first.
  ///   - inputs: one row of q, k, v and what else the recurrence reads.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `StateOverflow`, behind which the states are of no use; `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(d·d_v) a head: the state is read and written once, whatever the length of the past.
  func advance(_ state: inout Tensor, by inputs: Operands, in context: ExecutionContext) throws -> Tensor {
    precondition(
      shape.queryLength == 1 && shape.keyLength == 1 && shape.isCausal,
      "a token of each sequence, not \(shape)")
    inputs.check(shape)
    let gates = try recurrence.gate.map { try ScanGates(shape: shape, gate: $0).values(inputs, in: context) }
    var output = try context.empty(shape.outputShape)
    let threads = tokenThreads(in: context)
    let step = TokenStep(
      scan: self, isa: context.instructionSet.code, query: inputs.query.rows(), key: inputs.key.rows(),
      value: inputs.value.rows(), output: output.rowsForWriting(), states: state.pinnedForWriting(),
      logs: gates?.decays.pinned(), strengths: gates?.strengths?.pinned(),
      scratch: try Region([threads, tokenScratch], in: context.ledger),
      skip: recurrence.skip.map {
        ScanSkip($0, inputs, shape: shape, isa: context.instructionSet.code)
      })
    try ScanLoop.forEach(count: geometry.heads, threads: threads) { head, worker in
      try context.checkCancellation()
      try step.advance(head, step.scratch.at(worker * tokenScratch))
    }
    return output
  }
}

/// A step of every head.
private struct TokenStep: Sendable {
  let scan: RecurrentScan
  let isa: Int32
  let query: Rows, key: Rows, value: Rows, output: Rows
  let states: PinnedView<Float>
  let logs: PinnedView<Float>?, strengths: PinnedView<Float>?
  let scratch: Region
  let skip: ScanSkip?

  func advance(_ head: Int, _ base: UnsafeMutablePointer<Float>) throws {
    let shape = scan.shape, (d, v) = (shape.headDim, shape.valueDim), group = shape.groupSize
    let (batch, keyHead) = (head / shape.keyHeads, head % shape.keyHeads), map = scan.map
    let own = base, decays = base + d, rows = base + 2 * d
    let state = states + head * scan.geometry.stateCount
    // A sequence that has no key here keeps its state.
    let hasKey = shape.validKeys(batch: batch) > 0
    attn_scan_load(isa, map.code, key.row(batch, keyHead, 0), d, own, d, 1, d, 1, map.epsilon)
    for member in 0..<group {
      attn_scan_load(
        isa, map.code, query.row(batch, keyHead * group + member, 0), d, rows + member * d, d, 1, d,
        Float(scan.recurrence.scale), map.epsilon)
    }
    fade(head, hasKey: hasKey, to: decays)
    let none = rows + group * d
    if !hasKey { none.update(repeating: 0, count: v) }
    let strength = hasKey ? strengths?[head] ?? 1 : 0
    let target = output.row(batch, keyHead * group, 0)
    let stride = group > 1 ? output.row(batch, keyHead * group + 1, 0) - target : 0
    var token = attn_token(
      state: state, key_dim: d, value_dim: v, key: own,
      value: hasKey ? UnsafePointer(value.row(batch, keyHead, 0)) : UnsafePointer(none), decays: decays,
      decay_stride: scan.isByChannel ? 1 : 0, strength: strength, delta: scan.recurrence.isDelta ? 1 : 0,
      query: rows, queries: group, output: target, output_stride: stride)
    attn_scan_token(isa, &token)
    if let epsilon = scan.recurrence.normalizer {
      let sums = state + scan.geometry.matrixCount
      attn_scan_scale(isa, sums, d, decays, sums, d, 1, d)
      attn_axpy(isa, strength, own, sums, d)
      for member in 0..<group {
        var sum: Float = 0
        attn_scan_dots(isa, rows + member * d, d, sums, d, &sum, 0, 1, d)
        sum += Float(epsilon)
        var factor = sum == 0 ? 0 : 1 / sum
        attn_scan_scale(isa, target + member * stride, v, &factor, target + member * stride, v, 1, v)
      }
    }
    for member in 0..<group {
      let queryHead = keyHead * group + member
      if attn_scan_finite(isa, target + member * stride, v, 1, v) == 0 {
        throw StateOverflow(batch: batch, head: queryHead, query: 0)
      }
      skip?.add(batch, queryHead, 0..<1, to: output)
    }
  }

  /// What the rows of a state fade by.
  private func fade(_ head: Int, hasKey: Bool, to decays: UnsafeMutablePointer<Float>) {
    let count = scan.factorCount
    guard hasKey else { return decays.update(repeating: 1, count: count) }
    switch scan.recurrence.decay {
    case .none: decays[0] = 1
    case .fixed(let logs): decays[0] = Float(logs[head % scan.shape.keyHeads])
    case .gated:
      guard let logs else { preconditionFailure("gates were made") }
      decays.update(from: (logs + head * count), count: count)
      // Of channels the factors themselves are kept.
      if scan.isByChannel { return }
    }
    if scan.fades { attn_scan_exp(isa, decays, decays, 1) }
  }
}
