import Basics
import RealModule
import Settings

/// An endless text whose tokens come back after a fixed distance: what is behind a segment's beginning tells what comes next.
///
/// `x_t = x_{t−D}` with probability `share`, else uniform over V symbols. With p = share + (1 − share)/V, the chance that a token
/// is the one D before it, no model has a mean loss below `−p·ln p − (1 − p)·ln((1 − share)/V)`. One that sees less than D tokens
/// back has ln V.
public struct Echo: GeneratedTask, SegmentedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example, or of a segment.
    public var length = 32
    /// Symbols.
    public var vocabulary = 16
    /// D.
    public var distance = 48
    /// How often a token comes back.
    public var share = 0.9

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "length", \.length, in: 1...(1 << 24), unit: "tokens", help: "tokens of an example, or of a segment"),
      .integer("vocabulary", \.vocabulary, in: 2...(1 << 20), unit: "tokens", help: "symbols"),
      .integer(
        "distance", \.distance, in: 1...(1 << 24), unit: "tokens", help: "how far back a token stood before"),
      .real("share", \.share, in: 0...0.99, help: "how often a token comes back; else it is drawn"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "echo", title: "Echo at a distance",
    paper: "a test of what Dai et al. 2019, Transformer-XL, section 3.2, promise",
    idea:
      "each token is mostly the one a fixed distance before it, in an endless text that can be read in segments"
  )

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    self.configuration = configuration
    self.key = key
  }

  /// Every token.
  public var kind: TaskKind { .languageModel }
  /// Symbols.
  public var vocabularySize: Int { configuration.vocabulary }
  /// Tokens of an example, or of a segment.
  public var length: Int { configuration.length }

  /// The loss of who sees the whole text.
  public var entropyRate: Double? {
    let drawn = (1 - configuration.share) / Double(configuration.vocabulary)
    let same = configuration.share + drawn
    return -same * .log(same) - (1 - same) * .log(drawn)
  }

  /// Draws a window in which the distance reaches behind the first token.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let distance = configuration.distance
    var text: [Int32] = []
    for place in 0..<distance + length + 1 {
      let comesBack = generator.uniform() < configuration.share && place >= distance
      let drawn = Int32(generator.integer(below: configuration.vocabulary))
      text.append(comesBack ? text[place - distance] : drawn)
    }
    return Example(window: text.suffix(length + 1))
  }

  /// Segments of texts of which every stream has one to itself.
  public func segments(of split: Split, number: Int, streams: Range<Int>, of count: Int, shift: Int)
    -> SegmentBatch
  {
    let rows = streams.map { stream in
      let text = key("segments")(split.rawValue)(shift)(stream), first = number * length
      let tokens = (first...first + length).map { token(at: $0, of: text) }
      return (Example(window: tokens), number == 0)
    }
    return SegmentBatch(rows, of: self)
  }

  /// Follows a token back to where it was drawn. - Complexity: 1/(1 − share) draws in the mean.
  private func token(at place: Int, of text: RandomKey) -> Int32 {
    var place = place
    while true {
      var generator = text(place).generator()
      let comesBack = generator.uniform() < configuration.share && place >= configuration.distance
      if !comesBack { return Int32(generator.integer(below: configuration.vocabulary)) }
      place -= configuration.distance
    }
  }
}
