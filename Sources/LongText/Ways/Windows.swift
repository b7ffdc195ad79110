import Settings
import Tasks

/// Windows over a row: each is a sequence of its own, and the answers are joined.
///
/// Windows of `length` tokens begin every `stride` tokens; the last ends with the row and may be shorter. Every target is
/// scored once, in the first window that has it: all of the first window's, of a later one those behind the window before,
/// which have at least length − stride tokens of context. Of a row whose class is asked for every window is trained on the
/// class; in evaluation the mean of the windows' probabilities decides, or their votes (of equally many, the class of the
/// greater mean); the loss is −ln of the mean either way.
///
/// Source: the strided evaluation of perplexity in Hugging Face's documentation of Transformers.
public struct Windows: TextWay {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of a window.
    public var length = 256
    /// Tokens from one beginning to the next.
    public var stride = 128
    /// How answers are joined.
    public var join = PartJoin.mean

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 1...(1 << 24), unit: "tokens", help: "tokens of a window"),
      .integer(
        "stride", \.stride, in: 1...(1 << 24), unit: "tokens",
        help: "tokens from one window's beginning to the next; at most length"),
      .choice("join", \.join, help: "what the windows' classes are joined by, where a class is asked for"),
    ]
  }

  /// What the way is.
  public static let card = WayCard(
    id: "windows", title: "Windows with stride", paper: "Hugging Face, Perplexity of fixed-length models",
    idea: "overlapping windows, each a sequence of its own, the answers joined")

  /// The configuration in force.
  public let configuration: Configuration

  /// Configures the way.
  /// - Throws: `ConfigurationError` when tokens would lie between two windows.
  public init(_ configuration: Configuration) throws(ConfigurationError) {
    guard configuration.stride <= configuration.length else {
      throw ConfigurationError(
        field: "stride", value: "\(configuration.stride)",
        allowed: "at most length = \(configuration.length): each token is in a window")
    }
    self.configuration = configuration
  }

  /// As configured.
  public var join: PartJoin? { configuration.join }

  /// Tasks of one sequence of tokens.
  public func check(_ task: any SequenceTask) throws(ConfigurationError) {
    guard task.kind == .languageModel || task.kind == .classification, task.featureWidth == 0 else {
      throw ConfigurationError(
        field: WayCatalog.field, value: Self.card.id,
        allowed: "none with the task \(task.card.id): windows are cut of one sequence of tokens")
    }
  }

  /// A window, or less.
  public func length(of length: Int) -> Int { min(length, configuration.length) }

  /// The windows, targets that were scored before left out.
  public func parts(of row: Example) -> [Example] {
    Self.ranges(of: row.inputs.count, configuration).map { window, scored in
      let inputs = Array(row.inputs[window])
      guard !row.targets.isEmpty else { return Example(inputs: inputs, label: row.label) }
      let seen = [Int32](repeating: TaskBatch.ignored, count: scored.lowerBound - window.lowerBound)
      return Example(inputs: inputs, targets: seen + row.targets[scored])
    }
  }

  /// Every window with the places that are scored in it.
  public static func ranges(
    of count: Int, _ configuration: Configuration
  ) -> [(window: Range<Int>, scored: Range<Int>)] {
    var ranges: [(Range<Int>, Range<Int>)] = [], start = 0, scored = 0
    repeat {
      let end = min(count, start + configuration.length)
      ranges.append((start..<end, scored..<end))
      (start, scored) = (start + configuration.stride, end)
    } while scored < count
    return ranges
  }
}
