import AttentionCore
import Basics
import CKernels
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension NSA {
  /// Output of the three branches. A row with a score that single precision does not hold is named in `overflowedPadding`, and refused by
  /// `attend` where it is no padding.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    guard let gates = inputs[Self.gates.name], let keyWeights = inputs[.compressKey],
      let valueWeights = inputs[.compressValue]
    else { preconditionFailure("nsa reads gates, compress_key and compress_value") }
    let short = Operands(
      query: inputs.query, key: try compressed.make(inputs.key, keyWeights, in: context),
      value: try compressed.make(inputs.value, valueWeights, in: context))
    let selected = try pattern(for: inputs, compressedKeys: short.key, in: context)
    let branches = [
      try Engine.attend(
        short, shape: compressed.attending, scale: shape.effectiveScale, pattern: compressedPattern,
        in: context),
      try Engine.attend(inputs, shape: shape, scale: shape.effectiveScale, pattern: selected, in: context),
      try window.forward(inputs, in: context),
    ]
    let weighed = GatedBranches(shape: shape, gates: gates)
    let output = try weighed.sum(branches.map(\.output), in: context)
    var forward = Forward(output: output, lse: nil) { outputGradient, context in
      var gateGradient = try context.zeros(gates.shape)
      func back(_ branch: Int) throws -> Operands {
        let own = try weighed.gradient(
          outputGradient, branch, output: branches[branch].output, gates: &gateGradient, in: context)
        return try branches[branch].backward(own, in: context)
      }
      var result = try back(1)
      for branch in [2, 0] {
        let part = try back(branch)
        context.accumulate(part.query, into: &result.query)
        guard branch == 0 else {
          context.accumulate(part.key, into: &result.key)
          context.accumulate(part.value, into: &result.value)
          continue
        }
        result[.compressKey] = try compressed.addGradient(
          part.key, rows: inputs.key, keyWeights, to: &result.key, in: context)
        result[.compressValue] = try compressed.addGradient(
          part.value, rows: inputs.value, valueWeights, to: &result.value, in: context)
      }
      result[Self.gates.name] = gateGradient
      return result
    }
    let sums = branches.compactMap { $0.lse?.array() }
    forward.overflowedPadding = (0..<shape.lseShape.reduce(1, *)).filter { row in
      sums.contains { !($0[row] < .infinity) }
    }
    return forward
  }

  /// Chooses the blocks of the selected branch, and makes their tiles; the compressed keys are a branch's own.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func chooseKeys(of inputs: Operands, in context: ExecutionContext) throws -> Bool {
    guard let weights = inputs[.compressKey] else { preconditionFailure("nsa reads compress_key") }
    _ = try pattern(
      for: inputs, compressedKeys: compressed.make(inputs.key, weights, in: context), in: context)
    return true
  }

  /// The tiles of the blocks that rows select.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func pattern(
    for inputs: Operands, compressedKeys: Tensor, in context: ExecutionContext
  ) throws -> TilePattern {
    let choice = try chosen(inputs.query, compressedKeys, in: context)
    return try BlockTiles(blocks: blocks, choice: choice, hasOwn: true).pattern(
      heads: shape.keyHeads, in: context)
  }

  /// The blocks that the heads of every group select, `[batch, key heads, n]`: by the weights of the compressed branch, made 64 rows at a
  /// time.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func chosen(_ query: Tensor, _ compressedKeys: Tensor, in context: ExecutionContext) throws -> RowChoice {
    let blocks = blocks, isa = context.instructionSet.code, scale = Float(shape.effectiveScale)
    let choice = try RowChoice(
      min(configuration.blocks, blocks.count), batch: shape.batch, heads: shape.keyHeads,
      length: shape.queryLength, in: context)
    var alone = context
    alone.threads = 1
    let single = alone
    var grouped = shape
    grouped.queryHeads = shape.keyHeads
    let overlap = BlockOverlap(
      compressed: configuration.compressBlock / configuration.compressStride,
      selected: configuration.blockSize / configuration.compressStride)
    let summed = try BlockProducts(compressedKeys, in: context), source = query.rows()
    let tile = min(AttentionShape.rowBlock, shape.queryLength), stride = summed.stride
    let scratch = try Region([max(1, context.threads), 2 * tile * stride], in: context.ledger)
    try grouped.forEachRowBlock(in: context) { batch, keyHead, rows, worker in
      let valid = shape.validKeys(batch: batch)
      // What the last of the rows sees; the others see less.
      let count = compressed.visible(batch: batch, row: rows.upperBound - 1)
      let width = max(1, blocks.count(valid: valid))
      var sums = try single.zeros([rows.count, width])
      let importance = sums.pinnedForWriting()
      // The weights of all heads of the group, summed in the first half of the scratch.
      let all = scratch.at(worker * 2 * tile * stride), own = all + tile * stride
      for member in 0..<(count > 0 ? shape.groupSize : 0) {
        let head = keyHead * shape.groupSize + member, products = member == 0 ? all : own
        summed.multiply(
          source.row(batch, head, rows.lowerBound), rowStride: source.rowStride, count: rows.count, batch,
          keyHead,
          blocks: count, into: products)
        for row in rows {
          let place = (row - rows.lowerBound) * stride, weights = products + place
          let seen = compressed.visible(batch: batch, row: row)
          var factor = scale
          attn_scan_scale(isa, weights, seen, &factor, weights, seen, 1, seen)
          _ = attn_dense_softmax(isa, weights, weights, Int32(seen), Int32(seen))
          if member > 0 { attn_axpy(isa, 1, weights, all + place, seen) }
        }
      }
      for row in rows where count > 0 {
        let place = row - rows.lowerBound
        overlap.add(
          all + place * stride, count: compressed.visible(batch: batch, row: row),
          to: importance + place * width)
      }
      for row in rows {
        let (candidates, own) = blocks.reach(batch: batch, row: row)
        // A position behind the end has no block, and the last one stands for those before it.
        let local = own.isEmpty ? own : max(0, own.lowerBound - 1)..<own.upperBound
        choice.choose(
          importance + (row - rows.lowerBound) * width, of: candidates,
          always: .init(range: local, hasFirst: !candidates.isEmpty || !own.isEmpty),
          into: choice.slots(batch, keyHead, row))
      }
    }
    return choice
  }
}

