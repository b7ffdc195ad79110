import AttentionCore
import Basics
import Settings
import Tensors

/// A softmax variant with the settings that all of them take: what a catalogue lists in its place.
///
/// With every setting at its default it is the variant, bit by bit.
public struct WithSoftmaxSettings<Base: RowSoftmaxVariant>: RowSoftmaxVariant {
  /// The variant's settings, and those of all.
  public struct Configuration: VariantConfiguration {
    /// The variant's own.
    public var base = Base.Configuration()
    /// Those of all softmax variants.
    public var softmax = SoftmaxSettings()

    /// The defaults.
    public init() {}

    init(_ base: Base.Configuration, _ softmax: SoftmaxSettings = .init()) {
      (self.base, self.softmax) = (base, softmax)
    }

    /// The variant's own, then those of all, which summaries leave out at their defaults.
    public static var parameters: [Parameter<Self>] {
      Base.Configuration.parameters.map { $0.within(\Self.base) }
        + SoftmaxSettings.parameters.map { $0.within(\Self.softmax, quietly: true) }
    }

    /// Former names of the variant's own.
    public static var formerNames: [String: String] { Base.Configuration.formerNames }

    /// Every setting of all with the first sample, then the variant's own samples.
    public static var samples: [Self] {
      let own = Base.Configuration.samples
      let first = own.first ?? Base.Configuration()
      let taken = SoftmaxSettings.samples.map { Base.takesSoftcap ? $0 : $0.uncapped }
      let legal = taken.filter { (try? $0.validate(for: Base.self, first)) != nil }
      return legal.map { Self(first, $0) } + own.map { Self($0) }
    }

    /// Checks the variant's own, and whether it takes those of all.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      try base.validate(for: shape)
      try softmax.validate(for: Base.self, base)
      if softmax.score == .relative { try RelativeScore.validate(for: shape) }
    }

    /// As the variant has it; what all have is read by every row.
    public func lastReader(of operand: Operand.Name) -> Int? { base.lastReader(of: operand) }

