import Basics
import CKernels
import Tensors

extension ExecutionContext {
  /// A convolution: `y[p, o] = b_o + Σ_{i,j,c} W[o, i, j, c]·x[s·p − padding + dilation·(i, j), c]`; places outside an image are 0.
  ///
  /// The weights are packed once. Blocks of windows are laid out as rows, a slice of their terms at a time, packed and multiplied
  /// while they are in the second-level cache: beside the result no more is held than the packed weights and two such blocks a
  /// worker. No sum is split between workers, so the bits do not depend on `threads`. Groups of at most eight channels are convolved
  /// channel by channel in vectors of channels instead (`Depthwise.swift`).
  /// - Parameters:
  ///   - x: images `[batch·places, input]`.
  ///   - grid: the places of an image.
  ///   - shape: extents.
  ///   - weight: `[output, size, size, input/groups]`.
  ///   - bias: `[output]`.
  /// - Returns: `[batch·windows, output]`.
  /// - Precondition: the window fits the padded image.
  /// - Complexity: 2·batch·windows·terms·output operations.
  /// - Throws: `MemoryLimitExceeded`.
  public func convolve(
    _ x: Tensor, over grid: Grid, _ shape: ConvolutionShape, weight: Tensor, bias: Tensor? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    let patches = patches(x, over: grid, shape)
    precondition(
      weight.shape == shape.weightShape && weight.isContiguous, "\(weight.shape), not \(shape.weightShape)")
    if shape.isProduct {
      let matrix = weight.reshaped([shape.output, shape.input])
      return try matmul(x, .plain, matrix, .transposed, bias: bias)
    }
    if shape.isNarrow {
      return try convolveNarrow(x, over: grid, to: patches.result, shape, weight: weight, bias: bias)
    }
    let windows = x.shape[0] / grid.count * patches.result.count
    let operations = 2 * windows * shape.terms * shape.output
    let workers = operations < choices.parallelOperations ? 1 : threads
    let plan = GemmPlan(
      m: windows, n: shape.groupOutput, k: shape.terms, isa: isa, workers: workers, choices: choices)
    var y = try empty([windows, shape.output])
    let packed = shape.groups * plan.packedCount
    var scratch = try empty([packed + 2 * workers * plan.scratchCount])
    let (x, weight, bias) = (x.pinned(), weight.pinned(), bias?.pinned())
    let (yView, room) = (y.pinnedForWriting(), scratch.pinnedForWriting())
    Parallel.forEachByShare(count: shape.groups * plan.packJobs, threads: workers) { index, _ in
      let (group, part) = index.quotientAndRemainder(dividingBy: plan.packJobs)
      plan.pack(
        part, from: weight + group * shape.groupOutput * shape.terms, strides: (shape.terms, 1),
        to: room + group * plan.packedCount)
    }
    Parallel.forEachByShare(count: shape.groups * plan.rowBlocks, threads: workers) { index, worker in
      let (group, block) = index.quotientAndRemainder(dividingBy: plan.rowBlocks)
      let first = block * plan.blockRows, rows = first..<min(windows, first + plan.blockRows)
      let laid = room + packed + 2 * worker * plan.scratchCount, own = laid + plan.scratchCount
      let column = group * shape.groupOutput, c = yView + first * shape.output + column
      for start in stride(from: 0, to: shape.terms, by: plan.depth) {
        let depth = min(plan.depth, shape.terms - start)
        patches.read(rows, group: group, terms: start..<start + depth, from: x.pointer, to: laid)
        attn_gemm_pack_a(isa, laid, depth, 1, rows.count, depth, own)
        attn_gemm_block(
          isa, own, room + group * plan.packedCount + start * plan.paddedColumns, c, shape.output,
          rows.count, shape.groupOutput, depth, 1, start == 0 ? nil : UnsafePointer(c),
          start == 0 ? bias.map { UnsafePointer($0 + column) } : nil)
      }
    }
    return y
  }

