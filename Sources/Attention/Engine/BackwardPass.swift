import AttentionCore
import CKernels
import Tensors

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

  var isa: Int32 { context.instructionSet.code }
  var copyFloats: Int { BackwardPlan.blockKeys * (shape.headDim + shape.valueDim) }
  var slotFloats: Int { Int(ATTN_LANES) * shape.headDim }

  var scratchFloats: Int {
    let bytes = attn_scratch_bytes(isa, Int32(shape.headDim), Int32(shape.valueDim), 1)
    return (bytes + 63) / 64 * 16
  }

  /// Keys of a panel: K, V and their gradients take half of a second-level cache of 1 MiB, with the tiles.
  private var panelKeys: Int {
    let fitting = (256 << 10) / (2 * MemoryLayout<Float>.stride * (shape.headDim + shape.valueDim))
    return max(1, fitting / Int(ATTN_BLOCK)) * Int(ATTN_BLOCK)
  }

  func run() throws {
    if let pipeline = plan.pipeline { try run(pipeline) } else { try runUnits() }
  }

  /// Where gradients of keys and values of one (batch, key head) are added.
  struct KeyGradients {
    var batch: Int
    /// The rows of every 64-key block.
    var key: UnsafePointer<UnsafeMutablePointer<Float>>
    var value: UnsafePointer<UnsafeMutablePointer<Float>>
    /// Not 0 for blocks that are still to be cleared.
    var pending: UnsafeMutablePointer<UInt8>
  }

  /// The rows of a block of the result.
  func block(_ gradient: Rows, batch: Int, keyHead: Int, _ block: Int, dim: Int) -> UnsafeMutablePointer<
    Float
  > {
    gradient.head(batch, keyHead) + block * BackwardPlan.blockKeys * dim
  }

  /// Clears a block of the gradients of keys and values.
  func clear(_ number: Int, of target: KeyGradients) {
    target.pending[number] = 0
    let keys = min(BackwardPlan.blockKeys, shape.keyLength - number * BackwardPlan.blockKeys)
    target.key[number].update(repeating: 0, count: keys * shape.headDim)
    target.value[number].update(repeating: 0, count: keys * shape.valueDim)
  }

  /// Clears the blocks of keys that are added to for the first time: then, not before, they are in the cache anyway.
  func prepare(_ keys: attn_list, in target: KeyGradients) {
    guard keys.count > 0 else { return }
    if let index = keys.index {
      for t in 0..<Int(keys.count) {
        let number = Int(index[t]) / BackwardPlan.blockKeys
        if target.pending[number] != 0 { clear(number, of: target) }
      }
    } else {
      let last = min(shape.keyLength - 1, Int(keys.start) + (Int(keys.count) - 1) * Int(keys.stride))
      let first = Int(keys.start) / BackwardPlan.blockKeys
      for number in first..<max(first, last / BackwardPlan.blockKeys + 1) where target.pending[number] != 0 {
        clear(number, of: target)
      }
    }
  }

  /// Computes elements in order, those of one query head in groups that share panels of keys.
  /// - Parameters:
  ///   - adds: whether query gradients are added to what is there.
  /// - Throws: `CancellationRequested`.
  func run(
    _ elements: [BackwardPlan.Element], adds: Bool, to target: KeyGradients,
    scratch: (Int) -> UnsafeMutableRawPointer
  ) throws {
    var first = 0
    while first < elements.count {
      try context.checkCancellation()
      var last = first + 1
      while last < elements.count, last - first < plan.group, elements[last].head == elements[first].head {
        last += 1
      }
      for following in elements[last..<min(elements.count, 2 * last - first)] {
        prefetch(following, batch: target.batch)
      }
      group(elements[first..<last], adds: adds, to: target, scratch: scratch)
      first = last
    }
  }

  /// Asks for the rows that a tile reads at its beginning, while others are computed.
  private func prefetch(_ element: BackwardPlan.Element, batch: Int) {
    let head = Int(element.head), list = pattern.list(batch: batch, head: head)
    list.withTables { tables in
      let rows = tables.rows(list.tiles[Int(element.tile)])
      for (tensor, dim) in [
        (query, shape.headDim), (output, shape.valueDim), (outputGradient, shape.valueDim),
      ] {
        attn_prefetch_rows(
          tensor.head(batch, head), Int64(tensor.rowStride * MemoryLayout<Float>.stride), rows,
          Int32(dim * MemoryLayout<Float>.stride), 0)
      }
    }
  }

  /// Computes a few elements of one query head together, panel by panel of keys.
  private func group(
    _ elements: ArraySlice<BackwardPlan.Element>, adds: Bool, to target: KeyGradients,
    scratch: (Int) -> UnsafeMutableRawPointer
  ) {
    guard let first = elements.first else { return }
    let headNumber = Int(first.head)
    let list = pattern.list(batch: target.batch, head: headNumber)
    var head = head(target.batch, headNumber)
    var gradient = gradient(headNumber, target)
    let panel = panelKeys
    list.withTables { tables in
      var feeds: [TileFeed] = []
      for (position, element) in elements.enumerated() {
        let tile = list.tiles[Int(element.tile)]
        feeds.append(feed(element, tile, in: list))
        attn_backward_begin(isa, scratch(position), &head, &gradient, tables.rows(tile))
      }
      var open = elements.count
      while open > 0 {
        open = 0
        let first = feeds.firstIndex { !$0.isDone }
        for position in feeds.indices where !feeds[position].isDone {
          feeds[position].next(
            panel, in: list, tables, ahead: { attn_backward_prefetch(&head, &gradient, $0) }
          ) { run in
            prepare(run.pointee.keys, in: target)
            if run.pointee.keys.index != nil || (plan.sharesPanels && position == first) {
              attn_backward_stream(&head, &gradient, run.pointee.keys)
            }
            attn_backward_run(isa, scratch(position), run)
          }
          open += feeds[position].isDone ? 0 : 1
        }
      }
      for (position, element) in elements.enumerated() {
        if element.slot < 0 {
          attn_backward_end(
            isa, scratch(position), gradient.query_gradient, gradient.query_gradient_stride, 1,
            adds ? 1 : 0)
          continue
        }
        attn_backward_end(
          isa, scratch(position), slots.at(Int(element.slot) * slotFloats), Int64(shape.headDim), 0, 0)
        // The parts of a tile are added at the end; until then its rows are zeros for later waves to add to.
        if element.part == 0, !adds { clearRows(of: list, list.tiles[Int(element.tile)], gradient) }
      }
    }
  }

  private func feed(_ element: BackwardPlan.Element, _ tile: TileList.QueryTile, in list: TileList)
    -> TileFeed
  {
    if element.slot < 0 { return TileFeed(tile) }
    return TileFeed(
      tile, in: list, part: Int(element.part), of: Int(element.parts), keys: list.keyCount(of: tile))
  }

  private func clearRows(of list: TileList, _ tile: TileList.QueryTile, _ gradient: attn_gradient) {
    for t in 0..<Int(tile.count) {
      (gradient.query_gradient + list.row(tile, t) * Int(gradient.query_gradient_stride))
        .update(repeating: 0, count: shape.headDim)
    }
  }

  func head(_ batch: Int, _ head: Int) -> attn_head {
    let keyHead = shape.keyHead(of: head)
    return attn_head(
      query: query.head(batch, head), key: key.head(batch, keyHead), value: value.head(batch, keyHead),
      query_stride: Int64(query.rowStride), key_stride: Int64(key.rowStride),
      value_stride: Int64(value.rowStride), head_dim: Int32(shape.headDim), value_dim: Int32(shape.valueDim),
      key_limit: Int32(shape.validKeys(batch: batch)), query_offset: Int32(shape.queryOffset),
      scale: Float(scale))
  }

  /// What the kernels need to know of a query head's gradients.
  func gradient(_ head: Int, _ target: KeyGradients) -> attn_gradient {
    attn_gradient(
      output: output.head(target.batch, head), output_gradient: outputGradient.head(target.batch, head),
      lse: lse.head(target.batch, head), output_stride: Int64(output.rowStride),
      output_gradient_stride: Int64(outputGradient.rowStride),
      query_gradient: queryGradient.head(target.batch, head),
      query_gradient_stride: Int64(queryGradient.rowStride), key_gradient: target.key,
      value_gradient: target.value)
  }
}
