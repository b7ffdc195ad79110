import Layers
import Settings
import Tensors

/// Dual attention: position attention and channel attention side by side, added.
///
/// Each stands between two 3×3 convolutions with norm and ReLU, the first of which leaves a quarter of the channels (one at least).
/// x `[batch·places, channels]` → `[batch·places, width]`.
/// - Source: Fu et al., 2019, Dual attention network for scene segmentation (the head, without its last 1×1 convolution).
package struct DualAttention: ImageLayer {
  package let position: ImageChain
  package let channel: ImageChain

  /// Channels of the result.
  package static func width(channels: Int) -> Int { max(1, channels / 4) }

  package init(_ name: String, channels: Int, in parts: inout ImageParts) {
    let width = Self.width(channels: channels)
    func branch(_ name: String, _ attention: (inout ImageParts) -> any Layer, _ parts: inout ImageParts)
      -> ImageChain
    {
      let first = parts.activated(name + ".first", from: channels, to: width, .centred(3))
      let middle = attention(&parts)
      return ImageChain(
        first + [middle] + parts.activated(name + ".second", from: width, to: width, .centred(3)))
    }
    position = branch(
      name + ".position", { PositionAttention(name + ".position", channels: width, in: &$0) }, &parts)
    channel = branch(
      name + ".channel", { ChannelAttention(name + ".channel", channels: width, in: &$0) }, &parts)
  }

  package func grid(over grid: Grid) throws(ConfigurationError) -> Grid { try position.grid(over: grid) }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let (p, positionBack) = try position.forward(x, run)
    let (c, channelBack) = try channel.forward(x, run)
    let pullback = Pullback { dy, residual in
      try channelBack(dy, adding: positionBack(dy, adding: residual))
    }
    return (try run.context.add(p, c), pullback)
  }

  package func work(on size: WalkSize) -> [Work] { position.work(on: size) + channel.work(on: size) }
}
