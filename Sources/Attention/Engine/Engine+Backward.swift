import AttentionCore
import CKernels
import Tensors

extension Engine {
  /// Computes the gradients of q, k and v of a forward pass over the same pattern.
  ///
  /// With `P = exp(scale·QKᵀ − lse)` on the listed pairs and `D = rowsum(dO ∘ O)`:
  /// `dV = Pᵀ dO`, `dS = P ∘ (dO Vᵀ − D)`, `dQ = scale · dS K`, `dK = scale · dSᵀ Q`. P is recomputed, not stored.
  /// bfloat16 inputs are widened first, and all five products are those of float32.
  /// - Parameters:
  ///   - outputGradient: of the shape of the output; last axis contiguous.
  ///   - output: the forward result (any output that has `lse` as its log-sum-exp over all keys of the row).
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(pairs visited · (headDim + valueDim)); memory: see `BackwardPlan`.
  public static func backward(
    outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, lse: Tensor,
    shape: AttentionShape, scale: Double, pattern: TilePattern, in context: ExecutionContext
  ) throws -> QKVGradient {
    QKV(query: query, key: key, value: value).check(shape)
    if shape.precision != .float32 {
      let wide = try QKV(query: query, key: key, value: value).converted(to: .float32, ledger: context.ledger)
      return try backward(
        outputGradient: outputGradient, query: wide.query, key: wide.key, value: wide.value, output: output,
        lse: lse, shape: shape.with(precision: .float32), scale: scale, pattern: pattern, in: context)
    }
    precondition(
      outputGradient.shape == shape.outputShape, "gradient \(outputGradient.shape), not \(shape.outputShape)")
    precondition(output.shape == shape.outputShape, "output \(output.shape), not \(shape.outputShape)")
    precondition(lse.shape == shape.lseShape, "LSE \(lse.shape), not \(shape.lseShape)")
    let plan = BackwardPlan(pattern: pattern, shape: shape)
    var queryGradient = try Tensor(uninitialized: shape.queryShape, ledger: context.ledger)
    var keyGradient = try Tensor(uninitialized: shape.keyShape, ledger: context.ledger)
    var valueGradient = try Tensor(uninitialized: shape.valueShape, ledger: context.ledger)
    var copies = try Tensor(
      uninitialized: [plan.copyCount, BackwardPlan.blockKeys * (shape.headDim + shape.valueDim)],
      ledger: context.ledger)
    var slots = try Tensor(
      uninitialized: [plan.parts.count, Int(ATTN_LANES) * shape.headDim], ledger: context.ledger)
    let strides = (queryGradient.strides, keyGradient.strides, valueGradient.strides)
    try queryGradient.withUnsafeMutablePointer { dq throws in
      try keyGradient.withUnsafeMutablePointer { dk throws in
        try valueGradient.withUnsafeMutablePointer { dv throws in
          try copies.withUnsafeMutablePointer { copyBase throws in
            try slots.withUnsafeMutablePointer { slotBase throws in
              try withReading([query, key, value, outputGradient, output, lse]) { inputs throws in
                let pass = BackwardPass(
                  plan: plan, pattern: pattern, shape: shape, scale: scale, context: context,
                  query: inputs[0], key: inputs[1], value: inputs[2], outputGradient: inputs[3],
                  output: inputs[4], lse: inputs[5], queryGradient: Rows(dq, strides: strides.0),
                  keyGradient: Rows(dk, strides: strides.1), valueGradient: Rows(dv, strides: strides.2),
                  copies: Region(base: copyBase), slots: Region(base: slotBase))
                try pass.run()
              }
            }
          }
        }
      }
    }
    if shape.keyLength == 1 {
      // One key has weight 1 whatever its score, so the score's gradient is 0, not the rounding error of dP − D.
      queryGradient = try Tensor(zeros: shape.queryShape, ledger: context.ledger)
      keyGradient = try Tensor(zeros: shape.keyShape, ledger: context.ledger)
    }
    return QKVGradient(query: queryGradient, key: keyGradient, value: valueGradient)
  }

  /// Calls `body` with the rows of all tensors, each kept alive.
  private static func withReading<R>(_ tensors: [Tensor], _ body: ([Rows]) throws -> R) rethrows -> R {
    func open(_ index: Int, _ rows: [Rows]) throws -> R {
      guard index < tensors.count else { return try body(rows) }
      return try tensors[index].withUnsafePointer { base throws in
        try open(index + 1, rows + [Rows(reading: base, tensors[index])])
      }
    }
    return try open(0, [])
  }
}

/// One backward pass: the plan and where everything lies.
struct BackwardPass: Sendable {
  let plan: BackwardPlan
  let pattern: TilePattern
  let shape: AttentionShape
  let scale: Double
  let context: ExecutionContext
  let query: Rows, key: Rows, value: Rows, outputGradient: Rows, output: Rows, lse: Rows
  let queryGradient: Rows, keyGradient: Rows, valueGradient: Rows
  let copies: Region, slots: Region

