import Layers
import RealModule
import Tensors

/// Images to rows: `x_k = W p_k + b + P[k] (+ T[frame of k])`, with a class token `c + P[class]` before them if asked.
///
/// Pixels `[batch·height·width, channels]` → rows `[batch·(class + patches), width]`. p_k are the numbers of a patch, row by row, pixel
/// by pixel, channel by channel: `[patch·patch·channels]`; a convolution of stride `patch` with as large a kernel is the same map.
/// Patches do not overlap. P is a learned table `[class + patches of a frame, width]`, or fixed sines and cosines of column and row, or
/// nothing; T `[frames, width]` is learned where there are frames. 2·batch·height·width·channels·width operations forward.
/// - Source: Dosovitskiy et al., 2021 (ViT); Chen et al., 2021 (MoCo v3: two-dimensional sines and cosines); Bertasius et al., 2021.
package struct PatchEmbedding: Layer {
  package let shape: PatchConfiguration
  package let projection: Linear
  /// `[1, width]`.
  package let classToken: ParameterSlot?
  /// `[class + patches of a frame, width]`.
  package let positions: ParameterSlot?
  /// `[frames, width]`.
  package let times: ParameterSlot?
  private let sinusoids: Tensor?
  private let width: Int
  private let dropout: Double
  private let name: String

  /// - Throws: `MemoryLimitExceeded`.
  package init(
    _ name: String, _ configuration: LayerConfiguration, _ shape: PatchConfiguration, hasClassToken: Bool,
    in layout: inout ParameterLayout
  ) throws(MemoryLimitExceeded) {
    (self.shape, self.name) = (shape, name)
    (width, dropout) = (configuration.width, configuration.dropout)
    projection = Linear(
      name + ".patches", from: shape.patch * shape.patch * configuration.features, to: width, bias: true,
      in: &layout)
    classToken =
      hasClassToken ? layout.add(name + ".class", [1, width], .normal(0.02), decays: false) : nil
    let rows = shape.patchesPerFrame + (hasClassToken ? 1 : 0)
    positions =
      configuration.position == .learned
      ? layout.add(name + ".positions.weight", [rows, width], .normal(0.02), decays: false) : nil
    times =
      shape.frames > 1 && configuration.position != .none
      ? layout.add(name + ".times.weight", [shape.frames, width], .normal(0.02), decays: false) : nil
    let frame = Grid(height: shape.grid.height / shape.frames, width: shape.grid.width)
    sinusoids =
      configuration.position == .sinusoidal
      ? try Tensor(
        PatchEmbedding.sinusoids(frame, width: width, hasClassToken: hasClassToken), shape: [rows, width])
      : nil
  }

  /// `[sin(c·ω), cos(c·ω), sin(r·ω), cos(r·ω)]` of the place (r, c), `ω_k = 10000^(−4k/width)`; zeros for a class token.
  /// - Precondition: 4 divides the width.
  static func sinusoids(_ grid: Grid, width: Int, hasClassToken: Bool) -> [Float] {
    let quarter = width / 4
    var values = [Float](repeating: 0, count: hasClassToken ? width : 0)
    for place in 0..<grid.count {
      for coordinate in [place % grid.width, place / grid.width] {
        let angles = (0..<quarter).map {
          Double(coordinate) * Double.pow(10_000, -Double($0) / Double(quarter))
        }
        values += angles.map { Float(Double.sin($0)) } + angles.map { Float(Double.cos($0)) }
      }
    }
    return values
  }

  /// Rows of a sequence.
  package var length: Int { shape.grid.count + (classToken == nil ? 0 : 1) }

  /// The pixels of all patches, one after another.
  package func order(batch: Int) -> [Int32] {
    let (side, grid, pixels) = (shape.patch, shape.grid, shape.height * shape.width)
    var order: [Int32] = []
    order.reserveCapacity(batch * pixels)
    for image in 0..<batch {
      for row in 0..<grid.height {
        for column in 0..<grid.width {
          for y in row * side..<(row + 1) * side {
            let first = image * pixels + y * shape.width + column * side
            for pixel in first..<first + side { order.append(Int32(pixel)) }
          }
        }
      }
    }
    return order
  }

  /// The numbers of every patch, `[batch·patches, patch·patch·channels]`.
  package func patches(of x: Tensor, _ run: LayerRun) throws -> Tensor {
    try run.context.lookUp(order(batch: run.batch), in: x).reshaped([
      run.batch * shape.grid.count, shape.patch * shape.patch * x.shape[1],
    ])
  }

  /// The places of patches among the rows of sequences.
  package func places(batch: Int) -> [Int32] {
    let first = length - shape.grid.count
    return (0..<batch).flatMap { image in
      (first..<length).map { Int32(image * length + $0) }
    }
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try forward(x, replacing: nil, run)
  }

  /// The same where a learned row stands in the place of some patches.
  /// - Parameters:
  ///   - hidden: which patches of all images, and the row `[1, width]`.
  package func forward(
    _ x: Tensor, replacing hidden: (patches: [Int32], token: ParameterSlot)?, _ run: LayerRun
  ) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, batch = run.batch, count = shape.grid.count
    let order = order(batch: batch)
    let patches = try context.lookUp(order, in: x).reshaped([batch * count, projection.weight.shape[1]])
    var made = try projection.product(patches, run)
    let zeros = [Int32](repeating: 0, count: max(batch, hidden?.patches.count ?? 0))
    if let hidden {
      let rows = try context.lookUp(
        Array(zeros.prefix(hidden.patches.count)), in: run.weight(hidden.token))
      made = try context.replacingRows(of: made, at: hidden.patches, by: rows)
    }
    let places = places(batch: batch), frames = frames(batch: batch), rows = positionRows(batch: batch)
    let firsts = (0..<batch).map { Int32($0 * length) }
    var y = classToken == nil ? made : try context.spread(made, at: places, of: batch * length)
    if let classToken {
      let token = try context.lookUp(Array(zeros.prefix(batch)), in: run.weight(classToken))
      y = try context.replacingRows(of: y, at: firsts, by: token)
    }
    if let table = positions.map({ run.weight($0) }) ?? sinusoids {
      context.accumulate(try context.lookUp(rows, in: table), into: &y)
    }
    if let times {
      let added = try context.lookUp(frames, in: run.weight(times))
      context.accumulate(try context.spread(added, at: places, of: batch * length), into: &y)
    }
    let pullback = Pullback { dy, residual in
      let d = try run.dropped(dy, dropout, name)
      if let positions {
        context.accumulateRows(d, at: rows, into: &run.state.gradients, at: positions.offset)
      }
      if let classToken {
        context.accumulateRows(
          try context.lookUp(firsts, in: d), at: Array(zeros.prefix(batch)), into: &run.state.gradients,
          at: classToken.offset)
      }
      var dPatches = classToken == nil ? d : try context.lookUp(places, in: d)
      if let times {
        context.accumulateRows(dPatches, at: frames, into: &run.state.gradients, at: times.offset)
      }
      if let hidden {
        let lost = try context.lookUp(hidden.patches, in: dPatches)
        context.accumulateRows(
          lost, at: Array(zeros.prefix(hidden.patches.count)), into: &run.state.gradients,
          at: hidden.token.offset)
        dPatches = try context.replacingRows(
          of: dPatches, at: hidden.patches, by: context.zeros([hidden.patches.count, width]))
      }
      let dx = try projection.backward(dPatches, x: patches, run).reshaped([order.count, x.shape[1]])
      return try context.sum(residual, context.spread(dx, at: order, of: x.shape[0]))
    }
    return (try run.dropped(y, dropout, name), pullback)
  }

  /// The row of the position table of every row of sequences.
  private func positionRows(batch: Int) -> [Int32] {
    let first = length - shape.grid.count
    return (0..<batch).flatMap { _ in
      (0..<length).map { Int32($0 < first ? 0 : first + ($0 - first) % shape.patchesPerFrame) }
    }
  }

  /// The frame of every patch.
  private func frames(batch: Int) -> [Int32] {
    (0..<batch).flatMap { _ in (0..<shape.grid.count).map { Int32($0 / shape.patchesPerFrame) } }
  }
}
