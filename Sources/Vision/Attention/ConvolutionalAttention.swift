import Images
import Layers
import Tensors

/// Convolutional block attention (CBAM): every channel times a number, then every place times a number.
///
/// `x′[p, c] = σ(g(mean_p x)_c + g(max_p x)_c)·x[p, c]`, g two linear layers with ReLU between them;
/// `y[p, c] = σ(N(K ∗ m)_p)·x′[p, c]`, m the mean and the largest element over the channels of a place, K a convolution of two
/// channels to one, N a norm. x `[batch·places, channels]`.
/// O(places·(channels + window²)) operations an image.
/// - Source: Woo et al., 2018, CBAM: Convolutional block attention module. Their code has the largest element before the mean,
///   timm's the mean before the largest.
package struct ConvolutionalAttention: ImageLayer {
  package let gate: GateNetwork
  package let places: ImageChain
  package let order: ConvolutionalConfiguration.MapOrder

  package init(
    _ name: String, channels: Int, ratio: Int, window: Int,
    order: ConvolutionalConfiguration.MapOrder, bias: Bool, isNormed: Bool,
    in parts: inout ImageParts
  ) {
    self.order = order
    gate = GateNetwork(
      name + ".channels", channels: channels, hidden: Self.hidden(channels: channels, ratio: ratio),
      bias: bias, in: &parts)
    let convolution = parts.convolution(name + ".places", from: 2, to: 1, .centred(window))
    places = ImageChain(
      [convolution] + (isNormed ? [parts.norm(name + ".places.norm", channels: 1)] : []))
  }

  /// channels/ratio, rounded, at least 1.
  package static func hidden(channels: Int, ratio: Int) -> Int {
    max(1, (2 * channels + ratio) / (2 * ratio))
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let (gated, channelsBack) = try gatingChannels(x, run)
    let (y, placesBack) = try gatingPlaces(gated, run)
    return (y, Pullback { dy, residual in try channelsBack(placesBack(dy), adding: residual) })
  }

  private func gatingChannels(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, batch = run.batch
    let (mean, meanBack) = try GlobalPooling(.mean).forward(x, run)
    let (top, topBack) = try GlobalPooling(.max).forward(x, run)
    let (ofMean, meanGated) = try gate.forward(mean, run)
    let (ofTop, topGated) = try gate.forward(top, run)
    let logits = try context.add(ofMean, ofTop)
    let factors = try context.activate(logits, .sigmoid)
    let pullback = Pullback { dy, residual in
      let d = try context.activateBackward(
        context.channelProducts(dy, x, batch: batch), x: logits, .sigmoid)
      let past = try meanBack(meanGated(d), adding: context.scaleChannels(dy, by: factors))
      return try context.sum(residual, topBack(topGated(d), adding: past))
    }
    return (try context.scaleChannels(x, by: factors), pullback)
  }

  private func gatingPlaces(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, maxFirst = order == .maxMean
    let (maps, winners) = try context.meanAndMax(ofRows: x, maxFirst: maxFirst)
    let (logits, mapsBack) = try places.forward(maps, run)
    let factors = try context.activate(logits, .sigmoid)
    let pullback = Pullback { dy, residual in
      let d = try context.activateBackward(context.rowProducts(dy, x), x: logits, .sigmoid)
      let dx = try context.meanAndMaxBackward(
        mapsBack(d), winners: winners, maxFirst: maxFirst, adding: context.scaleRows(dy, by: factors))
      return try context.sum(residual, dx)
    }
    return (try context.scaleRows(x, by: factors), pullback)
  }

  package func work(on size: WalkSize) -> [Work] {
    [Work(weights: 2 * gate.weights, batch: size.batch, length: 1)] + places.work(on: size)
  }
}