  private var isa: Int32 { context.instructionSet.code }
  private var copyFloats: Int { BackwardPlan.blockKeys * (shape.headDim + shape.valueDim) }
  private var slotFloats: Int { Int(ATTN_LANES) * shape.headDim }

  private var scratchFloats: Int {
    let bytes = attn_scratch_bytes(isa, Int32(shape.headDim), Int32(shape.valueDim), 1)
    return (bytes + 63) / 64 * 16
  }

  /// Keys of a panel: K, V and their gradients take half of a second-level cache of 1 MiB, with the tiles.
  private var panelKeys: Int {
    let fitting = (256 << 10) / (2 * MemoryLayout<Float>.stride * (shape.headDim + shape.valueDim))
    return max(1, fitting / Int(ATTN_BLOCK)) * Int(ATTN_BLOCK)
  }

  func run() throws {
    try clearQueryGradient()
    let threads = min(context.threads, max(1, plan.units.count))
    let scratch = scratchFloats
    var space = try Tensor(uninitialized: [threads, plan.group, scratch], ledger: context.ledger)
    try space.withUnsafeMutablePointer { base throws in
      let region = Region(base: base)
      @Sendable func run(_ index: Int, _ worker: Int, wave: Int) throws {
        if wave == 0 { clearBlocks(plan.units[index]) }
        let own = worker * plan.group * scratch
        try unit(plan.units[index], wave: wave) { region.scratch(own + $0 * scratch) }
      }
      // A head that is one unit goes through its waves while its rows are in the cache.
      let isAlone = plan.unitsPerHead == 1
      for waves in isAlone ? [0..<plan.waveCount] : (0..<plan.waveCount).map({ $0..<$0 + 1 }) {
        try Parallel.forEach(count: plan.units.count, threads: threads) { index, worker in
          for wave in waves { try run(index, worker, wave: wave) }
        }
      }
    }
    addCopies()
    addParts()
  }

  private func clearQueryGradient() throws {
    let chunk = 1024
    let chunks = (shape.queryLength + chunk - 1) / chunk
    Parallel.forEach(count: shape.batch * shape.queryHeads * chunks, threads: context.threads) { index, _ in
      let (rest, part) = (index / chunks, index % chunks)
      let rows = queryGradient.head(rest / shape.queryHeads, rest % shape.queryHeads)
      let count = min(chunk, shape.queryLength - part * chunk)
      (rows + part * chunk * shape.headDim).update(repeating: 0, count: count * shape.headDim)
    }
  }

  /// The rows of a block of the result.
  private func block(_ gradient: Rows, _ unit: BackwardPlan.Unit, _ block: Int, dim: Int)
    -> UnsafeMutablePointer<Float>
  {
    gradient.head(unit.batch, unit.keyHead) + block * BackwardPlan.blockKeys * dim
  }

  private func clearBlocks(_ unit: BackwardPlan.Unit) {
    for number in unit.owned {
      let first = Int(number) * BackwardPlan.blockKeys
      let keys = min(BackwardPlan.blockKeys, shape.keyLength - first)
      block(keyGradient, unit, Int(number), dim: shape.headDim).update(
        repeating: 0, count: keys * shape.headDim)
      block(valueGradient, unit, Int(number), dim: shape.valueDim).update(
        repeating: 0, count: keys * shape.valueDim)
    }
    for copy in unit.copies where copy >= 0 {
      copies.at(Int(copy) * copyFloats).update(repeating: 0, count: copyFloats)
    }
  }

  /// Where a unit adds the gradients of the rows of every block.
  private func targets(_ unit: BackwardPlan.Unit)
    -> (key: [UnsafeMutablePointer<Float>], value: [UnsafeMutablePointer<Float>])
  {
    var key: [UnsafeMutablePointer<Float>] = []
    var value: [UnsafeMutablePointer<Float>] = []
    key.reserveCapacity(unit.copies.count)
    value.reserveCapacity(unit.copies.count)
    for (number, copy) in unit.copies.enumerated() {
      if copy >= 0 {
        key.append(copies.at(Int(copy) * copyFloats))
        value.append(copies.at(Int(copy) * copyFloats + BackwardPlan.blockKeys * shape.headDim))
      } else {
        key.append(block(keyGradient, unit, number, dim: shape.headDim))
        value.append(block(valueGradient, unit, number, dim: shape.valueDim))
      }
    }
    return (key, value)
  }

  private func unit(
    _ unit: BackwardPlan.Unit, wave: Int, scratch: (Int) -> UnsafeMutableRawPointer
  ) throws {
    let (keyTargets, valueTargets) = targets(unit)
    try keyTargets.withUnsafeBufferPointer { keyTable throws in
      try valueTargets.withUnsafeBufferPointer { valueTable throws in
        guard let keyBlocks = keyTable.baseAddress, let valueBlocks = valueTable.baseAddress else { return }
        let elements = unit.waves[wave]
        var first = 0
        while first < elements.count {
          try context.checkCancellation()
          var last = first + 1
          while last < elements.count, last - first < plan.group, elements[last].head == elements[first].head
          {
            last += 1
          }
          group(elements[first..<last], unit, keyBlocks, valueBlocks, scratch: scratch)
          first = last
        }
      }
    }
  }