  /// The gradient of x; adds those of weights and bias.
  ///
  /// Windows are laid out as rows P, a block at a time: `dW += dyᵀ·P`, and `dP = dy·W` is added to the places that P was read of.
  /// Blocks follow from the shape alone, so the bits do not depend on `threads`.
  /// - Parameters:
  ///   - dy: the gradient of the result, `[batch·windows, output]`.
  ///   - x: what was convolved.
  ///   - grid: its places.
  ///   - shape: extents.
  ///   - weight: `[output, size, size, input/groups]`.
  ///   - gradients: where the gradients of weights and bias are added.
  ///   - weightAt: the first element of the weights' gradient.
  ///   - biasAt: the first element of the bias's; `nil`: there is none.
  /// - Complexity: 4·batch·windows·terms·output operations; about a megabyte beside dx.
  /// - Throws: `MemoryLimitExceeded`.
  public func convolveBackward(
    _ dy: Tensor, x: Tensor, over grid: Grid, _ shape: ConvolutionShape, weight: Tensor,
    gradients: inout Tensor, weightAt: Int, biasAt: Int?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let patches = patches(x, over: grid, shape), windows = dy.shape[0]
    precondition(
      windows == x.shape[0] / grid.count * patches.result.count && dy.isContiguous
        && dy.shape[1] == shape.output, "\(dy.shape) for \(patches.result) windows of \(shape.output)")
    let matrix = weight.reshaped([shape.output, shape.terms])
    if shape.isProduct {
      try gemm(
        dy, .transposed, x, .plain, into: &gradients, at: weightAt, accumulate: true, rowSumsAt: biasAt)
      return try matmul(dy, .plain, matrix, .plain)
    }
    if shape.isNarrow {
      return try convolveNarrowBackward(
        dy, x: x, over: grid, to: patches.result, shape, weight: weight, gradients: &gradients,
        weightAt: weightAt, biasAt: biasAt)
    }
    var dx = try zeros(x.shape)
    let (x, dxView) = (x.pinned(), dx.pinnedForWriting())
    for first in stride(from: 0, to: windows, by: shape.patchRows) {
      let block = first..<min(windows, first + shape.patchRows), reached = patches.rows(under: block)
      for group in 0..<shape.groups {
        let channels = group * shape.groupOutput..<(group + 1) * shape.groupOutput
        var laid = try empty([block.count, shape.terms])
        let view = laid.pinnedForWriting()
        slices(block.count, grain: 16, cost: shape.terms) { part in
          patches.read(
            first + part.lowerBound..<first + part.upperBound, group: group, terms: 0..<shape.terms,
            from: x.pointer, to: view + part.lowerBound * shape.terms)
        }
        let d = dy.narrowed(axis: 0, to: block).narrowed(axis: 1, to: channels)
        try gemm(
          d, .transposed, laid, .plain, into: &gradients, at: weightAt + channels.lowerBound * shape.terms,
          accumulate: true, rowSumsAt: biasAt.map { $0 + channels.lowerBound })
        let back = try matmul(d, .plain, matrix.narrowed(axis: 0, to: channels), .plain).pinned()
        slices(reached.count, grain: 4, cost: grid.width * shape.terms) { part in
          patches.add(
            back.pointer, of: block, group: group,
            toRows: reached.lowerBound + part.lowerBound..<reached.lowerBound + part.upperBound,
            of: dxView.pointer, isa: isa)
        }
      }
    }
    return dx
  }

  private func patches(_ x: Tensor, over grid: Grid, _ shape: ConvolutionShape) -> Patches {
    guard let result = shape.window.grid(over: grid) else {
      preconditionFailure("a window of \(shape.window.reach) places over \(grid)")
    }
    precondition(
      x.rank == 2 && x.isContiguous && x.shape[1] == shape.input && x.shape[0] % grid.count == 0,
      "\(x.shape) for images of \(grid) with \(shape.input) channels")
    return Patches(shape: shape, grid: grid, result: result)
  }
}
