import Basics
import RealModule
import Settings
import Tasks
import Tensors

/// A digit that moves over the frames of a video: tell the digit, or where it goes.
///
/// A digit is written once, as in `digits`, begins anywhere and moves by `speed` pixels a frame in one of eight directions, each as
/// likely; it is reflected at the edges of the image, in which case its direction is the one in which it began. Rows are the pixels of
/// all frames, frame after frame. One frame alone says nothing about the direction.
///
/// Source: after Srivastava et al. 2015, Unsupervised learning of video representations using LSTMs (moving MNIST).
public struct MovingDigits: DrawnImageTask {
  /// What is asked for.
  public enum Question: String, CaseIterable, Hashable, Sendable {
    /// Ten classes.
    case digit
    /// Eight classes: right, lower right, down and so on.
    case direction
  }

  /// The settings.
  public struct Configuration: ParameterSet {
    /// Frames.
    public var frames = 4
    /// Pixels of a column of a frame.
    public var height = 16
    /// Pixels of a row of a frame.
    public var width = 16
    /// What is asked for.
    public var ask = Question.direction
    /// Pixels that a digit moves from frame to frame.
    public var speed = 1.5
    /// The standard deviation of the noise.
    public var noise = 0.1

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("frames", \.frames, in: 1...256, help: "frames of a video"),
      .integer("height", \.height, in: 4...256, unit: "pixels", help: "pixels of a column of a frame"),
      .integer("width", \.width, in: 4...256, unit: "pixels", help: "pixels of a row of a frame"),
      .choice("ask", \.ask, help: "what is asked for"),
      .real(
        "speed", \.speed, in: 0...64, unit: "pixels", help: "how far a digit moves from frame to frame"),
      .real("noise", \.noise, in: 0...10, help: "the standard deviation of the noise; ink is 1"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "moving-digits", title: "Moving digits",
    paper: "after Srivastava et al. 2015, Unsupervised learning of video representations using LSTMs",
    idea: "tell the digit of a video, or the direction in which it moves")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey
  /// What draws the images.
  public let source: MovingDigitImages
  /// The standard deviation of the noise on every pixel.
  public var noise: Double { configuration.noise }
  /// Frames, below each other in the grid.
  public var frames: Int { configuration.frames }

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    (self.configuration, self.key) = (configuration, key)
    source = MovingDigitImages(configuration: configuration)
  }
}

/// Videos as strips of frames, as `MovingDigits` describes them.
public struct MovingDigitImages: ImageSource {
  let configuration: MovingDigits.Configuration

  /// The places of all frames, below each other.
  public var grid: Grid {
    Grid(height: configuration.frames * configuration.height, width: configuration.width)
  }
  /// Grey.
  public var channels: Int { 1 }
  /// Classes.
  public var classCount: Int { configuration.ask == .digit ? 10 : 8 }

  /// Draws a video.
  public func image(_ generator: inout RandomGenerator) -> LabelledImage {
    let (height, width) = (configuration.height, configuration.width)
    let hand = DigitHand(
      height: height, width: width, least: 0.4, slant: 0.3, thickness: 0.08, &generator)
    let direction = generator.integer(below: 8)
    let room = Point(max(0, Double(width) - 0.7 * hand.size), max(0, Double(height) - hand.size))
    let start = Point(room.x * generator.uniform(), room.y * generator.uniform())
    var pixels: [Float] = []
    for frame in 0..<configuration.frames {
      let place = start.moved(
        configuration.speed * Double(frame), towards: Double(direction) * Double.pi / 4)
      var canvas = Canvas(height: height, width: width)
      hand.draw(
        at: Point(reflected(place.x, within: room.x), reflected(place.y, within: room.y)), on: &canvas)
      pixels += canvas.ink
    }
    return LabelledImage(pixels: pixels, label: configuration.ask == .digit ? hand.digit : direction)
  }

  /// Where something is that goes to and fro between 0 and a limit.
  private func reflected(_ place: Double, within limit: Double) -> Double {
    guard limit > 0 else { return 0 }
    var rest = place.truncatingRemainder(dividingBy: 2 * limit)
    if rest < 0 { rest += 2 * limit }
    return rest > limit ? 2 * limit - rest : rest
  }
}
