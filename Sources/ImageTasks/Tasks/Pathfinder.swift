import Basics
import Settings
import Tasks
import Tensors

/// Pathfinder: are the two circles on one dashed path?
///
/// Two paths of `dashes` dashes are drawn that do not touch, each turning by up to `turn` radians from dash to dash, and up to
/// `distractors` paths of a third as many dashes. The circles are at the two ends of the first path (class 1), or at an end of either path
/// (class 0): a fair coin decides, so that half of all images are of either class. Only such paths are drawn of which two ends, one of each,
/// are as far from each other as the ends of the first, up to a pixel: the distance of the circles says nothing. A dash is 3 pixels and a
/// gap 2 on every side length; longer paths and larger images ask for longer reasoning. Pixels are 0 to 1, with noise N(0, noise²).
///
/// Source: Linsley et al. 2018 (arXiv:1805.08315); Tay et al. 2020, Long Range Arena (arXiv:2011.04006), whose images have sides of 32
/// and 128 and are read as sequences of pixels. Their images are files of the authors, where circles on two paths may be farther apart.
public struct Pathfinder: DrawnImageTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Pixels of a row and of a column.
    public var side = 32
    /// Dashes of the two long paths.
    public var dashes = 6
    /// Short paths beside them.
    public var distractors = 2
    /// How far a path turns at most.
    public var turn = 0.5
    /// The standard deviation of the noise.
    public var noise = 0.0

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("side", \.side, in: 12...512, unit: "pixels", help: "pixels of a row and of a column"),
      .integer("dashes", \.dashes, in: 1...64, help: "dashes of each of the two long paths"),
      .integer("distractors", \.distractors, in: 0...64, help: "short paths beside them, at most"),
      .real("turn", \.turn, in: 0...1.6, unit: "radians", help: "how far a path turns from dash to dash"),
      .real("noise", \.noise, in: 0...10, help: "the standard deviation of the noise; ink is 1"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "pathfinder", title: "Pathfinder",
    paper: "Tay et al. 2020, Long Range Arena; Linsley et al. 2018, Learning long-range spatial dependencies",
    idea: "whether two circles are on one dashed path among distractors")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey
  /// What draws the images.
  public let source: PathImages
  /// The standard deviation of the noise on every pixel.
  public var noise: Double { configuration.noise }

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    (self.configuration, self.key) = (configuration, key)
    source = Pathfinder.source(configuration)
  }

  static func source(_ configuration: Configuration) -> PathImages {
    PathImages(
      grid: Grid(height: configuration.side, width: configuration.side), dashes: configuration.dashes,
      distractors: configuration.distractors, turn: configuration.turn, dash: 3, gap: 2, clearance: 3,
      radius: 1.8)
  }
}
