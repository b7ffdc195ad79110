import Images
import Layers
import Settings
import Tensors

/// Residual attention: `y = (1 + M(x))∘T(x)`, T residual units, M a mask between 0 and 1 of every channel of every place.
///
/// M goes down to coarser grids and back: `depth` times the largest elements of 3×3 windows two places apart and a residual unit;
/// the way back has a unit and bilinear interpolation for each, and adds what a unit makes of the way down at every grid between.
/// `M = σ(K₂ ∗ max(N(K₁ ∗ h), 0) + b)` of what comes back, K₁ and K₂ 1×1 convolutions.
/// - Source: Wang et al., 2017, Residual attention network for image classification, with basic units in place of theirs.
package struct ResidualAttention: ImageLayer {
  package let trunk: ImageChain
  package let mask: ImageChain

  package init(
    _ name: String, channels: Int, depth: Int, groups: Int, trunk: [any Layer], in parts: inout ImageParts
  ) {
    self.trunk = ImageChain(trunk)
    let hourglass = Hourglass(
      name + ".mask", channels: channels, depth: depth, groups: groups, in: &parts)
    let output: [any Layer] =
      parts.activated(name + ".mask.inner", from: channels, to: channels)
      + [parts.convolution(name + ".mask.outer", from: channels, to: channels, bias: true)]
    mask = ImageChain([hourglass] + output + [Pointwise(.sigmoid)])
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context
    let (t, trunkBack) = try trunk.layers.isEmpty ? (x, nil) : run.optional(trunk, x)
    let (m, maskBack) = try mask.forward(x, run)
    let pullback = Pullback { dy, residual in
      let dt = try context.add(dy, context.multiply(m, dy))
      let dx = try maskBack(context.multiply(t, dy), adding: trunkBack.map { try $0(dt) } ?? dt)
      return try context.sum(residual, dx)
    }
    return (try context.add(t, context.multiply(m, t)), pullback)
  }

  package func work(on size: WalkSize) -> [Work] { trunk.work(on: size) + mask.work(on: size) }
}

extension LayerRun {
  /// A layer's forward pass, its way back as one that may be missing.
  fileprivate func optional(_ layer: any Layer, _ x: Tensor) throws -> (output: Tensor, pullback: Pullback?) {
    let (y, pullback) = try layer.forward(x, self)
    return (y, pullback)
  }
}

/// The mask's way down to a coarser grid and back: x `[batch·places, channels]` → the same extents.
package struct Hourglass: ImageLayer {
  let pooling: WindowPooling
  let down: ResidualBlock
  /// What is added to the way back at the coarser grid, and the way further down from there.
  let further: (skip: ResidualBlock, inner: [Hourglass])?
  let up: ResidualBlock

  init(_ name: String, channels: Int, depth: Int, groups: Int, in parts: inout ImageParts) {
    func unit(_ part: String, _ parts: inout ImageParts) -> ResidualBlock {
      ResidualBlock("\(name).\(part)", from: channels, to: channels, groups: groups, in: &parts)
    }
    pooling = WindowPooling(name + ".pooling", .max, .centred(3, stride: 2))
    down = unit("down", &parts)
    further =
      depth <= 1
      ? nil
      : (
        unit("skip", &parts),
        [Hourglass(name + ".further", channels: channels, depth: depth - 1, groups: groups, in: &parts)]
      )
    up = unit("up", &parts)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, grid = run.imageGrid, coarse = try pooling.grid(over: grid)
    let below = run.over(coarse)
    let (pooled, poolingBack) = try pooling.forward(x, run)
    let (h, downBack) = try down.forward(pooled, below)
    let (middle, middleBack) = try goingFurther(h, below)
    let (u, upBack) = try up.forward(middle, below)
    let pullback = Pullback { dy, residual in
      let d = try upBack(context.resizeBackward(dy, from: coarse, to: grid))
      return try poolingBack(downBack(middleBack(d)), adding: residual)
    }
    return (try context.resize(u, from: coarse, to: grid), pullback)
  }

  private func goingFurther(_ h: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    guard let further else { return (h, Pullback { dy, residual in try run.context.sum(residual, dy) }) }
    let (s, skipBack) = try further.skip.forward(h, run)
    let (y, innerBack) = try ImageChain(further.inner).forward(h, run)
    let pullback = Pullback { dy, residual in try innerBack(dy, adding: skipBack(dy, adding: residual)) }
    return (try run.context.add(s, y), pullback)
  }

  package func work(on size: WalkSize) -> [Work] {
    guard let grid = size.grid, let coarse = try? pooling.grid(over: grid) else { return [] }
    var below = size
    (below.grid, below.length) = (coarse, coarse.count)
    let units: [any ImageLayer] = [down, up] + (further.map { [$0.skip] + $0.inner } ?? [])
    return units.flatMap { $0.work(on: below) }
  }
}
