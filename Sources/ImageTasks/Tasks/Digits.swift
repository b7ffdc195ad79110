import Basics
import Settings
import Tasks
import Tensors

/// Digits drawn here: strokes with their own size, slant, thickness and place, and noise.
///
/// A digit of 0 to 9, each as likely, is written in a box of `size` to 0.95 of the image's height (of its width, where that is less
/// than 0.7 of the height), leans by up to `slant` of its height to either side, has strokes of 0.7 to 1.3 times `thickness` and
/// lies anywhere in the image. Every pixel has noise N(0, noise²). Splits are apart by what is drawn before the noise.
public struct Digits: DrawnImageTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Pixels of a column.
    public var height = 16
    /// Pixels of a row.
    public var width = 16
    /// The least height of a digit.
    public var size = 0.6
    /// How far a digit leans at most.
    public var slant = 0.3
    /// The mean thickness of strokes.
    public var thickness = 0.08
    /// The standard deviation of the noise.
    public var noise = 0.1

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("height", \.height, in: 4...1024, unit: "pixels", help: "pixels of a column"),
      .integer("width", \.width, in: 4...1024, unit: "pixels", help: "pixels of a row"),
      .real("size", \.size, in: 0.1...0.95, help: "the least height of a digit, as a share of the image's"),
      .real("slant", \.slant, in: 0...1, help: "how far a digit leans at most, as a share of its height"),
      .real("thickness", \.thickness, in: 0.001...0.5, help: "the mean thickness of strokes, as a share"),
      .real("noise", \.noise, in: 0...10, help: "the standard deviation of the noise; ink is 1"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "digits", title: "Digits of strokes",
    paper: "after LeCun et al. 1998, Gradient-based learning applied to document recognition",
    idea: "tell a digit that is drawn with its own place, size, slant and thickness")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey
  /// What draws the images.
  public let source: DigitImages
  /// The standard deviation of the noise on every pixel.
  public var noise: Double { configuration.noise }

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    (self.configuration, self.key) = (configuration, key)
    source = DigitImages(
      grid: Grid(height: configuration.height, width: configuration.width), least: configuration.size,
      slant: configuration.slant, thickness: configuration.thickness)
  }
}