    /// As the variant has it: a sink is no key of the sequence. Where scores go by distance, keys before those that are dropped
    /// would come nearer, so that only first ones can be.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      let own = base.evictableKeys(of: count)
      guard softmax.score == .relative || softmax.bias != .none, let own, own.lowerBound > 0 else {
        return own
      }
      return 0..<0
    }

    /// As the variant has it: what the settings add goes by distance, or not by place at all.
    public var goesByDistance: Bool { base.goesByDistance }

    /// As the variant has it.
    public var gridRows: GridRows? { base.gridRows }

    /// As the variant has it.
    public var wiring: LayerWiring { base.wiring }

    /// As the variant has it.
    public func fitted(to shape: AttentionShape) -> Self { Self(base.fitted(to: shape), softmax) }
  }

  /// That of the variant.
  public static var card: VariantCard { Base.card }

  /// What the variant reads, and what the settings make it read.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    Base.operands(configuration.base) + configuration.softmax.operands
  }

  /// Those of the variant.
  public static var exports: [Export] { Base.exports }
  /// Those of the variant.
  public static var formerNames: [FormerName] { Base.formerNames }
  /// Itself.
  public static var listed: any AttentionVariant.Type { Self.self }
  /// Those of the variant.
  public static var precisions: [Precision] { Base.precisions }

  /// The configuration in force.
  public let configuration: Configuration
  /// The variant without the settings of all.
  public private(set) var base: Base
  /// The pairs by distance where a score clamps it.
  private let parts: DistanceParts?
  /// The shape planned for.
  public var shape: AttentionShape { base.shape }

  /// Configures the variant.
  /// - Throws: `ConfigurationError` when the configuration does not fit the shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    try self.init(configuration, for: shape, key: key, sharing: nil)
  }

  /// Configures the variant with patterns that others have, too.
  /// - Throws: `ConfigurationError` when the configuration does not fit the shape.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    self.configuration = configuration
    var capped = shape
    capped.softcap = configuration.softmax.softcap
    base = try Base(configuration.base, for: capped, key: key, sharing: patterns)
    parts = (base as? any PatternVariant).flatMap { variant in
      configuration.softmax.clamp.map {
        DistanceParts(variant, RelativeScore(shape: shape, scale: 1, clamp: $0).passDistances)
      }
    }
  }

  /// As the variant has it.
  /// - Throws: what the variant throws.
  public func reading(_ graphs: [Operand.Name: EdgeList]) throws(ConfigurationError) -> Self {
    var result = self
    result.base = try base.reading(graphs)
    return result
  }

  /// As the variant has it, or for other scores over its pattern.
  /// - Throws: what the variant throws.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    guard let staged else { return try base.prepare(for: pass, in: context) }
    try staged.prepare(for: pass, in: context)
  }
  /// That of the variant.
  public var planBytes: Int { base.planBytes + (parts?.planBytes ?? 0) }
  /// That of the variant.
  public var scale: Double { base.scale }
  /// As the variant has it.
  public static var takesSoftcap: Bool { Base.takesSoftcap }
  /// That of the variant.
  public var causality: Causality { base.causality }
  /// That of the variant.
  public var padding: PaddingPromise { base.padding }
  /// As the variant has it; what all have is read whole.
  public func rows(of operand: Operand.Name) -> [Int]? { base.rows(of: operand) }

  /// What computes other scores than products over the variant's tiles; `nil`: the variant itself.
  private var staged: StagedPass? {
    guard configuration.softmax.isStaged, let variant = base as? any PatternVariant else { return nil }
    return StagedPass(configuration.softmax, over: variant, scale: scale, parts: parts)
  }

  private var extraKey: ExtraKeyPass? { ExtraKeyPass(configuration.softmax.sink, shape: shape, scale: scale) }

  /// That of the variant, with the bytes and operations of what the settings add.
  public func cost(of pass: PassKind) -> Cost {
    var cost = base.cost(of: pass)
    let own = configuration.softmax.operands
    guard !own.isEmpty else { return cost }
    cost.inputOutputBytes += shape.inputBytes(own) + (pass == .backward ? shape.gradientBytes(own) : 0)
    if let extraKey {
      cost.flops += extraKey.operations(of: pass)
      cost.workspaceBytes += extraKey.workspaceBytes(of: pass)
    }
    if let staged { staged.add(to: &cost, of: pass) }
    cost.stateBytes = stateBytes
    return cost
  }

  /// That of the variant.
  /// - Throws: what the variant throws.
  public func chooseKeys(of inputs: Operands, in context: ExecutionContext) throws -> Bool {
    try base.chooseKeys(of: inputs, in: context)
  }

  /// Computes output and LSE.
  /// - Throws: what the variant throws.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    guard let extraKey else {
      return try staged?.forward(inputs, startingWith: nil, in: context) ?? base.forward(inputs, in: context)
    }
    if let logits = extraKey.logits(inputs),
      let begun = try forward(inputs, startingWith: logits, in: context)
    {
      return extraKey.begun(begun.forward, inputs, begun.pullback)
    }
    let forward =
      try staged?.forward(inputs, startingWith: nil, in: context) ?? base.forward(inputs, in: context)
    guard let pullback = forward.partialPullback else {
      throw ConfigurationError(
        field: "sink", value: configuration.softmax.sink.rawValue,
        allowed: "none with \(card.id), which has no way back as a part of a larger softmax")
    }
    return try extraKey.forward(forward, inputs, pullback, in: context)
  }

  /// The pass of a variant whose tiles the engine takes as they are, started with a logit: that costs nothing, while another
  /// pass over the output costs as much as reading and writing it. `nil` of other variants.
  private func forward(_ inputs: Operands, startingWith logits: [Float], in context: ExecutionContext) throws
    -> (forward: Forward, pullback: Forward.PartialPullback)?
  {
    guard let variant = base as? any PatternVariant, Base.operands(configuration.base) == Operand.standard
    else { return nil }
    let forward =
      try staged?.forward(inputs, startingWith: logits, in: context)
      ?? Engine.attend(
        inputs, startingWith: logits, shape: shape, scale: scale, pattern: variant.pattern,
        backwardPattern: { variant.backwardPattern }, in: context)
    return forward.partialPullback.map { (forward, $0) }
  }

  /// That of the variant, with one key more where there is a sink.
  /// - Throws: what the variant throws; `ConfigurationError` when its definition is no `ExtensibleDefinition`.
  public func definition(of inputs: Operands) throws -> any Definition {
    var definition = try base.definition(of: inputs)
    if let staged, let softmax = definition as? SoftmaxDefinition { definition = staged.scoring(softmax) }
    guard let extraKey else { return definition }
    guard let softmax = definition as? any ExtensibleDefinition else {
      throw ConfigurationError(
        field: "sink", value: configuration.softmax.sink.rawValue,
        allowed: "none with \(card.id), whose definition takes no further key")
    }
    return softmax.adding(extraKey.definition, reading: configuration.softmax.operands)
  }

  /// Those of the variant under these scores, with a sink in the denominator.
  /// - Throws: what the variant throws.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    let own = try staged?.statistics(of: inputs, in: context) ?? base.statistics(of: inputs, in: context)
    guard let extraKey, let own else { return own }
    return try extraKey.adding(to: own, inputs, in: context)
  }

  /// That of the variant.
  public func export(_ name: Operand.Name, of inputs: Operands, in context: ExecutionContext) throws
    -> (values: [Int32], shape: [Int])
  { try base.export(name, of: inputs, in: context) }
}

extension WithSoftmaxSettings: SoftmaxVariant where Base: SoftmaxVariant {
  /// The tiles of the variant.
  public func pattern(for inputs: Operands, in context: ExecutionContext) throws -> TilePattern {
    try base.pattern(for: inputs, in: context)
  }
  /// Those of the variant.
  public func backwardPattern(of pattern: TilePattern) -> TilePattern { base.backwardPattern(of: pattern) }
}

extension WithSoftmaxSettings: PatternVariant where Base: PatternVariant {
  /// The tiles of the variant.
  public var pattern: TilePattern { base.pattern }
  /// Those of the variant.
  public var backwardPattern: TilePattern { base.backwardPattern }
  /// That of the variant.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    base.multiplicity(batch: batch, head: head, query: query, key: key)
  }
}

extension RowSoftmaxVariant {
  /// The variant with the settings of all softmax variants.
  public static var listed: any AttentionVariant.Type { WithSoftmaxSettings<Self>.self }
}
