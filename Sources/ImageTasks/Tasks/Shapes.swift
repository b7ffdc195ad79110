import Basics
import Settings
import Tasks
import Tensors

/// Shapes drawn here: disc, square, triangle, cross, ring or star, each as likely.
///
/// A shape has a radius of `size` to 0.9 of half the image's shorter side, is turned by up to `turn` radians and lies anywhere in the
/// image. With one channel it is white on black; with several it has a colour in [0.6, 1] on one in [0, 0.4] in every channel. Every
/// number has noise N(0, noise²). Splits are apart by what is drawn before the noise.
public struct Shapes: DrawnImageTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Pixels of a column.
    public var height = 16
    /// Pixels of a row.
    public var width = 16
    /// Numbers of a pixel.
    public var channels = 1
    /// The least radius.
    public var size = 0.3
    /// How far a shape is turned at most.
    public var turn = 0.3
    /// The standard deviation of the noise.
    public var noise = 0.1

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("height", \.height, in: 4...1024, unit: "pixels", help: "pixels of a column"),
      .integer("width", \.width, in: 4...1024, unit: "pixels", help: "pixels of a row"),
      .integer("channels", \.channels, in: 1...16, help: "numbers of a pixel; 1: white on black"),
      .real("size", \.size, in: 0.05...0.9, help: "the least radius, as a share of half the shorter side"),
      .real("turn", \.turn, in: 0...3.2, unit: "radians", help: "how far a shape is turned at most"),
      .real("noise", \.noise, in: 0...10, help: "the standard deviation of the noise; ink is 1"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "shapes", title: "Shapes", paper: "none: drawn here",
    idea: "tell a disc, square, triangle, cross, ring or star of any size, place and colour")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey
  /// What draws the images.
  public let source: ShapeImages
  /// The standard deviation of the noise on every pixel.
  public var noise: Double { configuration.noise }

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    (self.configuration, self.key) = (configuration, key)
    source = ShapeImages(
      grid: Grid(height: configuration.height, width: configuration.width), channels: configuration.channels,
      least: configuration.size, turn: configuration.turn)
  }
}
