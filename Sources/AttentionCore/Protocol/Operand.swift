import Tensors

/// One tensor that a variant reads, declared once.
///
/// The layer that makes it (its parameters and their names in checkpoints), the file that gives it
/// (`apply --in NAME=x.npy`), the file that its gradient goes to (`--gradient NAME=d.npy`), the draw that measures it and
/// the difference quotient that checks its gradient derive from the declaration.
public struct Operand: Hashable, Sendable {
  /// What a tensor is called: in files, flags, checkpoints and reports.
  public struct Name: Hashable, Sendable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The text, in snake_case.
    public let description: String
    /// Takes a text as a name.
    public init(_ text: String) { description = text }
    /// Takes a literal as a name.
    public init(stringLiteral text: String) { description = text }
    /// In the order of the alphabet.
    public static func < (first: Name, second: Name) -> Bool { first.description < second.description }

    /// q.
    public static let query: Name = "query"
    /// k.
    public static let key: Name = "key"
    /// v.
    public static let value: Name = "value"
  }

  /// What an axis of the tensor counts.
  public enum Axis: Hashable, Sendable, CustomStringConvertible {
    /// Sequences.
    case batch
    /// Heads of q.
    case queryHeads
    /// Heads of k and v.
    case keyHeads
    /// Rows of q.
    case queries
    /// Rows of k and v.
    case keys
    /// Elements of a row of q and k.
    case headDim
    /// Elements of a row of v.
    case valueDim
    /// The width of a layer, `heads · d`.
    case width
    /// A number that the configuration decides.
    case fixed(Int)
    /// As many as are given: the variant checks them itself.
    case any

    /// As help and lists name it.
    public var description: String {
      switch self {
      case .batch: "batch"
      case .queryHeads: "heads"
      case .keyHeads: "key heads"
      case .queries: "n"
      case .keys: "keys"
      case .headDim: "d"
      case .valueDim: "value dim"
      case .width: "heads·d"
      case .fixed(let count): "\(count)"
      case .any: "any"
      }
    }
  }

  /// Where the tensor comes from.
  public enum Source: Hashable, Sendable, CustomStringConvertible {
    /// A linear map of a layer's input. With a name the map starts as a copy of that operand's, and its rows get the
    /// positions (RoPE, ALiBi) that those of that operand get; without one it is drawn like any other.
    case projected(like: Name?)
    /// A parameter of the layer's own, `[heads, …]` or a table, the same for every input.
    case learned(Initial)
    /// Data, which has no gradient; a variant goes on without it when it is `isOptional`.
    case given
    /// Numbers uniform in [0, 1), by which a variant draws: a layer makes new ones in each pass of a training and none in an
    /// evaluation, so they are optional. They have no gradient.
    case uniform
    /// The edges of a graph, `[edges, 2]` pairs of a row of k (the source) and a row of q (the target); they have no gradient.
    /// `Operands.graphs` holds them.
    case edges

    /// Where a layer has it from, in a word.
    public var description: String {
      switch self {
      case .projected: "projected"
      case .learned: "learned"
      case .given, .edges: "given"
      case .uniform: "drawn"
      }
    }
  }

  /// How a learned operand starts.
  public enum Initial: Hashable, Sendable {
    /// All the same.
    case constant(Float)
    /// N(0, σ²).
    case normal(Double)
  }

  /// What it is called.
  public let name: Name
  /// What its axes count, outermost first.
  public let axes: [Axis]
  /// Where it comes from.
  public let source: Source
  /// Whether the variant goes on without it.
  public let isOptional: Bool
  /// Whether a learned one is the same in all layers of a stack.
  public let isShared: Bool
  /// Where the elements of a learned one are held: a training clamps them after each of its steps; `nil`: anywhere.
  public let bounds: ClosedRange<Float>?
  /// What a training adds to its loss for the mean of a learned one's elements.
  public let meanPenalty: Double
  /// Whether a projected one passes no gradient on to what it is projected from: it learns of a loss of its own.
  public let isDetached: Bool
  /// What it is, in one line.
  public let help: String

  /// Declares an operand.
  /// - Parameters:
  ///   - name: what it is called.
  ///   - axes: what its axes count, outermost first.
  ///   - source: where it comes from.
  ///   - isOptional: whether the variant goes on without it.
  ///   - isShared: whether a learned one is the same in all layers of a stack.
  ///   - bounds: where a training holds the elements of a learned one.
  ///   - meanPenalty: what a training adds to its loss for their mean.
  ///   - isDetached: whether a projected one passes no gradient on.
  ///   - help: what it is, in one line.
  /// - Precondition: what a layer learns has a size that no input decides; nothing else has bounds or a penalty.
  public init(
    _ name: Name, _ axes: [Axis], _ source: Source, isOptional: Bool = false, isShared: Bool = false,
    bounds: ClosedRange<Float>? = nil, meanPenalty: Double = 0, isDetached: Bool = false, help: String
  ) {
    self.isDetached = isDetached
    if case .learned = source {
      let sized: [Axis] = [.batch, .queries, .keys, .any]
      precondition(!axes.contains { sized.contains($0) }, "\(name): a parameter whose size an input decides")
    } else {
      precondition(bounds == nil && meanPenalty == 0, "\(name): bounds of what no layer learns")
    }
    self.bounds = bounds
    self.meanPenalty = meanPenalty
    self.name = name
    self.axes = axes
    self.source = source
    self.isOptional = isOptional
    self.isShared = isShared
    self.help = help
  }

  /// q `[batch, queryHeads, queries, headDim]`.
  public static let query = Operand(
    .query, [.batch, .queryHeads, .queries, .headDim], .projected(like: nil), help: "q")
  /// k `[batch, keyHeads, keys, headDim]`.
  public static let key = Operand(
    .key, [.batch, .keyHeads, .keys, .headDim], .projected(like: nil), help: "k")
  /// v `[batch, keyHeads, keys, valueDim]`.
  public static let value = Operand(
    .value, [.batch, .keyHeads, .keys, .valueDim], .projected(like: nil), help: "v")
  /// q, k and v: what most variants read.
  public static let standard = [query, key, value]

  /// q, k and v, whether a variant declares them or not, and what else it declares: the tensors of a call.
  public static func all(_ declared: [Operand]) -> [Operand] { standard + declared.filter { !$0.isStandard } }

  /// Whether it is q, k or v, which every call of attention has.
  public var isStandard: Bool { [.query, .key, .value].contains(name) }

  /// Whether a loss has a gradient with respect to it.
  public var hasGradient: Bool { source != .given && source != .edges && source != .uniform }

  /// The extents at a shape; −1 where any number will do.
  public func extents(at shape: AttentionShape) -> [Int] {
    axes.map { axis in
      switch axis {
      case .batch: shape.batch
      case .queryHeads: shape.queryHeads
      case .keyHeads: shape.keyHeads
      case .queries: shape.queryLength
      case .keys: shape.keyLength
      case .headDim: shape.headDim
      case .valueDim: shape.valueDim
      case .width: shape.queryHeads * shape.headDim
      case .fixed(let count): count
      case .any: -1
      }
    }
  }

  /// Whether a tensor of these extents fits.
  public func takes(_ extents: [Int], at shape: AttentionShape) -> Bool {
    let own = self.extents(at: shape)
    return own.count == extents.count && zip(own, extents).allSatisfy { $0 == $1 || $0 < 0 }
  }

  /// `q`, `k` and `v`, or the name: what stands in flags, reports and the names of draws.
  public var shortName: String {
    switch name {
    case .query: "q"
    case .key: "k"
    case .value: "v"
    default: name.description
    }
  }

  /// What its gradient is called in reports.
  public var gradientLabel: String { isStandard ? "d\(shortName)" : "d \(shortName)" }

  /// The extents in words, such as `[4, 16, 2, any]`.
  public func summary(at shape: AttentionShape) -> String {
    "[" + extents(at: shape).map { $0 < 0 ? "any" : "\($0)" }.joined(separator: ", ") + "]"
  }

  /// Elements at a shape; 0 where the number is not declared.
  public func count(at shape: AttentionShape) -> Double {
    extents(at: shape).reduce(1) { $0 * Double(max(0, $1)) }
  }
}

/// An array of whole numbers that a variant can show besides its results, such as the buckets of hashed tokens.
public struct Export: Sendable {
  /// What it is called.
  public let name: Operand.Name
  /// What it is, in one line.
  public let help: String

  /// Declares an export.
  public init(_ name: Operand.Name, help: String) {
    self.name = name
    self.help = help
  }
}

/// A name that older files, presets or scripts use for something that a variant declares.
public enum FormerName: Hashable, Sendable {
  /// A flag of `apply` and `mask` that gave an operand, and the settings that it stood for.
  case operand(flag: String, Operand.Name, settings: [String: ParameterValue] = [:])
  /// A flag of `apply` that named the file of an export.
  case export(flag: String, Operand.Name)
  /// A setting of whole models that is a parameter of the variant now. A layer that gets other settings of the same variant
  /// keeps its value unless they give one.
  case modelSetting(String, parameter: String)
}
