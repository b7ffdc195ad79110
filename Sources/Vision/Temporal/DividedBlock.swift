import Layers
import Settings
import Tensors

/// One block of divided space-time attention.
///
/// Of x, a class token c and patches x(t, k) of frame t and place k:
/// `y(t, k) = x(t, k) + D·A_time(norm x(·, k))_t`, the class token left out; then in every frame with its own copy of c,
/// `z(t, k) = y(t, k) + A_space(norm [c, y(t, ·)])_k` and `c' = c + mean over t of A_space(…)_c`; then feed-forward on all rows.
/// x `[batch·(class + frames·places), width]`, frame after frame. Attention costs O(frames·places·(frames + places)·d) instead of
/// O((frames·places)²·d).
/// - Source: Bertasius et al., 2021, Is space-time attention all you need for video understanding? (arXiv:2102.05095).
package struct DividedBlock: Layer {
  /// Attention over the frames, at every place.
  package let time: Sublayer
  /// D.
  package let timeOutput: Linear
  /// Attention over the places, in every frame.
  package let space: Sublayer
  package let feedForward: Sublayer
  let frames: Int, places: Int, hasClassToken: Bool

  private var first: Int { hasClassToken ? 1 : 0 }
  private var length: Int { first + frames * places }

  /// The rows of sequences over the frames, `[batch·places, frames]`.
  private func timeRows(batch: Int) -> [Int32] {
    var rows: [Int32] = []
    for image in 0..<batch {
      for place in 0..<places {
        for frame in 0..<frames { rows.append(Int32(image * length + first + frame * places + place)) }
      }
    }
    return rows
  }

  /// The rows of sequences over the places, `[batch·frames, class + places]`.
  private func spaceRows(batch: Int) -> [Int32] {
    var rows: [Int32] = []
    for image in 0..<batch {
      for frame in 0..<frames {
        if hasClassToken { rows.append(Int32(image * length)) }
        let start = image * length + first + frame * places
        rows += (start..<start + places).map { Int32($0) }
      }
    }
    return rows
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, batch = run.batch
    let timeRows = timeRows(batch: batch), spaceRows = spaceRows(batch: batch)
    let (over, timePullback) = try time.branch(
      context.lookUp(timeRows, in: x), adding: nil, run.over(batch: batch * places, lengths: nil))
    let step = try context.spread(timeOutput.product(over, run), at: timeRows, of: x.shape[0])
    let y = try context.add(x, step)
    let (seen, spacePullback) = try space.branch(
      context.lookUp(spaceRows, in: y), adding: nil, run.over(batch: batch * frames, lengths: nil))
    let z = try context.add(y, context.spread(averaged(seen, batch, context), at: spaceRows, of: x.shape[0]))
    let (output, feedForwardPullback) = try feedForward.forward(z, run)
    let pullback = Pullback { dy, residual in
      let dz = try feedForwardPullback(dy)
      let dSeen = try averaged(context.lookUp(spaceRows, in: dz), batch, context)
      let dSpace = try context.spread(spacePullback(dSeen), at: spaceRows, of: x.shape[0])
      let d = try context.add(dz, dSpace)
      let dOver = try timeOutput.backward(context.lookUp(timeRows, in: d), x: over, run)
      let dTime = try context.spread(timePullback(dOver), at: timeRows, of: x.shape[0])
      return try context.sum(residual, context.add(d, dTime))
    }
    return (output, pullback)
  }

  /// Rows of the sequences over the places, those of class tokens times 1/frames: their sum is the mean.
  private func averaged(_ rows: Tensor, _ batch: Int, _ context: ExecutionContext) throws -> Tensor {
    guard hasClassToken else { return rows }
    let tokens = (0..<batch * frames).map { Int32($0 * (1 + places)) }
    return try context.replacingRows(
      of: rows, at: tokens, by: context.lookUp(tokens, in: rows, scale: 1 / Float(frames)))
  }
}

/// Blocks of divided space-time attention, with a norm at the end.
package struct DividedStack: Trunk {
  package let blocks: [DividedBlock]
  package let final: Normalization

  package init(
    _ name: String, _ configuration: LayerConfiguration, _ shape: PatchConfiguration, layers: Int,
    hasClassToken: Bool, attention: [LayerAttention], operands: [LayerOperands],
    in layout: inout ParameterLayout, buffers: inout [BufferSlot]
  ) {
    let gain = 1 / Double(3 * layers).squareRoot()
    blocks = (0..<layers).map { layer in
      let prefix = "\(name).layers.\(layer)"
      func add(_ name: String, _ function: Sublayer.Function) -> Sublayer {
        let norm = Normalization(name + ".norm", configuration, in: &layout, buffers: &buffers)
        return Sublayer(name, function, norm: norm, configuration)
      }
      func attend(_ name: String, _ attention: LayerAttention, _ operands: LayerOperands) -> Sublayer {
        add(
          name,
          .attention(
            AttentionLayer(
              name, configuration, attention: attention, isCausal: false, isCross: false,
              operands: operands, gain: gain, in: &layout)))
      }
      let time = attend(prefix + ".time", LayerAttention("full"), .none)
      let timeOutput = Linear(
        prefix + ".time.dense", from: configuration.width, to: configuration.width, bias: true, in: &layout)
      return DividedBlock(
        time: time, timeOutput: timeOutput,
        space: attend(prefix + ".attention", attention[layer], operands[layer]),
        feedForward: add(
          prefix + ".feedForward",
          .feedForward(FeedForward(prefix + ".feedForward", configuration, gain: gain, in: &layout))),
        frames: shape.frames, places: shape.patchesPerFrame, hasClassToken: hasClassToken)
    }
    final = Normalization(name + ".norm", configuration, in: &layout, buffers: &buffers)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let (y, pullback) = try run.chain(blocks, x)
    let (z, finalPullback) = try final.forward(y, run)
    return (z, Pullback { dy, residual in try pullback(finalPullback(dy), adding: residual) })
  }

  package func work(on size: WalkSize) -> [Work] {
    guard let block = blocks.first else { return [] }
    let (frames, places) = (block.frames, block.places)
    return [
      Work(
        sublayers: blocks.map(\.time), weights: blocks.reduce(0) { $0 + $1.timeOutput.weight.count },
        batch: size.batch * places, length: frames),
      Work(
        sublayers: blocks.map(\.space), batch: size.batch * frames,
        length: places + (block.hasClassToken ? 1 : 0)),
      Work(sublayers: blocks.map(\.feedForward), batch: size.batch, length: size.length),
    ]
  }
}