  /// Computes a few elements of one query head together, panel by panel of keys.
  private func group(
    _ elements: ArraySlice<BackwardPlan.Element>, _ unit: BackwardPlan.Unit,
    _ keyBlocks: UnsafePointer<UnsafeMutablePointer<Float>>,
    _ valueBlocks: UnsafePointer<UnsafeMutablePointer<Float>>, scratch: (Int) -> UnsafeMutableRawPointer
  ) {
    guard let first = elements.first else { return }
    let headNumber = Int(first.head)
    let list = pattern.list(batch: unit.batch, head: headNumber)
    var head = head(unit.batch, headNumber)
    var gradient = attn_gradient(
      output: output.head(unit.batch, headNumber),
      output_gradient: outputGradient.head(unit.batch, headNumber), lse: lse.head(unit.batch, headNumber),
      output_stride: Int64(output.rowStride), output_gradient_stride: Int64(outputGradient.rowStride),
      query_gradient: queryGradient.head(unit.batch, headNumber),
      query_gradient_stride: Int64(queryGradient.rowStride), key_gradient: keyBlocks,
      value_gradient: valueBlocks)
    let panel = panelKeys
    list.withTables { tables in
      var feeds: [TileFeed] = []
      for (position, element) in elements.enumerated() {
        let tile = list.tiles[Int(element.tile)]
        feeds.append(
          element.slot < 0
            ? TileFeed(tile)
            : TileFeed(
              tile, in: list, part: Int(element.part), of: Int(element.parts), keys: list.keyCount(of: tile)))
        attn_backward_begin(isa, scratch(position), &head, &gradient, tables.rows(tile))
      }
      var open = elements.count
      while open > 0 {
        open = 0
        for position in feeds.indices where !feeds[position].isDone {
          feeds[position].next(panel, in: list, tables) { attn_backward_run(isa, scratch(position), $0) }
          open += feeds[position].isDone ? 0 : 1
        }
      }
      for (position, element) in elements.enumerated() {
        if element.slot < 0 {
          attn_backward_end(
            isa, scratch(position), gradient.query_gradient, gradient.query_gradient_stride, 1)
        } else {
          let slot = slots.at(Int(element.slot) * slotFloats)
          slot.update(repeating: 0, count: slotFloats)
          attn_backward_end(isa, scratch(position), slot, Int64(shape.headDim), 0)
        }
      }
    }
  }

  private func head(_ batch: Int, _ head: Int) -> attn_head {
    let keyHead = shape.keyHead(of: head)
    return attn_head(
      query: query.head(batch, head), key: key.head(batch, keyHead), value: value.head(batch, keyHead),
      query_stride: Int64(query.rowStride), key_stride: Int64(key.rowStride),
      value_stride: Int64(value.rowStride), head_dim: Int32(shape.headDim), value_dim: Int32(shape.valueDim),
      key_limit: Int32(shape.validKeys(batch: batch)), query_offset: Int32(shape.queryOffset),
      scale: Float(scale))
  }

  /// Adds the private copies of key blocks to the results, in the order of units.
  private func addCopies() {
    guard plan.copyCount > 0 else { return }
    let heads = plan.units.count / plan.unitsPerHead
    let blocks = (shape.keyLength + BackwardPlan.blockKeys - 1) / BackwardPlan.blockKeys
    Parallel.forEach(count: heads * blocks, threads: context.threads) { index, _ in
      let (headIndex, number) = (index / blocks, index % blocks)
      let keys = min(BackwardPlan.blockKeys, shape.keyLength - number * BackwardPlan.blockKeys)
      for unitIndex in headIndex * plan.unitsPerHead..<(headIndex + 1) * plan.unitsPerHead {
        let unit = plan.units[unitIndex]
        guard unit.copies[number] >= 0 else { continue }
        let copy = copies.at(Int(unit.copies[number]) * copyFloats)
        attn_add(
          isa, block(keyGradient, unit, number, dim: shape.headDim), copy, Int64(keys * shape.headDim))
        attn_add(
          isa, block(valueGradient, unit, number, dim: shape.valueDim),
          copy + BackwardPlan.blockKeys * shape.headDim, Int64(keys * shape.valueDim))
      }
    }
  }

  /// Adds the query gradients of the parts of split tiles, in order.
  private func addParts() {
    for (batch, element) in plan.parts {
      let list = pattern.list(batch: batch, head: Int(element.head))
      let tile = list.tiles[Int(element.tile)]
      let rows = queryGradient.head(batch, Int(element.head))
      let slot = slots.at(Int(element.slot) * slotFloats)
      for t in 0..<Int(tile.count) {
        attn_add(
          isa, rows + list.row(tile, t) * queryGradient.rowStride, slot + t * shape.headDim,
          Int64(shape.headDim))
      }
    }
  }
}
