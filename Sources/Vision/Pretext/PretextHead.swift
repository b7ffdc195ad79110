import Basics
import Layers
import RealModule
import Tensors

/// What a trunk over images learns from images alone.
///
/// `masked`: of every image ⌈share·patches⌉ patches, at least one, are replaced by a learned row; the loss of an image is the mean
/// square of the differences between their pixels and `W·h + b` of their last rows (Xie et al., 2022, SimMIM; He et al., 2022).
/// `contrastive`: of two views of every image the pooled rows go through `W₂·max(W₁x + b₁, 0) + b₂`, and each is to find the other
/// among all views of the batch; the loss of an image is the mean of its two (`ContrastiveLoss`).
/// All draws come from the run's key; an evaluation hides the same patches every time.
package struct PretextHead: Sendable {
  package let kind: PretextConfiguration.Kind
  private let configuration: PretextConfiguration
  private let token: ParameterSlot?
  private let layers: [Linear]

  /// `nil`: labels are learned, or the trunk reads no patches.
  package init?(
    _ name: String, _ configuration: PretextConfiguration, _ trunk: VisionTransformer?,
    in layout: inout ParameterLayout
  ) {
    guard configuration.kind != .none, let trunk else { return nil }
    (kind, self.configuration) = (configuration.kind, configuration)
    let shape = trunk.embedding.projection.weight.shape
    let (width, numbers) = (shape[0], shape[1])
    switch kind {
    case .none, .frozen: (token, layers) = (nil, [])
    case .masked:
      token = layout.add(name + ".token", [1, width], .normal(0.02), decays: false)
      layers = [Linear(name + ".pixels", from: width, to: numbers, bias: true, in: &layout)]
    case .contrastive:
      token = nil
      layers = [
        Linear(name + ".inner", from: width, to: width, bias: true, in: &layout),
        Linear(name + ".outer", from: width, to: width, bias: true, in: &layout),
      ]
    }
  }

  /// The sum of the losses of a batch's images; adds the gradients of `gradientScale` times it, unless that is 0.
  /// - Parameters:
  ///   - pixels: `[batch·height·width, channels]`.
  ///   - pool: one row of every sequence.
  /// - Throws: what attention throws; `MemoryLimitExceeded`.
  package func loss(
    _ pixels: Tensor, through trunk: VisionTransformer, gradientScale: Double, _ run: LayerRun,
    pool: (Tensor, LayerRun) throws -> (output: Tensor, pullback: Pullback)
  ) throws -> Double {
    let walk = gradientScale == 0 ? run.withoutWayBack : run
    switch kind {
    case .none, .frozen: return 0
    case .masked: return try maskedLoss(pixels, trunk, gradientScale, walk)
    case .contrastive: return try contrastiveLoss(pixels, trunk, gradientScale, walk, pool)
    }
  }

  private func maskedLoss(
    _ pixels: Tensor, _ trunk: VisionTransformer, _ gradientScale: Double, _ run: LayerRun
  ) throws -> Double {
    guard let token, let head = layers.first else { preconditionFailure("a masked head has both") }
    let context = run.context, count = trunk.embedding.shape.grid.count
    let most = max(1, Int((configuration.maskShare * Double(count)).rounded(.up)))
    var hidden: [Int32] = []
    for image in 0..<run.batch {
      var generator = run.key("mask")(image).generator()
      let chosen = Array(0..<count).shuffled(using: &generator).prefix(most).sorted()
      hidden += chosen.map { Int32(image * count + $0) }
    }
    let (h, pullback) = try trunk.forward(pixels, replacing: (hidden, token), run)
    let places = trunk.embedding.places(batch: run.batch)
    let rows = hidden.map { places[Int($0)] }
    let states = try context.lookUp(rows, in: h)
    let (made, headPullback) = try head.forward(states, run)
    let wanted = try context.lookUp(hidden, in: trunk.embedding.patches(of: pixels, run)).array()
    let found = made.array(), share = 1 / Double(most * head.weight.shape[0])
    let differences = zip(found, wanted).map { $0 - $1 }
    let sum = differences.reduce(0.0) { $0 + Double($1) * Double($1) } * share
    guard gradientScale != 0 else { return sum }
    let slope = Float(2 * gradientScale * share)
    let d = try headPullback(Tensor(differences.map { $0 * slope }, shape: made.shape))
    _ = try pullback(context.spread(d, at: rows, of: h.shape[0]))
    return sum
  }

  private func contrastiveLoss(
    _ pixels: Tensor, _ trunk: VisionTransformer, _ gradientScale: Double, _ run: LayerRun,
    _ pool: (Tensor, LayerRun) throws -> (output: Tensor, pullback: Pullback)
  ) throws -> Double {
    let (inner, outer) = (layers[0], layers[1]), batch = run.batch
    let views = try Tensor(
      (0..<2).flatMap { self.views($0, of: pixels, trunk.embedding.shape, run) },
      shape: [2 * pixels.shape[0], pixels.shape[1]])
    let both = run.over(batch: 2 * batch, lengths: nil)
    let (h, pullback) = try trunk.forward(views, both)
    let (pooled, poolPullback) = try pool(h, both)
    let (after, slope) = try inner.forward(pooled, activating: .relu, both)
    let made = try outer.product(after, both)
    let (sum, gradient) = ContrastiveLoss.value(
      of: made.array().map { Double($0) }, width: made.shape[1], temperature: configuration.temperature)
    guard gradientScale != 0 else { return sum / 2 }
    let d = try Tensor(gradient.map { Float($0 * gradientScale / 2) }, shape: made.shape)
    let dBefore = try outer.backward(d, x: after, times: slope, both)
    _ = try pullback(poolPullback(inner.backward(dBefore, x: pooled, both)))
    return sum / 2
  }

  /// The first or the second view of every image.
  private func views(
    _ number: Int, of pixels: Tensor, _ shape: PatchConfiguration, _ run: LayerRun
  ) -> [Float] {
    let values = pixels.array(), channels = pixels.shape[1], height = shape.height / shape.frames
    let size = shape.height * shape.width * channels
    return (0..<run.batch).flatMap { image -> [Float] in
      var generator = run.key("view")(number)(image).generator()
      let view = ImageView(configuration, height: height, width: shape.width, &generator)
      return view.seen(
        values[image * size..<(image + 1) * size], frames: shape.frames, height: height, width: shape.width,
        channels: channels, noise: configuration.noise, &generator)
    }
  }
}