/// How compressed blocks and blocks that are selected lie over each other, in strides: a compressed block of `compressed` strides begins
/// at every stride, a selected one of `selected` strides behind the one before.
struct BlockOverlap: Sendable {
  let compressed: Int, selected: Int

  /// Adds to every selected block the weights of compressed ones, each times the strides that the two share.
  /// - Complexity: O(count · (1 + compressed/selected)).
  func add(_ weights: UnsafePointer<Float>, count: Int, to sums: UnsafeMutablePointer<Float>) {
    var block = 0
    while block * selected < count + compressed - 1 {
      let (begin, end) = (block * selected, (block + 1) * selected)
      // Those that begin and end inside count as one sum.
      let inside = min(count, begin)..<max(min(count, begin), min(count, end - compressed + 1))
      var whole: Float = 0
      for place in inside { whole += weights[place] }
      var sum = Float(compressed) * whole
      for place in max(0, begin - compressed + 1)..<max(0, begin - compressed + 1, inside.lowerBound) {
        sum += Float(min(place + compressed, end) - begin) * weights[place]
      }
      for place in inside.upperBound..<max(inside.upperBound, min(count, end)) {
        sum += Float(end - place) * weights[place]
      }
      sums[block] += sum
      block += 1
    }
  }
}

/// Outputs of branches, each times σ of a gate of every head and row: `o = Σ_b σ(g_b) o_b`.
///
/// Going back, `do_b = σ(g_b) do` and `dg_b = σ(g_b) (1 − σ(g_b)) do·o_b`.
struct GatedBranches: Sendable {
  let shape: AttentionShape
  /// `[batch, heads, n, branches]`.
  let gates: Tensor

  private static func sigmoid(_ x: Float) -> Float { 1 / (1 + exp(-x)) }

  private func forEachRow(
    in context: ExecutionContext, _ body: @Sendable (_ batch: Int, _ head: Int, _ row: Int) -> Void
  ) throws {
    try shape.forEachRowBlock(in: context) { batch, head, rows, _ in
      for row in rows { body(batch, head, row) }
    }
  }

  /// The sum.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func sum(_ outputs: [Tensor], in context: ExecutionContext) throws -> Tensor {
    var result = try context.zeros(shape.outputShape)
    let target = result.rowsForWriting(), sources = outputs.map { $0.rows() }, gates = gates.rows()
    let dim = shape.valueDim
    try forEachRow(in: context) { batch, head, row in
      let (own, g) = (target.row(batch, head, row), gates.row(batch, head, row))
      for (branch, source) in sources.enumerated() {
        let (factor, part) = (Self.sigmoid(g[branch]), source.row(batch, head, row))
        for t in 0..<dim { own[t] += factor * part[t] }
      }
    }
    return result
  }

  /// The gradient of a branch's output; that of its gate goes into `gates`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func gradient(
    _ outputGradient: Tensor, _ branch: Int, output: Tensor, gates gateGradient: inout Tensor,
    in context: ExecutionContext
  ) throws -> Tensor {
    var result = try context.empty(shape.outputShape)
    let (target, d, o) = (result.rowsForWriting(), outputGradient.rows(), output.rows())
    let (gates, dGates, dim) = (gates.rows(), gateGradient.rowsForWriting(), shape.valueDim)
    try forEachRow(in: context) { batch, head, row in
      let factor = Self.sigmoid(gates.row(batch, head, row)[branch])
      let (own, source) = (target.row(batch, head, row), d.row(batch, head, row))
      for t in 0..<dim { own[t] = factor * source[t] }
      let product = NormalizedRows.dot(source, o.row(batch, head, row), dim)
      dGates.row(batch, head, row)[branch] = factor * (1 - factor) * product
    }
    return result
  }
}
