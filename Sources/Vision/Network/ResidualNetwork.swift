import Layers
import Settings
import Tensors

/// A residual network on images, with attention to channels and places in it.
///
/// x `[batch·places, channels]` → `[batch·places′, width]`: a convolution with norm and ReLU, maybe pooling, then stages of residual
/// units, the first unit of every further stage with stride 2 and twice the channels; `dual` has its head behind them.
///
/// Parameter names: `{name}.stem.…`, `{name}.stages.s.u.{first,second,shortcut}.…`, `….attention.…` (se, cbam),
/// `{name}.stages.s.attention.mask.…` (residual), `{name}.dual.{position,channel}.…`; a convolution has `weight`
/// `[output, size, size, input/groups]`, its norm `norm.{weight,bias,running_mean,running_var}`.
/// - Source: He et al., 2016, Deep residual learning, with basic units.
package struct ResidualNetwork: Trunk, ImageLayer {
  package let layers: ImageChain

  package init(
    _ name: String, _ configuration: ConvolutionalConfiguration, from channels: Int, epsilon: Double,
    in layout: inout ParameterLayout, buffers: inout [BufferSlot]
  ) {
    var parts = ImageParts(layout, buffers, epsilon: epsilon)
    let stem = Window.centred(configuration.stemWindow, stride: configuration.stemStride)
    var layers = parts.activated(name + ".stem", from: channels, to: configuration.channels, stem)
    switch configuration.stemPooling {
    case .none: break
    case .max: layers.append(WindowPooling(name + ".stem.pooling", .max, .centred(3, stride: 2)))
    case .mean: layers.append(WindowPooling(name + ".stem.pooling", .mean, .centred(3, stride: 2)))
    }
    for stage in 0..<configuration.stages {
      layers += Self.stage("\(name).stages.\(stage)", configuration, number: stage, in: &parts)
    }
    if configuration.channelAttention == .dual {
      layers.append(DualAttention(name + ".dual", channels: configuration.lastChannels, in: &parts))
    }
    self.layers = ImageChain(layers)
    (layout, buffers) = (parts.layout, parts.buffers)
  }

  /// The units of a stage; of `residual` all but the first are the trunk that a mask weighs.
  private static func stage(
    _ name: String, _ configuration: ConvolutionalConfiguration, number: Int, in parts: inout ImageParts
  ) -> [any Layer] {
    let channels = configuration.channels << number
    let units = (0..<configuration.blocks).map { unit in
      let isFirst = unit == 0 && number > 0
      return ResidualBlock(
        "\(name).\(unit)", from: isFirst ? channels / 2 : channels, to: channels, stride: isFirst ? 2 : 1,
        groups: configuration.groups, in: &parts
      ) { attention($0, configuration, channels: channels, in: &$1) }
    }
    guard configuration.channelAttention == .residual else { return units }
    return Array(units.prefix(1)) + [
      ResidualAttention(
        name + ".attention", channels: channels, depth: configuration.maskDepth,
        groups: configuration.groups, trunk: Array(units.dropFirst()), in: &parts)
    ]
  }

  /// What weighs the branch of a unit.
  private static func attention(
    _ name: String, _ configuration: ConvolutionalConfiguration, channels: Int, in parts: inout ImageParts
  ) -> [any Layer] {
    switch configuration.channelAttention {
    case .none, .residual, .dual: []
    case .se:
      [
        SqueezeExcitation(
          name, channels: channels, ratio: configuration.squeeze, bias: configuration.gateBias, in: &parts)
      ]
    case .cbam:
      [
        ConvolutionalAttention(
          name, channels: channels, ratio: configuration.squeeze, window: configuration.cbamWindow,
          order: configuration.cbamOrder, bias: configuration.gateBias, isNormed: configuration.cbamNorm,
          in: &parts)
      ]
    }
  }

  package func grid(over grid: Grid) throws(ConfigurationError) -> Grid { try layers.grid(over: grid) }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try layers.forward(x, run)
  }

  package func work(on size: WalkSize) -> [Work] { layers.work(on: size) }
}
