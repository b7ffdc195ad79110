import Settings

/// A residual network on images, and the attention in it. Part of a model's configuration, which declares its settings as its own.
public struct ConvolutionalConfiguration: ParameterSet {
  /// What weighs channels and places.
  public enum ChannelAttention: String, CaseIterable, Hashable, Sendable {
    /// Nothing.
    case none
    /// Squeeze and excitation in every unit (Hu et al., 2018).
    case se
    /// Convolutional block attention in every unit (Woo et al., 2018).
    case cbam
    /// A mask on every stage (Wang et al., 2017).
    case residual
    /// Position and channel attention behind the last stage (Fu et al., 2019).
    case dual
  }
  /// Which of two maps over the channels of a place stands first.
  public enum MapOrder: String, CaseIterable, Hashable, Sendable {
    /// The mean (timm).
    case meanMax = "mean-max"
    /// The largest element (the authors).
    case maxMean = "max-mean"
  }
  /// What makes the first grid coarser.
  public enum StemPooling: String, CaseIterable, Hashable, Sendable {
    /// Nothing.
    case none
    /// The largest elements of 3×3 windows two places apart.
    case max
    /// Their means.
    case mean
  }

  /// Channels of the first stage; every further one has twice as many.
  public var channels = 16
  /// Stages; every further one has half the places along a side.
  public var stages = 3
  /// Residual units of a stage.
  public var blocks = 2
  /// Groups of the units' convolutions.
  public var groups = 1
  /// Places along a side of the first convolution's window.
  public var stemWindow = 3
  /// Its stride.
  public var stemStride = 1
  /// What stands behind it.
  public var stemPooling = StemPooling.none
  /// What weighs channels and places.
  public var channelAttention = ChannelAttention.none
  /// Channels for every hidden one of the gates of `se` and `cbam`.
  public var squeeze = 16
  /// Whether the linear layers of these gates have biases.
  public var gateBias = true
  /// Which of the maps that `cbam` weighs places by stands first.
  public var cbamOrder = MapOrder.meanMax
  /// Whether their convolution has a norm.
  public var cbamNorm = true
  /// Places along a side of its window.
  public var cbamWindow = 7
  /// How often the mask of `residual` makes the grid coarser.
  public var maskDepth = 1

  /// The defaults.
  public init() {}

  /// All parameters, in the order in which they are shown.
  public static let parameters: [Parameter<ConvolutionalConfiguration>] = [
    .integer(
      "channels", \.channels, in: 1...4096,
      help: "channels of the first stage of kind cnn; every further stage has twice as many"),
    .integer(
      "stages", \.stages, in: 1...8, help: "stages of kind cnn, each on half the places of a side of the last"
    ),
    .integer("blocks", \.blocks, in: 1...256, help: "residual units of a stage of kind cnn"),
    .integer(
      "groups", \.groups, in: 1...4096,
      help: "groups of channels of the 3×3 convolutions of residual units; divides channels"),
    .integer(
      "stem_window", \.stemWindow, in: 1...63, unit: "places",
      help: "side of the window of the first convolution of kind cnn; odd"),
    .integer(
      "stem_stride", \.stemStride, in: 1...64, unit: "places",
      help: "stride of the first convolution of kind cnn"),
    .choice(
      "stem_pooling", \.stemPooling,
      help: "what stands behind the first convolution: nothing, or 3×3 windows two places apart"),
    .choice(
      "channel_attention", \.channelAttention,
      help:
        "what weighs channels and places of kind cnn: se and cbam in every unit, residual on every stage, "
        + "dual behind the last"),
    .integer(
      "squeeze", \.squeeze, in: 1...4096, help: "channels for every hidden one of the gates of se and cbam"),
    .flag("gate_bias", \.gateBias, help: "whether the linear layers of the gates of se and cbam have biases"),
    .choice(
      "cbam_order", \.cbamOrder,
      help: "which map over channels stands first in cbam: the mean (timm) or the largest (the authors)"),
    .flag("cbam_norm", \.cbamNorm, help: "whether the convolution that weighs places in cbam has a norm"),
    .integer(
      "cbam_window", \.cbamWindow, in: 1...63, unit: "places", help: "side of that convolution's window; odd"),
    .integer(
      "mask_depth", \.maskDepth, in: 1...8, help: "how often the mask of residual makes the grid coarser"),
  ]

  /// Channels behind the last stage.
  var lastChannels: Int { channels << (stages - 1) }
  /// Channels of the trunk's output.
  public var outputWidth: Int {
    channelAttention == .dual ? DualAttention.width(channels: lastChannels) : lastChannels
  }
  /// Elements that a training step keeps for every place of an image, at the least: those of the first stage's units.
  public var leastKept: Double {
    let side = Double(stemStride * (stemPooling == .none ? 1 : 2))
    return 6 * Double(channels * blocks) / (side * side)
  }

  /// Checks what depends on several parameters.
  /// - Throws: `ConfigurationError`.
  public func validate() throws(ConfigurationError) {
    guard channels % groups == 0 else {
      throw ConfigurationError(
        field: "groups", value: "\(groups)", allowed: "a divisor of the \(channels) channels")
    }
    for (name, window) in [("stem_window", stemWindow), ("cbam_window", cbamWindow)] where window % 2 == 0 {
      throw ConfigurationError(field: name, value: "\(window)", allowed: "an odd number")
    }
  }
}
